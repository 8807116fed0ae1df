"""coarse_nerf.kind=splats: distilled splats, refined, as far as a textured GLB, on a tiny random prior."""

import pytest
import torch
import yaml

from flows.engine.parameters import resolve
from flows.methods import find_method
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from stages import coarse_nerf
from stages.artifacts.base import load_metrics
from stages.artifacts.fields import load_drawn
from stages.coarse_nerf.splats import start
from stages.contract.entry import execute
from stages.contract.parameters import merged
from tests.breaking_off import stop_at
from tests.nested import nested
from tests.stages.test_distilling_stages import COARSE, COARSE_INPUTS, REFINED_INPUTS, make_run
from tests.tiny_prior import write_tiny_prior

SPLATS = COARSE | {
    "kind": "splats", "steps": 12, "splats.n_splats": 80, "splats.mesh_views": 12, "splats.mesh_image_size": 40,
    "splats.start_opacity": 0.5, "splats.density_control.every": 4, "splats.density_control.min_opacity": 0.4,
    "splats.density_control.noise": 10.0,
}  # fmt: skip
BEHIND = {
    "mesh_extraction": {"resolution": 32, "min_part_fraction": 0.1, "smoothing_steps": 2},
    "texture_baking": {"resolution": 64},
    "evaluation": {"n_azimuths": 2, "size": 32, "video_frames": 2, "video_size": 32},
}


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", camera=True, prediction_type="v_prediction")


def splats_run(folder, prior, coarse=(), refined=()):
    """A run whose first stage makes splats."""
    made = make_run(folder, prior, SPLATS | dict(coarse), {"splat_steps": 8} | dict(refined))
    params = yaml.safe_load((made / "params.yaml").read_text()) | BEHIND
    (made / "params.yaml").write_text(yaml.safe_dump(params))
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory, prior):
    folder = splats_run(tmp_path_factory.mktemp("splats") / "run", prior)
    assert execute("stages.coarse_nerf", COARSE_INPUTS, folder) == 0
    assert execute("stages.rgb_refinement", REFINED_INPUTS, folder) == 0
    return folder


def test_every_tensor_of_the_splats_is_moved_by_the_prior(whole, prior, tmp_path):
    params = coarse_nerf.Params(**nested(SPLATS))
    before, after = start(params, Seeds(0), torch.device("cpu")).splats, load_drawn(whole / "coarse_nerf").splats
    for name in ("means", "quats", "scales", "opacities", "sh0"):
        assert not torch.equal(getattr(before, name), getattr(after, name)), name
    # without the prior and without anything that acts on opacities nothing moves
    still = {"sds.weight": 0.0, "surface.entropy_weight": 0.0, "surface.sparsity_weight": 0.0,
             "splats.density_control.min_opacity": 0.0, "splats.density_control.noise": 0.0}  # fmt: skip
    folder = splats_run(tmp_path / "still", prior, still)
    assert execute("stages.coarse_nerf", COARSE_INPUTS, folder) == 0
    left = load_drawn(folder / "coarse_nerf").splats
    for name in ("means", "quats", "scales", "opacities", "sh0"):
        torch.testing.assert_close(getattr(before, name), getattr(left, name), rtol=0, atol=1e-6)


def test_refinement_moves_splats_on(whole):
    coarse, refined = (load_drawn(whole / stage).splats for stage in ("coarse_nerf", "rgb_refinement"))
    assert not torch.equal(coarse.means, refined.means) and not torch.equal(coarse.sh0, refined.sh0)
    assert load_metrics(whole / "coarse_nerf")["splats"]["value"] == 80
    assert 0 < load_metrics(whole / "rgb_refinement")["coverage"]["value"] < 1


@pytest.mark.parametrize("step", [5, 9])
def test_broken_off_and_resumed_both_stages_end_in_the_same_bits(whole, prior, tmp_path, monkeypatch, step):
    folder = splats_run(tmp_path / "run", prior)
    for stage, inputs, at in (("coarse_nerf", COARSE_INPUTS, step), ("rgb_refinement", REFINED_INPUTS, step - 2)):
        with monkeypatch.context() as patch:
            stop_at(patch, at)
            patch.setattr("stages.contract.preview.PREVIEW_EVERY_S", 0.0)  # previews must not change the result
            assert execute(f"stages.{stage}", inputs, folder) == 1
        assert list((folder / ".work" / stage).glob("*/checkpoint.safetensors")) and not (folder / stage).exists()
        assert execute(f"stages.{stage}", inputs, folder) == 0
        for name in ("field.safetensors", "field.json"):
            assert (folder / stage / name).read_bytes() == (whole / stage / name).read_bytes(), stage


def test_the_run_ends_in_a_textured_mesh_and_a_report(whole):
    field = ["--field", "rgb_refinement"]
    for stage, inputs in (
        ("mesh_extraction", field),
        ("texture_baking", [*field, "--mesh", "mesh_extraction"]),
        ("evaluation", [*field, "--mesh", "texture_baking", *COARSE_INPUTS[:2]]),
    ):
        assert execute(f"stages.{stage}", inputs, whole) == 0, stage
    assert (whole / "texture_baking" / "mesh.glb").is_file() and (whole / "evaluation" / "report.html").is_file()


