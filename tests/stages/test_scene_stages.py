"""scene_fit, dataset_update and capture_path on a tiny capture and a tiny random prior."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import stages.contract.job
from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.fields.scene_field import SceneField
from stages.artifacts.base import load_metrics
from stages.artifacts.capture import check_posed_images, save_posed_cameras, save_posed_image
from stages.artifacts.fields import load_field, save_field
from stages.contract.entry import execute
from stages.scene_fit.measuring import check_fit
from tests.nested import nested
from tests.tiny_prior import write_tiny_prior

FIT = ["--images", "scene_preparation"]
EDIT = ["--field", "scene_fit", *FIT, "--instruction", "inputs/instruction.txt", "--prior", "inputs/prior.json"]
PATH = ["--field", "dataset_update", *FIT, "--before", "scene_fit"]
PARAMS = {
    "scene_fit": {
        "steps": [6, 8], "resolutions": [9, 17], "rendering.rays_per_step": 64, "rendering.n_bins": 12,
        "held_out_every": 4, "pruning.min_weight": 0.0,
    },
    "dataset_update": {
        "steps": 8, "edit_every": 2, "rendering.rays_per_step": 32, "rendering.n_bins": 12, "held_out_every": 4,
        "edit.num_inference_steps": 2, "preview_scales": [[1.5], [5.0]],
    },
    "capture_path": {"frames": 7, "longest_side": 16, "n_bins": 12},
}  # fmt: skip


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", in_channels=8)


def make_run(folder, prior, object_masks=True, **changed):
    """A run with a prepared capture: a red square before each camera, cut out by masks or not."""
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs" / "instruction.txt").write_text("a red ball\n")
    (folder / "inputs" / "prior.json").write_text(json.dumps({"name": "tiny", "digest": "0"}))
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": {"tiny": str(prior)}}))
    params = {stage: nested(values | changed.get(stage, {})) for stage, values in PARAMS.items()}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    cameras = orbit_cameras(ring(6, 20.0), 32, 32)
    names = [f"{view:05d}" for view in range(6)]
    image, mask = torch.zeros(3, 32, 32), torch.zeros(32, 32)
    image[0, 10:22, 10:22], mask[10:22, 10:22] = 1.0, 1.0
    for name in names:
        save_posed_image(folder / "scene_preparation", name, image, mask if object_masks else None)
    save_posed_cameras(folder / "scene_preparation", names, cameras, "object" if object_masks else "none")
    return folder


@pytest.fixture
def run_folder(tmp_path, prior):
    return make_run(tmp_path / "run", prior)


def broken_off(monkeypatch, stage, arguments, folder, step_to_stop):
    """Break a stage off after a step, as a kill does, and run it again to its end."""
    report, due = stages.contract.job.Job.progress, stages.contract.job.Job.checkpoint_due

    def progress(self, step, total, **others):
        if step == step_to_stop and others.get("loss") is not None:
            raise RuntimeError("broken off")
        report(self, step, total, **others)

    monkeypatch.setattr(stages.contract.job.Job, "progress", progress)
    monkeypatch.setattr(stages.contract.job.Job, "checkpoint_due", lambda self: True)
    assert execute(f"stages.{stage}", arguments, folder) == 1
    monkeypatch.setattr(stages.contract.job.Job, "progress", report)
    monkeypatch.setattr(stages.contract.job.Job, "checkpoint_due", due)
    assert execute(f"stages.{stage}", arguments, folder) == 0


def same_field(first, second):
    assert (first / "field.safetensors").read_bytes() == (second / "field.safetensors").read_bytes()


def test_fit_and_its_resume(run_folder, tmp_path, prior, monkeypatch):
    assert execute("stages.scene_fit", FIT, run_folder) == 0
    field = load_field(run_folder / "scene_fit")
    assert isinstance(field, SceneField) and field.config.resolution == 17 and not field.config.contracted
    metrics = load_metrics(run_folder / "scene_fit")
    assert metrics["held_out_psnr"]["n"] == 2 and metrics["held_out_psnr"]["value"] > 5
    for number, step in enumerate((4, 11)):  # in the first phase, and in the second
        again = make_run(tmp_path / f"again{number}", prior)
        broken_off(monkeypatch, "scene_fit", FIT, again, step)
        same_field(run_folder / "scene_fit", again / "scene_fit")


@pytest.mark.parametrize("kind", ["grid", "splats"])
def test_killed_right_after_a_phase_it_keeps_the_losses_of_the_phase(tmp_path, prior, monkeypatch, kind):
    """The phase's end is kept at once, and the time of the next checkpoint may not have come."""
    small = {"splats.counts": [40, 60], "splats.steps": [6, 8], "splats.image_fractions": [1.0, 1.0]}
    small |= {"splats.start": "random"}
    changed = {"scene_fit": {"kind": "splats"} | small} if kind == "splats" else {}
    whole, again = (make_run(tmp_path / name, prior, **changed) for name in ("whole", "again"))
    assert execute("stages.scene_fit", FIT, whole) == 0
    report = stages.contract.job.Job.progress

    def progress(self, step, total, **others):
        if step == 7:
            raise RuntimeError("broken off")
        report(self, step, total, **others)

    monkeypatch.setattr(stages.contract.job.Job, "progress", progress)
    assert execute("stages.scene_fit", FIT, again) == 1
    monkeypatch.setattr(stages.contract.job.Job, "progress", report)
    assert execute("stages.scene_fit", FIT, again) == 0
    curves = [(folder / "losses" / "scene_fit.json").read_bytes() for folder in (whole, again)]
    assert curves[0] == curves[1] and len(json.loads(curves[0])) == 14


