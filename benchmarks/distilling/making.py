"""Objects made by a loss: stages of `latent-nerf`, `latent-paint` and `realfusion`, run in this process."""

import contextlib
import io
import itertools
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
import trimesh
import yaml

from distilling.pictures import write_picture
from flows.engine.parameters import resolve
from flows.methods import find_method
from prior3d.cameras import Cameras
from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS, encoded_backgrounds
from prior3d.errors import Prior3dError
from prior3d.meshes.painted_files import load_uv_mesh
from prior3d.meshes.painting import Surface
from prior3d.rendering import render_without_gradient
from prior3d.toyworld.objects import ToyObject
from stages.artifacts.fields import load_object_field
from stages.artifacts.textures import load_latent_texture
from stages.contract.entry import execute
from stages.contract.job import Job

GREY = list(NAMED_BACKGROUNDS).index("grey")

DISTILLED = {"text": "coarse_nerf", "paint": "latent_paint", "image": "image_nerf"}
METHODS = {"text": "latent-nerf", "paint": "latent-paint", "image": "realfusion"}
# What is made from text or from an image is judged before views are refreshed, which is not the loss's work;
# refinement of paint is short
ALWAYS = {
    "text": ("coarse_nerf.check.accept=true",),
    "image": ("image_nerf.check.accept=true", "image_nerf.refreshing.steps=0", "image_nerf.prompting.template=a {}"),
    "paint": (
        "texture_refinement.steps=40",
        "texture_refinement.resolution=128",
        "texture_refinement.refresh.n_views=8",
        "texture_refinement.refresh.num_inference_steps=4",
    ),
}
ASKED = {"prompt": "inputs/prompt.txt", "prior": "inputs/prior.json"}
MESH = "mesh"  # what `text` becomes by the rest of its method
WIRING = {
    "text": {"coarse_nerf": ASKED},
    MESH: {
        "rgb_refinement": {"field": "coarse_nerf", **ASKED},
        "mesh_extraction": {"field": "rgb_refinement"},
        "texture_baking": {"mesh": "mesh_extraction", "field": "rgb_refinement"},
    },
    "image": {
        "image_preparation": {"image": "inputs/image.png", "camera": "inputs/camera.txt"},
        "image_nerf": {"image": "image_preparation", **ASKED},
    },
    "paint": {
        "mesh_preparation": {"mesh": "inputs/mesh.ply"},
        "latent_paint": {"mesh": "mesh_preparation", **ASKED},
        "texture_refinement": {"mesh": "mesh_preparation", "texture": "latent_paint", **ASKED},
    },
}


def prepare(folder: Path, kind: str, place: str, seed: int, sets: list[str], toy: ToyObject) -> None:
    """Write what the stages read: prompt, prior, parameters; for painting a bare mesh, from an image that.

    `place` is the prompt or, with `image`, what `distilling.pictures.places` calls the object.
    """
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    prompt = toy.caption if kind == "image" else place
    (folder / "inputs" / "prompt.txt").write_text(f"{prompt}\n", encoding="utf-8")
    (folder / "inputs" / "prior.json").write_text(json.dumps({"name": "toy", "digest": "of this checkout"}))
    write_local_settings(folder)
    params = resolve(find_method(METHODS[kind]), "toy", seed, [*ALWAYS[kind], *sets])
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    if kind == "image":
        write_picture(folder, place)
    else:
        trimesh.Trimesh(toy.vertices, toy.faces, process=False).export(folder / "inputs" / "mesh.ply")


def write_local_settings(folder: Path) -> None:
    """Say where the prior is: in this checkout."""
    settings = {"device": "cpu", "priors": {"toy": str(embedded_prior("toy"))}}
    (folder / "local.yaml").write_text(yaml.safe_dump(settings))


def run_stages(folder: Path, kind: str, until: str = "") -> dict[str, float]:
    """Run the stages of `text`, `mesh` (behind `text`), `paint` or `image`, up to `until`; processor seconds of each.

    Raises:
        Prior3dError: a stage failed; it has said why.
    """
    spent, here = {}, Path.cwd()
    for stage, inputs in WIRING[kind].items():
        words = [word for name, path in inputs.items() for word in (f"--{name}", path)]
        started = time.process_time()
        try:
            os.chdir(folder)
            with contextlib.redirect_stdout(io.StringIO()):
                code = execute(f"stages.{stage}", words, folder)
        finally:
            os.chdir(here)
        if code:
            raise Prior3dError(f"{folder.name}: {stage} ended with exit code {code}")
        spent[stage] = time.process_time() - started
        if stage == until:
            break
    return spent


def seconds_a_step(folder: Path, kind: str, place: str, sets: list[str], toy: ToyObject, n_steps: int = 12) -> float:
    """The median of the processor seconds between the steps of a short distillation."""
    stage, stamps, report = DISTILLED[kind], list[float](), Job.progress

    def progress(job: Job, step: int, total: int, **told: Any) -> None:
        if not stamps or step > len(stamps):
            stamps.append(time.process_time())
        report(job, step, total, **told)

    prepare(folder, kind, place, 0, [*sets, f"{stage}.steps={n_steps}"], toy)
    Job.progress = progress  # type: ignore[method-assign]
    try:
        run_stages(folder, kind, stage)
    finally:
        Job.progress = report  # type: ignore[method-assign]
    return statistics.median(after - before for before, after in itertools.pairwise(stamps))


def decoded_field(folder: Path, cameras: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """What the decoder makes of the latent field over grey, [views, h, w, 3], and its opacity [views, h, w]."""
    prior = load_text_to_image(embedded_prior("toy"), torch.device("cpu"))
    field, behind = load_object_field(folder / "coarse_nerf", torch.device("cpu")), encoded_backgrounds(prior)[GREY]
    small = cameras.resized(prior.latent_size, prior.latent_size)
    latents, opacity, _ = render_without_gradient(field, small, 48)
    return decoded(prior, latents, opacity, behind, cameras.height)


def decoded_paint(folder: Path, cameras: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """The same of a latent texture on its mesh."""
    prior = load_text_to_image(embedded_prior("toy"), torch.device("cpu"))
    surface = Surface(load_uv_mesh(folder / "mesh_preparation"), torch.device("cpu"))
    texture = load_latent_texture(folder / "latent_paint", torch.device("cpu"))
    small = cameras.resized(prior.latent_size, prior.latent_size)
    found = surface.texel_weights(small, texture.shape[0], 4)
    return decoded(prior, found.render(texture), found.coverage, encoded_backgrounds(prior)[GREY], cameras.height)


@torch.no_grad()
def decoded(prior: Any, latents: Any, opacity: Any, behind: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Premultiplied latents [views, h, w, channels] over a background's, decoded; their opacity at that size."""
    images = prior.decode((latents + (1 - opacity)[..., None] * behind).movedim(-1, 1))
    large = functional.interpolate(opacity[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]
    return images.movedim(1, -1).numpy(), large.numpy()
