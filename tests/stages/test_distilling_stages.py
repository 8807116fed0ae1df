"""coarse_nerf and rgb_refinement end to end on a tiny random prior: artifacts, resume after a kill, errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import stages.contract.job
from prior3d.fields import ObjectField
from prior3d.fields.start import field_config
from stages import coarse_nerf, rgb_refinement
from stages.artifacts.base import load_metrics
from stages.artifacts.fields import load_field
from stages.contract.entry import execute
from stages.contract.parameters import merged
from stages.rgb_refinement.stage import start
from tests.breaking_off import kill_at, stop_at
from tests.nested import nested
from tests.tiny_prior import write_tiny_prior

REPOSITORY = Path(__file__).resolve().parents[2]
COARSE = {"steps": 12, "n_samples": 16, "field.grid_resolutions": [5, 9], "views.per_step": 2}
REFINED = {
    "steps": 8,
    "n_samples": 12,
    "finer_resolutions": [17],
    "refresh.n_views": 4,
    "refresh.rays_per_step": 64,
    "refresh.strengths": [0.4, 0.0],
    "refresh.num_inference_steps": 2,
}
COARSE_INPUTS = ["--prompt", "inputs/prompt.txt", "--prior", "inputs/prior.json"]
REFINED_INPUTS = ["--field", "coarse_nerf", *COARSE_INPUTS]


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """As the toy prior: it takes a camera and predicts velocities."""
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", camera=True, prediction_type="v_prediction")


@pytest.fixture(scope="module")
def plain_prior(tmp_path_factory):
    """As Stable Diffusion 1.x: no camera, predicts noise."""
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p")


@pytest.fixture
def run_folder(tmp_path, prior):
    return make_run(tmp_path / "run", prior)


def make_run(folder, prior, coarse=(), refined=()):
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs" / "prompt.txt").write_text("a red ball\n")
    (folder / "inputs" / "prior.json").write_text(json.dumps({"name": "tiny", "digest": "0"}))
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": {"tiny": str(prior)}}))
    params = {"coarse_nerf": nested(COARSE | dict(coarse)), "rgb_refinement": nested(REFINED | dict(refined))}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def field_bytes(folder, stage):
    return (folder / stage / "field.safetensors").read_bytes()


@pytest.mark.parametrize(("mode", "which"), [("consistency", "prior"), ("sds", "plain_prior")])
def test_both_stages_make_checked_fields_and_resume_bit_identically(tmp_path, request, monkeypatch, mode, which):
    folder, refined = request.getfixturevalue(which), {"mode": mode, "sds.image_size": 16}
    whole, broken = (make_run(tmp_path / name, folder, refined=refined) for name in ("whole", "broken"))
    assert execute("stages.coarse_nerf", COARSE_INPUTS, whole) == 0
    assert execute("stages.rgb_refinement", REFINED_INPUTS, whole) == 0
    for stage, arguments in (("coarse_nerf", COARSE_INPUTS), ("rgb_refinement", REFINED_INPUTS)):
        with monkeypatch.context() as patch:
            stop_at(patch, 6)
            patch.setattr("stages.contract.preview.PREVIEW_EVERY_S", 0.0)  # previews must not change the result
            assert execute(f"stages.{stage}", arguments, broken) == 1
        assert list((broken / ".work" / stage).glob("*/preview.png"))
        assert list((broken / ".work" / stage).glob("*/checkpoint.safetensors"))
        assert not (broken / stage).exists()
        assert execute(f"stages.{stage}", arguments, broken) == 0
        assert field_bytes(broken, stage) == field_bytes(whole, stage)
        assert (whole / stage / "preview.png").read_bytes().startswith(b"\x89PNG")
        assert 0 < load_metrics(whole / stage)["coverage"]["value"] < 1
    assert load_field(whole / "coarse_nerf").config.head == "latent"
    config = load_field(whole / "rgb_refinement").config
    assert config.head == "rgb" and config.encoding.resolutions == (5, 9, 17)


def test_kill_9_then_resume(tmp_path, prior):
    whole, killed = (make_run(tmp_path / name, prior) for name in ("whole", "killed"))
    assert execute("stages.coarse_nerf", COARSE_INPUTS, whole) == 0
    kill_at("stages.coarse_nerf", COARSE_INPUTS, killed, 7)
    assert execute("stages.coarse_nerf", COARSE_INPUTS, killed) == 0
    assert field_bytes(killed, "coarse_nerf") == field_bytes(whole, "coarse_nerf")


def test_sigterm_saves_and_leaves(run_folder, monkeypatch, capfd):
    report = stages.contract.job.Job.progress

    def progress(self, step, total, **others):
        report(self, step, total, **others)
        if step == 3:
            self.stopping = True

    monkeypatch.setattr(stages.contract.job.Job, "progress", progress)
    assert execute("stages.coarse_nerf", COARSE_INPUTS, run_folder) == 143
    assert list((run_folder / ".work" / "coarse_nerf").glob("*/checkpoint.safetensors"))
    assert not (run_folder / "coarse_nerf").exists()


def test_a_seed_changes_the_result(tmp_path, prior):
    one, two = make_run(tmp_path / "1", prior), make_run(tmp_path / "2", prior, coarse={"seed": 1})
    for folder in (one, two):
        assert execute("stages.coarse_nerf", COARSE_INPUTS, folder) == 0
    assert field_bytes(one, "coarse_nerf") != field_bytes(two, "coarse_nerf")


def test_paper_presets_run_scaled_down(tmp_path, plain_prior):
    """What only the paper's settings use: tiled grid, networks, learned background, RGB distillation; the check too."""
    smaller = {"steps": 2, "n_samples": 32}
    coarse = merged(coarse_nerf.PRESETS["paper"], smaller | {"field": {"occupancy_resolution": 32}})
    refined = merged(rgb_refinement.PRESETS["paper"], smaller | {"sds": {"image_size": 16}})
    folder = make_run(tmp_path / "run", plain_prior)
    params = {"coarse_nerf": coarse, "rgb_refinement": refined}
    (folder / "params.yaml").write_text(json.dumps(params))
    assert execute("stages.coarse_nerf", COARSE_INPUTS, folder) == 0
    assert execute("stages.rgb_refinement", REFINED_INPUTS, folder) == 0
    assert load_field(folder / "rgb_refinement").config.encoding.kind == "tiled"


