"""`scene` and `instruct-nerf2nerf` on the command line: bad input, a capture nobody may write to, a whole flow."""

import json
import stat

import pytest
import torch

from flows import instruct_nerf2nerf, scene
from flows.engine.input_files import copy_folder, folder_files
from prior3d.splats.files import read_splats
from stages.artifacts.fields import load_drawn
from tests.scenes import write_capture
from tests.tiny_prior import write_tiny_prior
from tests.whole_flows import ball_capture

TINY = (
    "scene_fit.steps=[60, 60]", "scene_fit.resolutions=[9, 17]", "scene_fit.rendering.rays_per_step=256",
    "scene_fit.rendering.n_bins=12", "scene_fit.held_out_every=4", "capture_path.frames=4", "capture_path.n_bins=12",
    "mesh_extraction.resolution=24", "mesh_extraction.n_azimuths=3", "texture_baking.resolution=64",
    "evaluation.n_azimuths=2", "evaluation.size=32", "evaluation.video_frames=2", "evaluation.video_size=32",
)  # fmt: skip
EDIT = (
    "dataset_update.steps=4", "dataset_update.edit_every=2", "dataset_update.rendering.rays_per_step=64",
    "dataset_update.rendering.n_bins=12", "dataset_update.edit.num_inference_steps=2",
    "dataset_update.held_out_every=4", "dataset_update.preview_scales=[[1.5],[5.0]]",
)  # fmt: skip


def sets(words):
    return [part for word in words for part in ("--set", word)]


def test_what_is_refused(fake, tmp_path):
    for words, said in (
        ((), "say what to make it from: --scene or --photos"),
        (("--scene", str(tmp_path), "--photos", str(tmp_path)), "takes one of them; leave the other out"),
        (("--scene", str(tmp_path / "nowhere")), "there is no such folder"),
        (("--scene", __file__), "it is a file; give the folder that holds it"),
    ):
        code, _, err = fake.cli("run", "scene", *words)
        assert code == 2 and said in err and len(err.splitlines()) == 1
    code, _, err = fake.cli("run", "instruct-nerf2nerf", "--scene", str(tmp_path))
    assert code == 2 and "--instruction is missing" in err


def test_photos_bring_the_search_for_their_cameras(fake, tmp_path):
    """A capture does not; a folder of photos that is given as a capture is told the other option."""
    write_capture(tmp_path / "capture", n=3)
    assert "pose_estimation" not in fake.cli("plan", "scene", "--scene", str(tmp_path / "capture"))[1]
    (tmp_path / "capture" / "transforms.json").unlink()
    code, out, _ = fake.cli("plan", "scene", "--photos", str(tmp_path / "capture"))
    assert code == 0 and out.split()[0] == "pose_estimation"
    code, _, err = fake.cli("plan", "scene", "--scene", str(tmp_path / "capture"))
    assert code == 2 and "photos that are given as --photos" in err
    words = ["--photos", str(tmp_path / "capture"), "--instruction", "make it red"]
    assert fake.cli("plan", "instruct-nerf2nerf", *words)[1].split()[0] == "pose_estimation"


def test_the_edit_begins_with_the_stages_of_a_scene():
    """So that their results are shared, whatever the instruction, and whatever kind of scene is fitted."""
    assert instruct_nerf2nerf.METHOD.stages[:3] == scene.METHOD.stages[:3]


def test_the_copy_of_a_capture_can_be_replaced_though_the_capture_cannot_be_written(tmp_path):
    write_capture(tmp_path / "capture")
    for folder in (tmp_path / "capture", tmp_path / "capture" / "images"):
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        for _ in range(2):
            copy_folder(tmp_path / "capture", tmp_path / "copy", folder_files(tmp_path / "capture"), print)
        for folder in (tmp_path / "copy", tmp_path / "copy" / "images"):
            assert folder.stat().st_mode & stat.S_IWUSR
    finally:
        for folder in (tmp_path / "capture", tmp_path / "capture" / "images"):
            folder.chmod(0o755)


@pytest.mark.slow
def test_a_scene_and_two_edits_of_it(fake, tmp_path):
    ball_capture(tmp_path / "ball")
    prior = write_tiny_prior(tmp_path / "prior", in_channels=8)
    start = ("--scene", str(tmp_path / "ball"), "--preset", "toy", "--device", "cpu")
    code, out, err = fake.cli("run", "scene", *start, "--name", "ball", *sets(TINY))
    assert code == 0, err
    runs = fake.project / "data" / "runs"
    assert (runs / "ball" / "texture_baking" / "mesh.glb").is_file()
    metrics = json.loads((runs / "ball" / "scene_fit" / "metrics.json").read_text())
    assert metrics["held_out_psnr"]["value"] > 15
    for name, instruction in (("red", "a red ball"), ("white", "a white cube")):
        words = ("--instruction", instruction, "--prior", str(prior), "--name", name, *sets((*TINY, *EDIT)))
        code, out, err = fake.cli("run", "instruct-nerf2nerf", *start, *words)
        assert code == 0, err
        for stage in ("scene_preparation", "scene_fit"):  # restored, not computed: the same bits, the same seconds
            cost = (runs / name / f"{stage}.cost.json").read_text()
            assert cost == (runs / "ball" / f"{stage}.cost.json").read_text()
        assert (runs / name / "dataset_update" / "edit_preview.png").is_file()
        assert (runs / name / "capture_path" / "path.mp4").is_file()


@pytest.mark.slow
def test_splats_of_a_scene_are_edited_and_exported(fake, tmp_path):
    ball_capture(tmp_path / "ball")
    prior = write_tiny_prior(tmp_path / "prior", in_channels=8)
    splats = (
        "scene_fit.kind=splats", "scene_fit.splats.counts=[100, 150]", "scene_fit.splats.steps=[40, 60]",
        "scene_fit.splats.image_fractions=[0.5, 1.0]", "dataset_update.splats.steps=6",
        "dataset_update.splats.edit_all_every=3",
    )  # fmt: skip
    words = ("--scene", str(tmp_path / "ball"), "--device", "cpu", "--instruction", "a red ball", "--prior", str(prior))
    code, _, err = fake.cli("run", "instruct-nerf2nerf", *words, "--name", "red", *sets((*TINY, *EDIT, *splats)))
    assert code == 0, err
    run = fake.project / "data" / "runs" / "red"
    assert (run / "texture_baking" / "mesh.glb").is_file() and (run / "evaluation" / "report.html").is_file()
    code, _, err = fake.cli("export", "red", "--splats", "ply", "--to", str(tmp_path / "red.ply"))
    assert code == 0, err
    exported = read_splats(tmp_path / "red.ply").sh0
    before, edited = (load_drawn(run / stage).splats.sh0 for stage in ("scene_fit", "dataset_update"))
    assert torch.allclose(exported, edited, atol=1e-5) and not torch.allclose(exported, before, atol=1e-5)
