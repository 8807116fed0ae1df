"""Every loss in every stage that distils, with both presets, on tiny random priors; VSD resumed to the same bits."""

import importlib
import json

import numpy as np
import pytest
import trimesh
import yaml

from flows.engine.parameters import resolve
from flows.methods import find_method
from prior3d import checkpoints
from prior3d.errors import Prior3dError
from prior3d.images.object_image import ObjectImage, Viewpoint
from stages.artifacts.images import save_object_image
from stages.contract.entry import execute
from stages.contract.parameters import merged
from tests.breaking_off import stop_at
from tests.nested import nested
from tests.tiny_prior import write_tiny_prior

LOSSES = ("sds", "csd", "ism", "vsd", "x0")
SMALL = {
    "mesh_preparation": {"chart_resolution": 64},
    "coarse_nerf": {"steps": 2, "n_samples": 12, "field.occupancy_resolution": 32, "check.accept": True},
    "rgb_refinement": {"mode": "sds", "steps": 2, "n_samples": 12, "sds.image_size": 16, "check.accept": True},
    "latent_paint": {"steps": 2, "resolution": 16},
    "texture_refinement": {"mode": "sds", "steps": 2, "resolution": 16, "sds.image_size": 16, "refresh.n_views": 4},
    "image_nerf": {
        "steps": 2, "n_samples": 12, "sds.image_size": 16, "reference.rays_per_step": 64, "refreshing.steps": 0,
        "field.occupancy_resolution": 32, "check.accept": True,
    },
}  # fmt: skip
PRIOR = ["--prior", "inputs/prior.json"]
ASKED = ["--prompt", "inputs/prompt.txt", *PRIOR]
FLOWS = {
    "text": {"coarse_nerf": ASKED, "rgb_refinement": ["--field", "coarse_nerf", *ASKED]},
    "texture": {
        "mesh_preparation": ["--mesh", "inputs/ball.ply"],
        "latent_paint": ["--mesh", "mesh_preparation", *ASKED],
        "texture_refinement": ["--mesh", "mesh_preparation", "--texture", "latent_paint", *ASKED],
    },
    "image": {"image_nerf": ["--image", "image", *ASKED]},
}


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    """As the toy prior, and as Stable Diffusion 1.x."""
    folder = tmp_path_factory.mktemp("priors")
    return {
        "toy": write_tiny_prior(folder / "toy", camera=True, prediction_type="v_prediction"),
        "paper": write_tiny_prior(folder / "sd15"),
    }


def params_of(stage, preset, loss, changes=()):
    """A preset's values with a loss and what it brings, made small."""
    module = importlib.import_module(f"stages.{stage}")
    values = merged(module.PRESETS.get(preset, {}), nested(SMALL[stage]))
    if hasattr(module, "KINDS"):
        values = merged(values, {"sds": {"loss": {"kind": loss}}})
        values = merged(values, module.KINDS["sds.loss"][preset][loss])
    return merged(values, nested(dict(changes)))