@pytest.mark.parametrize(
    ("coarse", "message"),
    [
        (
            {"field.blob_density": 0, "field.density_bias": -12},
            "the field is empty (0.0% of the pixels covered); raise coarse_nerf.",
        ),
        (
            {"field.density_bias": 6},
            "or keep it: coarse_nerf.check.accept=true (at step 0 of 1)",
        ),
        (
            {"sds.timestep_min": 0.9, "sds.timestep_max_end": 0.5},
            "timestep_min 0.9 is above timestep_max 0.98 or timestep_max_end 0.5",
        ),
        ({"views.elevation_deg": [50, 10]}, "the first number must not be above the second"),
        ({"sds.guidance_scal": 3}, "did you mean coarse_nerf.sds.guidance_scale?"),
        ({"guidance_scal": 3}, "did you mean coarse_nerf.sds.guidance_scale?"),
        ({"guidance_scale": 3}, "coarse_nerf.guidance_scale is now called coarse_nerf.sds.guidance_scale"),
        ({"steps": 0}, "coarse_nerf.steps: input should be greater than or equal to 1; found 0"),
    ],
)
def test_errors_are_one_line_that_names_the_knob(tmp_path, prior, capfd, coarse, message):
    folder = make_run(tmp_path / "run", prior, coarse={"steps": 1, **coarse})
    assert execute("stages.coarse_nerf", COARSE_INPUTS, folder) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not (folder / "coarse_nerf").exists()


def test_words_that_the_prior_does_not_know_are_said(run_folder, capfd):
    (run_folder / "inputs" / "prompt.txt").write_text("a red bicycle")
    assert execute("stages.coarse_nerf", COARSE_INPUTS, run_folder) == 0
    assert "this prior does not know: bicycle" in capfd.readouterr().out
    assert load_metrics(run_folder / "coarse_nerf")["unknown_words"]["value"] == 1


def test_reading_parameters_needs_no_torch():
    script = (
        "import sys, stages.coarse_nerf as c, stages.rgb_refinement as r\n"
        "c.Params(); r.Params(); [m.Params(**p) for m in (c, r) for p in m.PRESETS.values()]\n"
        "assert not {'torch', 'numpy', 'diffusers'} & set(sys.modules), 'heavy import'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)


def test_fitted_start_looks_like_the_decoded_latents(prior):
    """The least squares map, on the object's own views, beats the mean colour."""
    from prior3d.diffusion.text_to_image import load_text_to_image

    loaded = load_text_to_image(prior, torch.device("cpu"))
    params = coarse_nerf.Params(**nested(COARSE))
    latent_field = ObjectField(field_config(params.field, "latent", 4), torch.Generator().manual_seed(0))
    field = start(latent_field, loaded, rgb_refinement.Params(**nested(REFINED)))
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    torch.testing.assert_close(field.density(points), latent_field.density(points), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stable_diffusion", [True, False])
def test_the_papers_linear_map_begins_fields_of_stable_diffusions_latents_alone(prior, stable_diffusion):
    from prior3d.diffusion.text_to_image import load_text_to_image

    loaded = load_text_to_image(prior, torch.device("cpu"))
    assert not loaded.has_sd_latents
    loaded.diffusion.has_sd_latents = stable_diffusion
    params = coarse_nerf.Params(**nested(COARSE))
    latent_field = ObjectField(field_config(params.field, "latent", 4), torch.Generator().manual_seed(0))
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    colours = {
        name: start(latent_field, loaded, rgb_refinement.Params(**nested(REFINED | {"linear_map": name})))(points)[1]
        for name in ("by_prior", "paper", "fitted")
    }
    assert torch.equal(colours["by_prior"], colours["paper" if stable_diffusion else "fitted"])
    assert not torch.allclose(colours["paper"], colours["fitted"], atol=0.01)