def test_a_place_without_masks_is_contracted(tmp_path, prior):
    folder = make_run(tmp_path / "run", prior, object_masks=False, scene_fit={"steps": [30, 20]})
    assert execute("stages.scene_fit", FIT, folder) == 0
    assert load_field(folder / "scene_fit").config.contracted


def test_a_fit_that_diverged_is_refused():
    for psnr, flat_psnr in ((6.5, 11.0), (11.0, 60.0)):  # the second: photos that are nearly flat
        with pytest.raises(Prior3dError, match="farther from the photos than one flat colour .* lower scene_fit.optim"):
            check_fit(psnr, flat_psnr)
    check_fit(10.0, 11.0)
    check_fit(25.0, 60.0)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, prior):
    folder = make_run(tmp_path_factory.mktemp("fitted") / "run", prior)
    assert execute("stages.scene_fit", FIT, folder) == 0
    return folder


def another(fitted, folder, prior, **changed):
    """A run with the fitted scene, for an edit of it."""
    import shutil

    make_run(folder, prior, **changed)
    shutil.copytree(fitted / "scene_fit", folder / "scene_fit")
    return folder


@pytest.mark.parametrize(
    ("changed", "edits"),
    [
        ({"consensus.enabled": False}, 4),  # at steps 0, 2, 4 and 6
        ({"steps": 12, "edit.previous_weight": 0.5, "edit.noise_range_end": 0.4}, 8),  # all four at steps 0 and 8
        ({"steps": 8, "relevance.threshold": 0.3, "edit.n_edit_samples": 2, "edit.transfer": False}, 4),
    ],
)
def test_edit_and_its_resume(fitted, tmp_path, prior, monkeypatch, changed, edits):
    """The edited images are in the checkpoint: a resumed edit ends in the same bits."""
    whole = another(fitted, tmp_path / "whole", prior, dataset_update=changed)
    assert execute("stages.dataset_update", EDIT, whole) == 0
    resumed = another(fitted, tmp_path / "resumed", prior, dataset_update=changed)
    broken_off(monkeypatch, "dataset_update", EDIT, resumed, 5)
    same_field(whole / "dataset_update", resumed / "dataset_update")
    for view in range(4):
        name = f"dataset_update/edited/{view:05d}.png"
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()
    metrics = load_metrics(whole / "dataset_update")
    assert metrics["edits"]["value"] == edits
    assert (whole / "dataset_update" / "edit_preview.png").is_file()
    assert execute("stages.capture_path", PATH, whole) == 0
    with Image.open(whole / "capture_path" / "path.png") as sheet:
        assert sheet.height == 2 * 20 + 4  # before and after, 16 pixels each with gaps of 4


def test_nothing_irrelevant_is_edited(fitted, tmp_path, prior):
    """Where the images and the field may change is where the instruction matters; the rest keeps its bits."""
    changed = {
        "relevance.threshold": 0.9,
        "consensus.enabled": False,
        "steps": 3,
        "edit_every": 1,
        "edit.transfer": False,
    }
    folder = another(fitted, tmp_path / "run", prior, dataset_update=changed)
    assert execute("stages.dataset_update", EDIT, folder) == 0
    share = load_metrics(folder / "dataset_update")["edited_share"]["value"]
    before, after = (load_field(folder / name) for name in ("scene_fit", "dataset_update"))
    same = (before.colours == after.colours).all(-1)
    assert 0 < share < 0.9 and 0.1 < same.float().mean() < 1


