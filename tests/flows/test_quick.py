"""quick on the command line: what is refused before anything is written, which stages a run has, and whole runs."""

import json
import shutil

import numpy as np
import pytest
import torch

from flows import quick
from flows.engine.parameters import split_switches
from flows.engine.project import find_project, init_project
from flows.request import make_request
from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from prior3d.reconstruction.body import OtherOutlines
from stages.artifacts.base import load_metrics
from stages.artifacts.captions import load_caption
from stages.artifacts.drawn_views import load_drawn_views
from stages.artifacts.images import load_object_image
from stages.contract.entry import execute
from tests.breaking_off import stop_at
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
    "joint_views.outlines.num_inference_steps": 2,
    "joint_views.outlines.n_sets": 1,
    "joint_views.body.size": 32,
    "view_fit.steps": 40,
    "view_fit.posed_steps": 44,
    "view_fit.completed_steps": 2,
    "view_fit.completed_fit.n_samples": 8,
    "view_fit.completed_fit.rays_per_step": 128,
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
    for where in ("stages.joint_views.stage", "stages.contract.object_check"):
        monkeypatch.setattr(f"{where}.SMALLEST_COVERAGE", 0.0)
        monkeypatch.setattr(f"{where}.LARGEST_COVERAGE", 1.0)
    init_project(tmp_path / "project")
    write_ball(tmp_path / "ball", 3)
    write_png(tmp_path / "ball.png", ball_pictures(ball_cameras(1, 48))[0])
    return tmp_path


def make(project, words, until=""):
    """The run's folder after its stages were executed in this process, up to one of them; and the last exit code."""
    request = make_request(find_project(project / "project"), quick.METHOD, [*words, "--name", "ball"])
    run, code = request.run, 0
    with run.held():
        run.declare(request.declaration, request.settings, print)
    for stage in request.declaration.method.stages:
        code = code or execute(stage.module, request.declaration.argv(stage), run.folder)
        if stage.name == until:
            break
    return run.folder, code


def given(project, form):
    return {"prompt": "a red ball zeppelin", "image": project / "ball.png", "images": project / "ball"}[form]


def words_of(project, priors, form):
    stages = [stage.name for stage in split_switches(quick.METHOD, [], [form])[0].stages]
    scorer = priors[1] if form != "prompt" else []
    return [f"--{form}", str(given(project, form)), *priors[0], *scorer, *settings(*stages)]


@pytest.mark.parametrize("form", ["prompt", "image", "images"])
def test_from_anything_to_a_field(project, priors, form, capfd):
    folder, code = make(project, words_of(project, priors, form), "view_fit")
    told = capfd.readouterr()
    assert code == 0, told.err
    found = load_drawn_views(folder / "joint_views")
    n_given = {"prompt": 0, "image": 1, "images": 3}[form]
    n_drawn = {"prompt": 12, "image": 16, "images": 8}[form]  # of one unknown thing: renders of a completed body
    assert found.n_given == n_given and len(found.views.colours) == n_given + n_drawn
    assert (folder / "joint_views/field.json").is_file() == (form == "image")
    steps = json.loads((folder / "losses/view_fit.json").read_text())[-1]["step"]
    assert steps == {"prompt": 40, "image": 2, "images": 44}[form]  # of posed images more can be learnt
    metrics = load_metrics(folder / "view_fit")
    assert metrics["drawn_psnr"]["value"] > 0 and ("given_psnr" in metrics) == (n_given > 0)
    if form == "prompt":
        assert "warning: this prior does not know: zeppelin" in told.out
    else:
        assert "warning: the prior does not know this thing" in told.out
        weights = found.views.weights[:, 0, 0]
        assert weights.unique().tolist() == ([1, 6] if form == "image" else [pytest.approx(0.1), 8])