def test_with_mode_sds_the_refinement_hands_splats_on(whole, prior, tmp_path):
    folder = splats_run(tmp_path / "run", prior, refined={"mode": "sds"})
    assert execute("stages.coarse_nerf", COARSE_INPUTS, folder) == 0
    assert execute("stages.rgb_refinement", REFINED_INPUTS, folder) == 0
    for stage in ("coarse_nerf", "rgb_refinement"):
        assert (folder / stage / "field.safetensors").read_bytes() == (
            whole / "coarse_nerf" / "field.safetensors"
        ).read_bytes()


@pytest.mark.parametrize(
    "coarse",
    [{"background": "learned"}, {"sds.loss.kind": "vsd", "sds.loss.rank": 2}, {"splats.sh_degree": 1}],
    ids=["learned background", "vsd", "colours by direction"],
)
def test_other_choices_of_the_stage_hold_for_splats(prior, tmp_path, coarse):
    folder = splats_run(tmp_path / "run", prior, {"steps": 3, **coarse})
    assert execute("stages.coarse_nerf", COARSE_INPUTS, folder) == 0
    assert load_drawn(folder / "coarse_nerf").splats.means.isfinite().all()


@pytest.mark.parametrize(
    ("coarse", "message"),
    [
        ({"surface.smoothness_weight": 1.0}, "surface.smoothness_weight is for kind grid, splats have no such loss"),
        ({"sds.loss": {"kind": "vsd", "particles": 2}}, "sds.loss.particles: found 2, but kind=splats makes one"),
        ({"splats.n_splats": 3}, "coarse_nerf.splats.n_splats: input should be greater than or equal to 16"),
        ({"splats.start_opacity": 1.0}, "coarse_nerf.splats.start_opacity: input should be less than 1"),
        ({"kind": "gaussians"}, "coarse_nerf.kind: input should be 'grid' or 'splats'; found 'gaussians'"),
        (
            {"splats.start_radius": 0.01, "splats.start_opacity": 0.01, "splats.rates.opacities": 0.0},
            "the field is empty (0.0% of the pixels covered); raise coarse_nerf.splats.start_opacity",
        ),
        ({"splats.start_radius": 1.0, "splats.start_opacity": 0.99}, "lower coarse_nerf.splats.start_radius"),
    ],
)
def test_errors_are_one_line_that_names_the_knob(tmp_path, prior, capfd, coarse, message):
    folder = splats_run(tmp_path / "run", prior, {"steps": 2, **coarse})
    assert execute("stages.coarse_nerf", COARSE_INPUTS, folder) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not (folder / "coarse_nerf").exists()


def coarse(preset, *sets, method="latent-nerf"):
    """What coarse_nerf is set to by `--set` lines, which stand here without its name."""
    return resolve(find_method(method), preset, None, [f"coarse_nerf.{text}" for text in sets])["coarse_nerf"]


def test_the_kind_of_the_stage_brings_its_values_and_a_person_changes_them_in_any_order():
    plain, splats = coarse("paper"), coarse("paper", "kind=splats")
    assert plain["steps"] == 5000 and splats["steps"] == 500 and splats["sds"]["image_size"] == 512
    assert splats["sds"]["guidance_scale"] == plain["sds"]["guidance_scale"] == 100
    assert coarse("paper", "steps=9", "kind=splats")["steps"] == 9
    # a loss's own values stand over those of the stage's kind, whichever is named first
    for order in (("kind=splats", "sds.loss.kind=ism"), ("sds.loss.kind=ism", "kind=splats")):
        assert coarse("paper", *order)["sds"]["weighting"] == "noise_to_signal"
    assert coarse("paper", "kind=grid") == plain


def test_the_papers_values_run_scaled_down(tmp_path):
    """What only they use: a falling noise level, renders of a size of their own, refinement that hands on."""
    smaller = {"steps": 3, "sds": {"image_size": 24}, "splats": {"n_splats": 100, "mesh_views": 4}}
    asked = [f"{stage}.check.accept=true" for stage in ("coarse_nerf", "rgb_refinement")]
    params = resolve(find_method("latent-nerf"), "paper", None, ["coarse_nerf.kind=splats", *asked])
    params["coarse_nerf"] = merged(params["coarse_nerf"], smaller)
    folder = make_run(tmp_path / "run", write_tiny_prior(tmp_path / "p"))
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    assert execute("stages.coarse_nerf", COARSE_INPUTS, folder) == 0
    assert execute("stages.rgb_refinement", REFINED_INPUTS, folder) == 0
    drawn = load_drawn(folder / "rgb_refinement")
    assert drawn.config.n_splats == 100 and drawn.config.meshed_by == "density"


def test_splats_that_a_later_stage_cannot_take_are_refused_before_anything_runs():
    method, text = find_method("sketch-shape"), "coarse_nerf.kind=splats"
    with pytest.raises(Prior3dError, match="found 'splats', but sketch-shape goes on with grid alone .*rgb_refinement"):
        resolve(method, "toy", None, [text])
    assert resolve(method, "toy", None, [text.replace("splats", "grid")])
