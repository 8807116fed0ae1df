"""sparsefusion on the command line: what is refused before anything is written, and one whole run on a tiny prior."""

import json

import pytest

from flows import methods, sparsefusion
from tests.posed_ball import write_ball
from tests.tiny_views import write_tiny_views

TINY_FIT = ("fit.resolutions=[9]", "fit.n_samples=8", "fit.rays_per_step=64")
SETS = [
    "view_preparation.frames=[0, 2]",
    "view_preparation.size=32",
    "view_symmetry.fit_steps=2",
    "view_features.n_views=4",
    "view_sampling.n_views=2",
    "view_sampling.num_inference_steps=2",
    "view_distillation.steps=60",
    "view_distillation.fit.rays_per_step=256",
    "view_distillation.fit.mask_weight=2.0",
    "mesh_extraction.resolution=24",
    "texture_baking.resolution=64",
    "evaluation.size=32",
    "evaluation.n_azimuths=2",
    "evaluation.n_samples=16",
    "evaluation.video_frames=2",
    "evaluation.video_size=32",
    *(f"view_symmetry.{text}" for text in TINY_FIT),
    *(f"view_distillation.{text}" for text in TINY_FIT[:2]),
]


def words(*more):
    return [word for text in SETS for word in ("--set", text)] + list(more)


@pytest.fixture
def views_prior(tmp_path):
    return str(write_tiny_views(tmp_path / "a_views_prior"))


def test_what_is_refused_first(fake, tmp_path, views_prior):
    write_ball(tmp_path / "ball", 2)
    start = ("run", "sparsefusion", "--prior", views_prior)
    for more, message in (
        ((), "--images is missing"),
        (("--images", str(tmp_path / "nowhere")), "there is no such folder"),
        (("--images", str(tmp_path / "ball"), "--set", "view_preparation.inputs=2"), "n_inputs"),
        (("--images", str(tmp_path / "ball"), "--set", "view_preparation.n_inputs=11"), "n_inputs"),
        (("--images", str(tmp_path / "ball"), "--prior", str(fake.prior)), "views is needed"),
    ):
        code, out, err = fake.cli(*start, *more)
        assert code == 2 and message in err and len(err.splitlines()) == 1, out
    assert list((fake.project / "data" / "runs").iterdir()) == []


def test_it_shares_the_stages_behind_the_field():
    known = {stage.module for stage in methods.METHODS["latent-nerf"].stages}
    own = {stage.module for stage in sparsefusion.METHOD.stages} - known
    assert own == {"stages.captioning", "stages.joint_views"} | {
        f"stages.view_{name}" for name in ("preparation", "symmetry", "features", "sampling", "distillation")
    }


def test_the_priors_role_decides_about_the_stages(fake, tmp_path, views_prior):
    write_ball(tmp_path / "ball", 2)
    start = ("plan", "sparsefusion", "--images", str(tmp_path / "ball"), "--name", "demo")
    joint, paper = ("captioning", "joint_views"), ("view_features", "view_sampling")
    for more, there, left_out in (((), joint, paper), (("--prior", views_prior, "--preset", "toy"), paper, joint)):
        code, out, err = fake.cli(*start, *more)
        assert code == 0 and all(name in out for name in there) and not any(name in out for name in left_out), err
        code, _, err = fake.cli(*start, *more, "--set", f"{left_out[0]}.seed=1")
        assert code == 2 and f"{left_out[0]} only with a --prior of role" in err


def test_a_prompt_is_for_joint_views_alone(fake, tmp_path, views_prior):
    write_ball(tmp_path / "ball", 2)
    start = ("plan", "sparsefusion", "--images", str(tmp_path / "ball"), "--prior", views_prior, "--preset", "toy")
    code, _, err = fake.cli(*start, "--prompt", "a red ball")
    assert code == 2 and "--prompt is for captioning or joint_views" in err and "add a --prior of role" in err


@pytest.mark.slow
def test_from_pictures_to_a_mesh_and_again(fake, tmp_path, views_prior):
    write_ball(tmp_path / "ball", 5)
    start = ("run", "sparsefusion", "--images", str(tmp_path / "ball"), "--prior", views_prior, "--preset", "toy")
    start += ("--name", "demo")
    code, out, err = fake.cli(*start, *words())
    assert code == 0, err
    assert set(fake.outcomes(out).values()) == {"Completed"}
    folder = fake.folder()
    assert (folder / "texture_baking/mesh.glb").read_bytes().startswith(b"glTF")
    metrics = json.loads((folder / "evaluation/metrics.json").read_text())
    assert metrics["held_out_field_psnr"]["n"] == 3 and metrics["held_out_mesh_ssim"]["value"] > 0
    assert (folder / "evaluation/held_out.png").is_file() and (folder / "view_sampling/samples.png").is_file()
    code, out, _ = fake.cli(*start, *words())
    assert code == 0 and "nothing to do" in out
    code, out, _ = fake.cli(*start, *words("--set", "view_sampling.num_inference_steps=3"))
    assert code == 0 and fake.outcomes(out)["view_sampling"] == "Completed"
    assert fake.outcomes(out).get("view_distillation", "Cached") == "Cached"  # looking is no part of the result
    code, out, err = fake.cli(*start, *words("--set", "view_preparation.frames=[0, 7]"))
    assert code == 2 and "name frames 0 to 4" in err
