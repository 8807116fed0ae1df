"""quick on the command line: what is refused before anything is written, which stages a run has, and whole runs."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from flows import quick
from flows.cli import main
from flows.engine.parameters import split_switches
from flows.engine.project import init_project
from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from tests.posed_ball import ball_cameras, ball_pictures, write_ball
from tests.tiny_joint_views import write_tiny_joint_views
from tests.tiny_scorer import write_tiny_scorer

GIVEN = {"image_preparation", "image_captioning", "view_preparation", "captioning"}


@pytest.mark.parametrize(
    ("given", "brought"),
    [
        (["prompt"], set()),
        (["image"], {"image_preparation", "image_captioning"}),
        (["prompt", "image"], {"image_preparation", "image_captioning"}),
        (["images"], {"view_preparation", "captioning"}),
    ],
)
def test_inputs_bring_their_stages(given, brought):
    chosen, _ = split_switches(quick.METHOD, [], given)
    names = {stage.name for stage in chosen.stages}
    assert names & GIVEN == brought
    known = names | {i.name for i in chosen.inputs}
    assert all(set(stage.inputs.values()) <= known for stage in chosen.stages)
    assert ("scorer" in known) == bool(brought)
    assert chosen.stage("joint_views").inputs.get("caption", "") == next((n for n in brought if "caption" in n), "")


def test_a_stage_that_an_input_brings_is_not_switched_by_hand():
    with pytest.raises(Prior3dError, match="quick has captioning only with --images"):
        split_switches(quick.METHOD, ["captioning.most_images=2"], ["prompt"])
    with pytest.raises(Prior3dError, match="quick has no optional stage 'captioning'"):
        split_switches(quick.METHOD, ["captioning=on"], ["image"])


SETS = {
    "image_captioning.caption.n_kept": 2,
    "image_captioning.caption.n_draws": 1,
    "image_captioning.camera_search.n_azimuths": 2,
    "captioning.caption.n_kept": 2,
    "captioning.caption.n_draws": 1,
    "joint_views.drawing.num_inference_steps": 2,
    "joint_views.given.n_sets": 1,
    "view_fit.steps": 40,
    "view_fit.fit.resolutions": [9],
    "view_fit.fit.n_samples": 8,
    "view_fit.fit.rays_per_step": 128,
    "mesh_extraction.resolution": 24,
    "mesh_extraction.outline_steps": 2,
    "texture_baking.resolution": 64,
    "evaluation.size": 32,
    "evaluation.n_azimuths": 2,
    "evaluation.n_samples": 16,
    "evaluation.video_frames": 2,
    "evaluation.video_size": 32,
}


def settings(*stages):
    return [f"--set={key}={json.dumps(value)}" for key, value in SETS.items() if key.partition(".")[0] in stages]


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors")
    words = ["--prior", str(write_tiny_joint_views(folder / "mv")), "--preset", "toy"]
    return words, ["--scorer", str(write_tiny_scorer(folder / "scorer"))]


def test_what_is_refused_first(fake, tmp_path, priors):
    write_ball(tmp_path / "ball", 2)
    write_png(tmp_path / "ball.png", np.ones((16, 16, 4), np.float32))
    image, images = ("--image", str(tmp_path / "ball.png")), ("--images", str(tmp_path / "ball"))
    for words, message in (
        ((), "say what to make it from: --prompt, --image or --images"),
        ((*image, *images), "--image and --images: quick takes one of them"),
        (("--prompt", "a ball", *images, "--image", image[1]), "quick takes one of them"),
        (("--prompt", "a ball", "--mask", image[1]), "--mask is for image_preparation, which this run does not have"),
        (("--prompt", "a ball", "--set", "view_preparation.n_inputs=2"), "view_preparation only with --images"),
        (("--prompt", ""), "say what to make it from"),
        (("--prompt", "a ball", "--prior", str(fake.prior)), "joint_views is needed"),
    ):
        code, out, err = fake.cli("run", "quick", *priors[0], *words)
        assert code == 2 and message in err and len(err.splitlines()) == 1, (words, out, err)
    assert list((fake.project / "data" / "runs").iterdir()) == []


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project; random priors draw no object, so any coverage will do."""
    before = Path.cwd()
    init_project(tmp_path / "project")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    os.chdir(tmp_path / "project")
    yield tmp_path
    os.chdir(before)


def test_posed_images_without_masks_are_one_line(project, priors, capfd):
    write_ball(project / "ball", 2, masks="none")
    for file in (project / "ball/images").iterdir():  # no border of one colour
        write_png(file, np.random.default_rng(0).random((32, 32, 3)))
    words = ["run", "quick", "--images", str(project / "ball"), *priors[0], *priors[1], "--plain"]
    assert main([*words, "--stop-after", "captioning"]) == 2
    err = capfd.readouterr().err
    assert "the posed images have no masks" in err and "error: " in err


@pytest.mark.slow
@pytest.mark.parametrize("form", ["prompt", "image", "images"])
def test_from_anything_to_a_mesh_and_again(project, priors, form, capfd):
    stages = [stage.name for stage in split_switches(quick.METHOD, [], [form])[0].stages]
    given = {"prompt": "a red ball zeppelin", "image": str(project / "ball.png"), "images": str(project / "ball")}
    write_ball(project / "ball", 3)
    write_png(project / "ball.png", ball_pictures(ball_cameras(1, 48))[0])
    words = ["run", "quick", f"--{form}", given[form], *priors[0], *(priors[1] if form != "prompt" else [])]
    words += ["--name", "ball", "--plain", *settings(*stages)]
    assert main(words) == 0, capfd.readouterr().err
    told = capfd.readouterr()
    folder = Path("data/runs/ball")
    assert (folder / "texture_baking/mesh.glb").read_bytes().startswith(b"glTF")
    page = (folder / "evaluation/report.html").read_text()
    assert "Made from" in page and ("outline" in page or form != "image")
    unknown = "this prior does not know: zeppelin" if form == "prompt" else "the prior does not know this thing"
    assert told.err.splitlines()[-1].startswith("warning: ") and unknown in told.err  # again at the end
    if form != "prompt":
        assert json.loads((folder / stages[1] / "metrics.json").read_text())["known"]["value"] in (0, 1)
    assert main(words) == 0
    assert "nothing to do" in capfd.readouterr().out
