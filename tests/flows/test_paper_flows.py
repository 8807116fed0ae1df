"""Every method from its inputs to its report with the `paper` preset and the checks it has, on random tiny priors.

The folders have the layouts of Stable Diffusion 1.5, its inpainting model and InstructPix2Pix.
"""

import json

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image

from flows.methods import METHODS
from stages.artifacts.base import load_metrics
from tests.flows.test_scene_methods import ball_capture
from tests.posed_ball import write_ball
from tests.tiny_prior import write_tiny_prior
from tests.tiny_views import write_tiny_views

SMALL = {
    "coarse_nerf": {"steps": 3, "n_samples": 48, "field.occupancy_resolution": 32},
    "rgb_refinement": {"steps": 2, "n_samples": 48, "sds.image_size": 16},
    "latent_paint": {"steps": 2, "resolution": 16},
    "texture_refinement": {"steps": 2, "resolution": 32, "sds.image_size": 16, "refresh.n_views": 4},
    "textual_inversion": {"steps": 2, "initializer_token": "ball"},
    "image_nerf": {
        "steps": 8, "n_samples": 48, "sds.image_size": 16, "reference.rays_per_step": 256,
        "field.occupancy_resolution": 32,
    },
    "inpainting": {"inpaint.num_inference_steps": 2, "views.azimuth_step_deg": 180, "inpaint.supersampling": 2},
    "image_preparation": {"size": 32},
    "mesh_preparation": {"chart_resolution": 64},
    "shape_guide": {"resolution": 33},
    "texture_projection": {"resolution": 32, "erosion": 0},
    "view_preparation": {"n_inputs": 2, "size": 32},
    "view_symmetry": {"fit.resolutions": [9], "fit.n_samples": 8},
    "view_features": {"n_views": 4},
    "view_sampling": {"n_views": 2, "num_inference_steps": 2},
    "view_distillation": {  # a random prior shows noise: it must not outweigh the inputs
        "steps": 60, "fit.resolutions": [9], "fit.n_samples": 32, "fit.rays_per_step": 512, "ring.refresh_every": 10,
        "ring.num_inference_steps": 2, "ring.weight": 0.03, "fit.optimiser.learning_rate": 0.02,
    },
    "scene_preparation": {},
    "scene_fit": {
        "steps": [60, 60], "resolutions": [9, 17], "rendering.rays_per_step": 256, "rendering.n_bins": 12,
        "held_out_every": 4,
    },
    "capture_path": {"frames": 4, "n_bins": 12, "longest_side": 32},
    "dataset_update": {
        "steps": 4, "edit_every": 2, "rendering.rays_per_step": 64, "rendering.n_bins": 12,
        "edit.num_inference_steps": 2, "held_out_every": 4, "preview_scales": [[1.5], [5.0]],
    },
    "mesh_extraction": {"resolution": 24, "n_azimuths": 3},
    "texture_baking": {"resolution": 64},
    "evaluation": {"n_azimuths": 2, "size": 32, "n_samples": 32, "video_frames": 2, "video_size": 32},
}  # fmt: skip
CHECKED = ("coarse_nerf", "rgb_refinement", "image_nerf", "view_distillation")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Priors and inputs."""
    place = tmp_path_factory.mktemp("given")
    write_tiny_prior(place / "sd15")
    write_tiny_prior(place / "sd15-inpainting", in_channels=9)
    write_tiny_prior(place / "instruct-pix2pix", in_channels=8)
    write_tiny_views(place / "views")
    ball = trimesh.creation.icosphere(2, 0.95)
    ball.export(place / "ball.obj")
    y, x = np.mgrid[:64, :64] + 0.5
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[(y - 32) ** 2 + (x - 32) ** 2 < 24**2] = (200, 40, 40, 255)
    Image.fromarray(rgba).save(place / "ball.png")
    ball_capture(place / "capture")
    write_ball(place / "posed", 5)
    return place


def inputs(given) -> dict[str, list[str]]:
    prior = ["--prior", str(given / "sd15")]
    prompt, image = ["--prompt", "a red ball"], ["--image", str(given / "ball.png")]
    holes, scorer = ["--inpainting-prior", str(given / "sd15-inpainting")], ["--scorer", "toy-scorer"]
    mesh, capture = str(given / "ball.obj"), ["--scene", str(given / "capture")]
    return {
        "latent-nerf": [*prompt, *prior],
        "sketch-shape": [*prompt, *prior, "--shape", mesh],
        "latent-paint": [*prompt, *prior, "--mesh", mesh],
        "retexture": [*image, *prompt, *prior, *holes, "--mesh", mesh, "--camera", "0,0,40"],
        "realfusion": [*image, *prior, *scorer],
        "make-it-3d": [*image, *prior, *holes, *scorer],
        "sparsefusion": ["--images", str(given / "posed"), "--prior", str(given / "views")],
        "instruct-nerf2nerf": [*capture, "--instruction", "a red ball", "--prior", str(given / "instruct-pix2pix")],
        "scene": capture,
    }


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "quick"])  # which has no paper: test_quick.py
def test_a_method_runs_to_its_report(fake, given, method):
    words = inputs(given)[method]
    present = {stage.name for stage in METHODS[method].with_stages(()).stages}
    chosen = {f"{s}.{key}": value for s, values in SMALL.items() if s in present for key, value in values.items()}
    if method == "scene":  # it has no prior that would choose the preset
        words = [*words, "--preset", "paper"]
    sets = [word for key, value in chosen.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    code, out, err = fake.cli("run", method, *words, "--name", method, "--device", "cpu", *sets)
    assert code == 0, f"{err}\n{out[-2000:]}"
    folder = fake.folder(method)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    assert json.loads((folder / "history" / "0001.json").read_text())["preset"] == "paper"
    for stage in set(CHECKED) & set(params):
        assert not params[stage]["check"]["accept"]
        assert 0.005 < load_metrics(folder / stage)["coverage"]["value"] < 0.75
    assert (folder / "evaluation" / "report.html").is_file()