def make_run(folder, prior, params):
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    trimesh.creation.icosphere(1, 0.6).export(inputs / "ball.ply")
    (inputs / "prompt.txt").write_text("a red ball\n")
    (inputs / "prior.json").write_text(json.dumps({"name": "tiny", "digest": "0"}))
    y, x = np.mgrid[:32, :32] + 0.5
    rgba = np.zeros((32, 32, 4), np.float32)
    rgba[(y - 16) ** 2 + (x - 16) ** 2 < 81] = (0.8, 0.2, 0.2, 1)
    (folder / "image").mkdir()
    save_object_image(folder / "image", ObjectImage(rgba, Viewpoint(0, 15, 40, 3.2)))
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": {"tiny": str(prior)}}))
    (folder / "params.yaml").write_text(json.dumps(params))
    return folder


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("preset", ["toy", "paper"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_runs_in_a_method(tmp_path, priors, loss, preset, flow):
    params = {stage: params_of(stage, preset, loss) for stage in FLOWS[flow]}
    folder = make_run(tmp_path / "run", priors[preset], params)
    for stage, arguments in FLOWS[flow].items():
        assert execute(f"stages.{stage}", arguments, folder) == 0, stage
        assert (folder / stage).is_dir()


PARTICLES = {"steps": 8, "sds.loss.particles": 2, "sds.loss.rank": 2}


@pytest.mark.parametrize(("stage", "file"), [("coarse_nerf", "field"), ("latent_paint", "texture")])
def test_vsd_with_particles_resumes_to_the_same_bits(tmp_path, priors, monkeypatch, stage, file):
    """Both objects, the LoRA, its moments and every generator are in the checkpoint."""
    flow = next(stages for stages in FLOWS.values() if stage in stages)
    params = {name: params_of(name, "paper", "vsd", PARTICLES if name == stage else ()) for name in flow}
    whole, broken = (make_run(tmp_path / name, priors["paper"], params) for name in ("whole", "broken"))
    for folder in (whole, broken) if stage == "latent_paint" else ():
        assert execute("stages.mesh_preparation", flow["mesh_preparation"], folder) == 0
    assert execute(f"stages.{stage}", flow[stage], whole) == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        assert execute(f"stages.{stage}", flow[stage], broken) == 1
    kept = next((broken / ".work" / stage).glob("*/checkpoint.safetensors"))
    tensors, state = checkpoints.load(kept)
    assert state["n_steps_done"] == 4
    assert any(name.startswith(f"module/{file} 1/") for name in tensors)
    ups = [value for name, value in tensors.items() if name.startswith("module/lora/up")]
    assert ups and all(value.abs().sum() > 0 for value in ups)  # it has learned
    assert sum(name.startswith("optimiser/") for name in tensors) >= 3 * (2 * len(ups) + 1)
    assert {"generator/lora noise@cpu", "generator/lora timesteps@cpu", "generator/particles@cpu"} <= set(tensors)
    assert execute(f"stages.{stage}", flow[stage], broken) == 0
    made = next((whole / stage).glob("*.safetensors")).name
    assert (broken / stage / made).read_bytes() == (whole / stage / made).read_bytes()


def test_the_number_of_particles_changes_the_result(tmp_path, priors):
    results = []
    for n in (1, 2):
        params = {"coarse_nerf": params_of("coarse_nerf", "toy", "vsd", {"sds.loss.particles": n, "steps": 4})}
        folder = make_run(tmp_path / str(n), priors["toy"], params)
        assert execute("stages.coarse_nerf", ASKED, folder) == 0
        results.append((folder / "coarse_nerf" / "field.safetensors").read_bytes())
    assert results[0] != results[1]


def test_particles_where_there_is_one_object_are_refused(tmp_path, priors, capfd):
    params = {"image_nerf": params_of("image_nerf", "toy", "vsd", {"sds.loss.particles": 2})}
    folder = make_run(tmp_path / "run", priors["toy"], params)
    assert execute("stages.image_nerf", FLOWS["image"]["image_nerf"], folder) == 2
    assert "sds.loss.particles: found 2, but this stage goes on with one object" in capfd.readouterr().err


def sds(sets, preset="toy"):
    """The resolved `sds` group of coarse_nerf."""
    return resolve(find_method("latent-nerf"), preset, None, [f"coarse_nerf.sds.{text}" for text in sets])[
        "coarse_nerf"
    ]["sds"]


def test_a_kind_brings_its_values_and_a_person_changes_them_in_any_order():
    assert sds([])["loss"] == {"kind": "sds"} and sds([])["guidance_scale"] == 3
    assert sds(["loss.kind=ism"])["guidance_scale"] == 7.5
    assert sds(["guidance_scale=5", "loss.kind=ism"])["guidance_scale"] == 5
    assert sds(["loss.particles=3", "loss.kind=vsd"])["loss"]["particles"] == 3
    paper = sds(["loss.kind=vsd"], "paper")
    assert (paper["guidance_scale"], paper["weighting"], paper["loss"]["recompute"]) == (7.5, "one_minus_alpha", True)
    assert sds(["loss.kind=x0"], "turbo")["guidance_scale"] == 1
    assert sds(["loss.kind=vsd", "loss.kind=sds"])["loss"] == {"kind": "sds"}


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["loss.kind=vds"],
            "sds.loss.kind: there is no 'vds'; did you mean coarse_nerf.sds.loss.kind=vsd?",
        ),
        (["loss.particles=2"], "coarse_nerf.sds.loss.particles: is for kind vsd; set coarse_nerf.sds.loss.kind too, "),
        (
            ["loss.kind=ism", "loss.interval=1"],
            "no such parameter; did you mean coarse_nerf.sds.loss.interval",
        ),
        (["loss.kind=vsd", "loss.rank=0"], "coarse_nerf.sds.loss.rank: input should be greater than or equal to 1; "),
        (
            ["loss=csd"],
            "sds.loss: is a group of parameters; name one of them, as coarse_nerf.sds.loss.NAME",
        ),
        (["loss.kind=csd", "guidance_scale=1"], "loss csd is what guidance adds, and guidance_scale 1 adds nothing"),
    ],
)
def test_a_wrong_kind_or_a_parameter_of_another_kind_is_answered(sets, message):
    with pytest.raises(Prior3dError) as raised:
        sds(sets)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_rgb_refinement_distils_by_sds_alone():
    with pytest.raises(Prior3dError, match=r"^rgb_refinement: sds.loss.kind: found vsd, .*set it in coarse_nerf"):
        resolve(find_method("latent-nerf"), "toy", None, ["rgb_refinement.sds.loss.kind=vsd"])


def test_csd_without_guidance_is_refused_by_the_preset_turbo():
    with pytest.raises(Prior3dError, match="guidance_scale 1 adds nothing; raise guidance_scale"):
        sds(["loss.kind=csd"], "turbo")


def test_help_names_every_kind_with_its_parameters():
    from flows.reference import parameter_lines
    from stages.coarse_nerf import Params

    text = "\n".join(parameter_lines(Params))
    assert "sds.loss.kind = sds (one of sds, csd, ism, vsd, x0)" in text
    assert "kind vsd: Variational score distillation" in text and "sds.loss.particles = 1 (at least 1" in text
