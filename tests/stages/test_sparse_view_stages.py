"""view_features, view_sampling, view_distillation on a tiny random views prior: artifacts, resume, what they read."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from prior3d.images.files import write_png
from prior3d.reconstruction.symmetry import MirrorPlane, Symmetry, with_mirror_images
from stages.artifacts.base import load_metrics
from stages.artifacts.fields import load_field
from stages.artifacts.input_views import load_input_views
from stages.artifacts.symmetry import load_symmetry
from stages.artifacts.view_features import load_view_features
from stages.contract.entry import execute
from tests.breaking_off import stop_at
from tests.nested import nested
from tests.posed_ball import ball_cameras, ball_pictures, write_ball
from tests.tiny_views import write_tiny_views

FIT = {"fit.resolutions": [9], "fit.n_samples": 8, "fit.rays_per_step": 64, "fit.mask_weight": 2.0}
PARAMS = {
    "view_preparation": {"size": 32},
    "view_symmetry": FIT | {"fit_steps": 3, "leave_one_out": 2, "max_planes": 1},
    "view_features": {"n_views": 5},
    "view_sampling": {"n_views": 2, "num_inference_steps": 2},
    "view_distillation": FIT | {"steps": 8, "ring.refresh_every": 2, "ring.views_per_refresh": 2, "ring.weight": 0.5},
}
SYMMETRY = ["--views", "view_preparation"]
VIEWS = [*SYMMETRY, "--symmetry", "view_symmetry", "--prior", "prior.json"]
SAMPLING = [*SYMMETRY, "--prior", "prior.json", "--features", "view_features"]
KNOWING = [*VIEWS, "--features", "view_features"]


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return write_tiny_views(tmp_path_factory.mktemp("priors") / "views")


@pytest.fixture(autouse=True)
def any_coverage(monkeypatch):
    monkeypatch.setattr("stages.contract.object_check.SMALLEST_COVERAGE", 0.0)  # a few steps make no object
    monkeypatch.setattr("stages.contract.object_check.LARGEST_COVERAGE", 1.0)


def make_run(folder, prior, n=3, frames=(), masks="alpha", **changed):
    write_ball(folder / "images", n, masks=masks)
    if masks == "none":
        for view, picture in enumerate(ball_pictures(ball_cameras(n, 32))):
            row = np.linspace(0.2, 0.8, 32)[:, None, None]
            write_png(folder / f"images/images/{view}.png", np.where(picture[..., 3:] > 0, picture[..., :3], row))
    params = {name: values | changed.get(name, {}) for name, values in PARAMS.items()}
    params["view_preparation"] = params["view_preparation"] | {"frames": list(frames)}
    (folder / "params.yaml").write_text(yaml.safe_dump({name: nested(values) for name, values in params.items()}))
    (folder / "prior.json").write_text(json.dumps({"name": "views", "digest": "0"}))
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": {"views": str(prior)}}))
    assert execute("stages.view_preparation", ["--images", "images"], folder) == 0
    assert execute("stages.view_symmetry", SYMMETRY, folder) == 0
    return folder


def set_confidence(folder, value=1.0):
    """Change the measured confidence, which a random prior does not have."""
    path = folder / "view_features/features.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prior_confidence": value}))


def field_bytes(folder):
    return (folder / "view_distillation/field.safetensors").read_bytes()


def test_artifacts_and_a_resume_to_the_same_bits(tmp_path, prior, monkeypatch):
    whole, broken = (make_run(tmp_path / name, prior) for name in ("whole", "broken"))
    for folder in (whole, broken):
        assert execute("stages.view_features", VIEWS, folder) == 0
        set_confidence(folder)
    assert execute("stages.view_sampling", SAMPLING, whole) == 0
    assert len(list((whole / "view_sampling/samples").iterdir())) == 2
    assert execute("stages.view_distillation", KNOWING, whole) == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 6)  # after some views were denoised
        patch.setattr("stages.contract.preview.PREVIEW_EVERY_S", 0.0)  # previews must not change the result
        assert execute("stages.view_distillation", KNOWING, broken) == 1
    assert list((broken / ".work/view_distillation").glob("*/checkpoint.safetensors"))
    assert not (broken / "view_distillation").exists()
    assert execute("stages.view_distillation", KNOWING, broken) == 0
    assert field_bytes(broken) == field_bytes(whole)
    metrics = load_metrics(whole / "view_distillation")
    assert metrics["prior_weight"]["value"] == 0.5 and metrics["input_psnr"]["value"] > 5
    config = load_field(whole / "view_distillation").config
    assert config.head == "rgb" and config.encoding.resolutions == (9,)


def test_confidence_compares_the_prior_with_the_fits_of_inputs_left_out(tmp_path, prior, capsys):
    folder = make_run(tmp_path / "run", prior)
    path = folder / "view_symmetry/symmetry.json"
    content = json.loads(path.read_text())
    assert sorted(content["leave_one_out_db"]) == ["0", "1"]
    confidences = []
    for fit_db in (5.0, 60.0):  # far worse than the random prior is, and far better
        path.write_text(json.dumps(content | {"leave_one_out_db": {"0": fit_db, "1": fit_db}}))
        shutil.rmtree(folder / "view_features", ignore_errors=True)
        shutil.rmtree(folder / ".work/view_features", ignore_errors=True)
        assert execute("stages.view_features", VIEWS, folder) == 0
        metrics = load_metrics(folder / "view_features")
        assert metrics["leave_one_out_fit"]["value"] == fit_db and metrics["prior_confidence"]["n"] == 2
        confidences.append(metrics["prior_confidence"]["value"])
        assert metrics["leave_one_out_prior"]["value"] < 16  # a random prior, which knows nothing
        said = "does not know such things" if confidences[-1] == 0 else "does not seem to know such things"
        assert said in capsys.readouterr().out
    assert confidences == [1.0, 0.0]


def test_fits_of_inputs_left_out_are_kept_over_a_kill(tmp_path, prior, monkeypatch):
    folder = make_run(tmp_path / "run", prior)
    first = (folder / "view_symmetry/symmetry.json").read_bytes()
    shutil.rmtree(folder / "view_symmetry")
    shutil.rmtree(folder / ".work/view_symmetry")
    with monkeypatch.context() as patch:
        stop_at(patch, 2)  # plain: both inputs; with a plane: after none
        assert execute("stages.view_symmetry", SYMMETRY, folder) == 1
    kept = sorted((folder / ".work/view_symmetry").glob("*/plain_*.json"))
    assert len(kept) == 2
    times = [path.stat().st_mtime_ns for path in kept]
    assert execute("stages.view_symmetry", SYMMETRY, folder) == 0
    assert (folder / "view_symmetry/symmetry.json").read_bytes() == first
    assert [path.stat().st_mtime_ns for path in kept if path.is_file()] in (times, [])  # taken as they were


def test_a_plane_that_does_not_help_is_dropped(tmp_path, prior, monkeypatch, capsys):
    """The ball is red in front and blue behind: a plane with its normal along x is wrong, one along y is right."""
    folder = make_run(
        tmp_path / "run", prior, n=4, view_symmetry={"fit_steps": 60, "fit.rays_per_step": 512, "leave_one_out": 4}
    )
    for angle_deg, kept in ((0.0, 0), (90.0, 1)):
        monkeypatch.setattr(
            "stages.view_symmetry.stage.find_planes", lambda *_, angle_deg=angle_deg: [MirrorPlane(angle_deg, 0.0)]
        )
        shutil.rmtree(folder / "view_symmetry")
        shutil.rmtree(folder / ".work/view_symmetry", ignore_errors=True)
        assert execute("stages.view_symmetry", SYMMETRY, folder) == 0
        assert f"; {kept} kept" in capsys.readouterr().out
        assert len(load_symmetry(folder / "view_symmetry").planes) == kept


def test_a_prior_that_is_not_trusted_changes_nothing(tmp_path, prior):
    fields = []
    for name, features, distillation in (("none", {}, {}), ("other", {"seed": 5}, {"ring.strength_range": [0.2, 0.9]})):
        folder = make_run(tmp_path / name, prior, view_features=features, view_distillation=distillation)
        assert execute("stages.view_features", VIEWS, folder) == 0
        set_confidence(folder, 0.0)
        assert execute("stages.view_distillation", KNOWING, folder) == 0
        assert load_metrics(folder / "view_distillation")["prior_weight"]["value"] == 0
        fields.append(field_bytes(folder))
    assert fields[0] == fields[1]


def test_held_out_pictures_and_cameras_reach_neither_features_nor_field(tmp_path, prior):
    """The released code distils at the cameras it is evaluated on."""
    made = []
    for name in ("one", "two"):
        folder = make_run(tmp_path / name, prior, n=6, frames=(0, 2))
        if name == "two":
            file = folder / "view_preparation/held_out/transforms.json"
            content = json.loads(file.read_text())
            for frame in content["frames"]:
                frame["transform_matrix"][2][3] += 1.0
            file.write_text(json.dumps(content))
            write_png(folder / "view_preparation/held_out/images/00000.png", np.zeros((32, 32, 3)))
        assert execute("stages.view_features", VIEWS, folder) == 0
        assert execute("stages.view_distillation", KNOWING, folder) == 0
        made.append(((folder / "view_features/features.safetensors").read_bytes(), field_bytes(folder)))
    assert made[0] == made[1]


def test_the_ring_holds_no_input_camera(tmp_path, prior):
    folder = make_run(tmp_path, prior, view_features={"n_views": 12})
    assert execute("stages.view_features", VIEWS, folder) == 0
    ring = load_view_features(folder / "view_features").predicted.cameras
    inputs = load_input_views(folder / "view_preparation").cameras
    assert (ring.c2w[:, None] - inputs.c2w).abs().amax((-1, -2)).min() > 1e-3
    assert ring.views == 12 and torch.allclose(ring.positions.norm(dim=-1), torch.tensor(3.2), atol=1e-3)


def test_one_picture_is_trusted_unmeasured(tmp_path, prior, capsys):
    folder = make_run(tmp_path, prior, n=1, view_distillation={"ring.single_input_weight": 0.7})
    assert execute("stages.view_features", VIEWS, folder) == 0
    said = capsys.readouterr().out
    assert "one image cannot tell" in said and "no input was left out" in said
    assert load_view_features(folder / "view_features").prior_confidence == 1
    assert execute("stages.view_distillation", KNOWING, folder) == 0
    assert load_metrics(folder / "view_distillation")["prior_weight"]["value"] == 0.7


def test_images_without_masks_have_a_background(tmp_path, prior):
    folder = make_run(tmp_path, prior, n=2, masks="none")
    assert execute("stages.view_features", VIEWS, folder) == 0
    set_confidence(folder)
    assert load_view_features(folder / "view_features").predicted.masks is None
    assert load_symmetry(folder / "view_symmetry").planes == ()
    assert execute("stages.view_distillation", KNOWING, folder) == 0
    assert len(json.loads((folder / "view_distillation/background.json").read_text())) == 9


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("view_distillation", {"ring.strength_range": [0.2, 1.5]}, "ring.strength_range: input should be less than"),
        ("view_distillation", {"ring.warm_up": 2}, "ring.warm_up"),
        ("view_distillation", {"prior_weight": 2}, "view_distillation.prior_weight is now called"),
        ("view_features", {"confidence.none_at_db": 1.0}, "none_at_db 1.0 is not below full_at_db 0.0"),
        ("view_features", {"elevation_deg": [40, 10]}, "must not be above the second"),
    ],
)
def test_parameters_that_cannot_be(tmp_path, prior, capsys, section, values, said):
    folder = make_run(tmp_path, prior, **{section: values})
    if section == "view_distillation":
        assert execute("stages.view_features", VIEWS, folder) == 0
    words = VIEWS if section == "view_features" else KNOWING
    assert execute(f"stages.{section}", words, folder) == 2
    assert said in capsys.readouterr().err


def test_features_that_are_damaged(tmp_path, prior, capsys):
    folder = make_run(tmp_path, prior)
    assert execute("stages.view_features", VIEWS, folder) == 0
    path = folder / "view_features/features.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    assert execute("stages.view_distillation", KNOWING, folder) == 2
    assert "features.safetensors: damaged" in capsys.readouterr().err


def test_a_symmetry_that_is_damaged(tmp_path, prior, capsys):
    folder = make_run(tmp_path, prior)
    (folder / "view_symmetry/symmetry.json").write_text(
        '{"planes": [{"angle": 3}], "weight": 1, "leave_one_out_db": {}}'
    )
    assert execute("stages.view_features", VIEWS, folder) == 2
    assert "not a symmetry" in capsys.readouterr().err


def test_mirror_images_are_further_inputs_of_their_weight(tmp_path, prior):
    views = load_input_views(make_run(tmp_path, prior) / "view_preparation")
    plane = MirrorPlane(90.0, 0.0)
    both = with_mirror_images(views, Symmetry((plane,), 0.25))
    assert both.cameras.views == 6 and torch.equal(both.colours[3:], views.colours.flip(-1))
    assert torch.equal(both.weights[3:], views.weights.flip(-1) * 0.25)
    assert with_mirror_images(views, Symmetry()) is views