def test_a_person_names_what_the_prior_does_not_know(project, priors, monkeypatch, capfd):
    asked = []

    def outlines(prior, text, given, body, *_):  # a random prior's cover everything and trim nothing
        asked.append(text)
        cameras = ball_cameras(2, 32)
        return OtherOutlines(torch.zeros(2, 32, 32), cameras)

    monkeypatch.setattr("stages.joint_views.completed.redrawn_outlines", outlines)
    words = ["--prompt", "a red ball", *words_of(project, priors, "image")]
    folder, code = make(project, words, "joint_views")
    assert code == 0, capfd.readouterr().err
    caption = load_caption(folder / "image_captioning")
    assert caption.from_person and not caption.known and caption.believed == "a red ball"
    told = capfd.readouterr().out
    assert "another --prompt may help" in told and asked == ["a red ball"]
    trimmed = (folder / "joint_views/field.safetensors").read_bytes()
    folder, code = make(project, [*words, "--set", "joint_views.outlines.strength=0"], "joint_views")
    assert code == 0 and (folder / "joint_views/field.safetensors").read_bytes() != trimmed
    assert asked == ["a red ball"]


def test_what_the_prior_knows_has_the_caption_and_the_direction_that_explain_it(project, priors, monkeypatch):
    monkeypatch.setattr("stages.image_captioning.stage.search_direction", lambda *_: (120.0, 24.0))
    words = [*words_of(project, priors, "image"), "--set", "image_captioning.caption.known_below=9"]
    folder, code = make(project, words, "joint_views")
    assert code == 0 and load_caption(folder / "image_captioning").known
    view = load_object_image(folder / "image_captioning").viewpoint
    assert (view.azimuth_deg, view.elevation_deg) == (120.0, 24.0)
    found = load_drawn_views(folder / "joint_views")
    assert found.n_given == 2 and found.views.weights[:2, 0, 0].tolist() == [4, 2]
    assert torch.allclose(found.views.cameras.c2w[0], view.cameras(32).c2w[0], atol=1e-5)
    assert (view.fov_deg, view.radius) == (40.0, 3.2)
    words[-1] = "image_captioning.caption.known_below=0"
    folder, _ = make(project, words, "image_captioning")
    view = load_object_image(folder / "image_captioning").viewpoint
    assert (view.azimuth_deg, view.elevation_deg, view.fov_deg) == (0.0, 4.0, 14.0)  # as it was assumed


def test_a_fit_that_is_broken_off_goes_on_to_the_same_bits(project, priors, monkeypatch):
    words = words_of(project, priors, "prompt")
    folder, code = make(project, words, "view_fit")
    whole = (folder / "view_fit/field.safetensors").read_bytes()
    shutil.rmtree(folder / "view_fit")
    shutil.rmtree(folder / ".work/view_fit")
    with monkeypatch.context() as patch:
        stop_at(patch, 20)
        assert execute("stages.view_fit", ["--views", "joint_views"], folder) == 1
    assert list((folder / ".work/view_fit").glob("*/checkpoint.safetensors"))
    assert execute("stages.view_fit", ["--views", "joint_views"], folder) == 0 == code
    assert (folder / "view_fit/field.safetensors").read_bytes() == whole


def test_posed_images_without_masks_are_one_line(project, priors, capfd):
    for file in (project / "ball/images").iterdir():  # no border of one colour
        write_png(file, np.random.default_rng(0).random((32, 32, 3)))
    _, code = make(project, words_of(project, priors, "images"), "captioning")
    err = capfd.readouterr().err
    assert code == 2 and "the posed images have no masks" in err and len(err.splitlines()) == 1


def test_drawings_without_an_object_are_one_line(project, priors, monkeypatch, capfd):
    monkeypatch.setattr("stages.joint_views.stage.LARGEST_COVERAGE", 0.5)
    _, code = make(project, words_of(project, priors, "prompt"), "joint_views")
    err = capfd.readouterr().err
    assert code == 2 and "the drawn views show no object" in err and len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("form", ["prompt", "image", "images"])
def test_from_anything_to_a_report(project, priors, form, capfd):
    folder, code = make(project, words_of(project, priors, form))
    assert code == 0, capfd.readouterr().err
    assert (folder / "texture_baking/mesh.glb").read_bytes().startswith(b"glTF")
    page = (folder / "evaluation/report.html").read_text()
    assert "Made from" in page and ("cut out, and its mask" in page) == (form == "image")
    assert ("The prior does not know this thing" in page) == (form != "prompt")