@pytest.mark.parametrize(("variant", "edits"), [("one_time", 4), ("per_frame", 4), ("sds", 0)])
def test_variants(fitted, tmp_path, prior, variant, edits):
    folder = another(fitted, tmp_path / "run", prior, dataset_update={"variant": variant, "steps": 2})
    assert execute("stages.dataset_update", EDIT, folder) == 0
    assert load_metrics(folder / "dataset_update")["edits"]["value"] == edits
    before, after = (load_field(folder / stage).colours for stage in ("scene_fit", "dataset_update"))
    assert torch.equal(before, after) == (variant == "per_frame")


def test_an_edit_that_changes_nothing_is_said(fitted, tmp_path, prior, monkeypatch, capsys):
    folder = another(fitted, tmp_path / "run", prior, dataset_update={"steps": 1})
    monkeypatch.setattr("prior3d.dataset_update.scene_consensus.soft_threshold", lambda relevance, *_: 0 * relevance)
    assert execute("stages.dataset_update", EDIT, folder) == 0
    assert "so nothing is changed; lower dataset_update.consensus.min_change_ratio" in capsys.readouterr().out


def test_an_instruction_the_prior_has_no_words_for(fitted, tmp_path, prior, capsys):
    folder = another(fitted, tmp_path / "run", prior, dataset_update={"steps": 1})
    (folder / "inputs" / "instruction.txt").write_text("make it a zeppelin\n")
    assert execute("stages.dataset_update", EDIT, folder) == 0
    assert "this prior does not know:" in capsys.readouterr().out
    assert load_metrics(folder / "dataset_update")["unknown_words"]["value"] >= 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"perceptual.weight": 1.0}, "LPIPS needs weights, and none are shipped"),
        (
            {"perceptual.weight": 1.0, "perceptual.weights_file": "no.safetensors"},
            "no weights of a perceptual distance",
        ),
        (
            {"edit.noise_range": [0.9, 0.1]},
            "dataset_update.edit.noise_range: the first number must not be above the second",
        ),
        ({"consensus": False}, "is a group of parameters; name one of them, as dataset_update.consensus.NAME: enabled"),
        ({"held_out_every": 1}, "leaves none of 6 views"),
        ({"variant": "magic"}, "variant"),
    ],
)
def test_bad_parameters(fitted, tmp_path, prior, capsys, changed, said):
    folder = another(fitted, tmp_path / "run", prior, dataset_update=changed)
    assert execute("stages.dataset_update", EDIT, folder) == 2
    assert said in capsys.readouterr().err


def test_phases_must_fit(run_folder, capsys):
    (run_folder / "params.yaml").write_text(yaml.safe_dump({"scene_fit": {"steps": [5]}}))
    assert execute("stages.scene_fit", FIT, run_folder) == 2
    assert "3 resolutions but 1 numbers of steps" in capsys.readouterr().err


def test_posed_images_say_what_is_wrong(run_folder):
    folder = run_folder / "scene_preparation"
    check_posed_images(folder)
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(folder / "images" / "00000.png")
    with pytest.raises(Prior3dError, match=r"00000.png: \(5, 5\) pixels, its cameras have \(32, 32\)"):
        check_posed_images(folder)
    (folder / "images" / "00003.png").unlink()
    with pytest.raises(Prior3dError, match=r"00003.png: there is no such file"):
        check_posed_images(folder)
    content = json.loads((folder / "transforms.json").read_text())
    del content["frames"][2]["mask_path"]
    (folder / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(Prior3dError, match="5 masks of 6 pictures"):
        check_posed_images(folder)


def test_a_field_that_is_no_scene(fitted, tmp_path, prior, capsys):
    from prior3d.fields import DenseGrids, FieldConfig, ObjectField

    folder = another(fitted, tmp_path / "run", prior)
    for file in (folder / "scene_fit").glob("field.*"):
        file.unlink()
    save_field(folder / "scene_fit", ObjectField(FieldConfig(DenseGrids((5,)), head="rgb", channels=3)))
    assert execute("stages.dataset_update", EDIT, folder) == 2
    assert "is no captured scene's; give the output of scene_fit as --field" in capsys.readouterr().err
