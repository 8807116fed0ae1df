"""Inputs and settings with which each method runs from its inputs to its report in seconds, on random tiny priors.

The folders have the layouts of Stable Diffusion 1.5, its inpainting model and InstructPix2Pix.
"""

import json
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from flows.methods import METHODS
from prior3d.cameras import orbit_cameras, ring
from prior3d.splats.spz_file import spz_bytes
from tests.gaussian_splats import ball_of_splats
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
    "joint_views": {"drawing.num_inference_steps": 2, "given.n_sets": 1},
    "scene_preparation": {},
    "splat_import": {"image_size": 64, "preview_size": 32},
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
FOR_THE_PRIOR = {"sparsefusion": ("view_features",)}  # a stage that a prior of this role brings


def settings_of(method: str) -> list[str]:
    """The settings above as words, for the stages that a method has with what `words` gives it."""
    kept = METHODS[method].with_stages(FOR_THE_PRIOR.get(method, ()))
    return settings({stage.name for stage in kept.stages})


def settings(stages: set[str]) -> list[str]:
    """The words `--set ...` of the settings above, for the stages that a method has."""
    chosen = {f"{s}.{key}": value for s, values in SMALL.items() if s in stages for key, value in values.items()}
    return [word for key, value in chosen.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def ball_capture(folder: Path, n: int = 8, size: int = 32) -> None:
    """A red ball of radius 0.6 before transparent nothing."""
    cameras = orbit_cameras(ring(n, 20.0), size, size)
    (folder / "images").mkdir(parents=True)
    row, column = np.mgrid[0:size, 0:size] + 0.5 - size / 2
    seen = row**2 + column**2 < (0.6 / 3.2 * float(cameras.focal_pixels[0])) ** 2
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[seen] = (200, 30, 30, 255)
    frames = []
    for view in range(n):
        Image.fromarray(pixels).save(folder / "images" / f"{view}.png")
        frames.append({"file_path": f"images/{view}.png", "transform_matrix": cameras.c2w[view].tolist()})
    content = {"fl_x": float(cameras.focal_pixels[0]), "w": size, "h": size, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content))


def write_inputs(place: Path) -> None:
    """Priors and inputs of all methods."""
    write_tiny_prior(place / "sd15")
    write_tiny_prior(place / "sd15-inpainting", in_channels=9)
    write_tiny_prior(place / "instruct-pix2pix", in_channels=8)
    write_tiny_views(place / "views")
    ball = trimesh.creation.icosphere(2, 0.95)
    ball.export(place / "ball.obj")
    (place / "ball.spz").write_bytes(spz_bytes(ball_of_splats()))
    y, x = np.mgrid[:64, :64] + 0.5
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[(y - 32) ** 2 + (x - 32) ** 2 < 24**2] = (200, 40, 40, 255)
    Image.fromarray(rgba).save(place / "ball.png")
    ball_capture(place / "capture")
    write_ball(place / "posed", 5)


def words(place: Path) -> dict[str, list[str]]:
    """What each method is given, from a folder of `write_inputs`."""
    prior = ["--prior", str(place / "sd15")]
    prompt, image = ["--prompt", "a red ball"], ["--image", str(place / "ball.png")]
    holes, scorer = ["--inpainting-prior", str(place / "sd15-inpainting")], ["--scorer", "toy-scorer"]
    mesh, capture = str(place / "ball.obj"), ["--scene", str(place / "capture")]
    return {
        "latent-nerf": [*prompt, *prior],
        "sketch-shape": [*prompt, *prior, "--shape", mesh],
        "latent-paint": [*prompt, *prior, "--mesh", mesh],
        "retexture": [*image, *prompt, *prior, *holes, "--mesh", mesh, "--camera", "0,0,40"],
        "realfusion": [*image, *prior, *scorer],
        "make-it-3d": [*image, *prior, *holes, *scorer],
        "sparsefusion": ["--images", str(place / "posed"), "--prior", str(place / "views")],
        "instruct-nerf2nerf": [*capture, "--instruction", "a red ball", "--prior", str(place / "instruct-pix2pix")],
        "scene": capture,
        "splats": ["--splats", str(place / "ball.spz")],
    }
