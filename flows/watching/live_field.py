"""A field during training: read from a stage's checkpoint and rendered from any camera. No stage imports this."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from prior3d import checkpoints
from prior3d.cameras import Cameras, orbit_cameras, ring
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import encoded_backgrounds
from prior3d.errors import Prior3dError
from prior3d.fields import FieldConfig, ObjectField
from prior3d.images.colours import fit_latent_to_rgb, paper_latent_to_rgb
from prior3d.rendering import render_without_gradient
from prior3d.splats.model import NAMES, Splats, SplatsConfig
from prior3d.splats.render import median_depths, render_splats
from stages.artifacts.fields import load_drawn, load_field

N_SAMPLES = 48
Shown = ObjectField | Splats
Kind = Literal["colours", "depth"]


@dataclass(frozen=True)
class LatentColours:
    """The linear map of a latent to a colour: matrix [channels, 3] and offset [3]."""

    matrix: Tensor
    offset: Tensor


def read_field(place: Path) -> Shown | None:
    """The field or the splats in a checkpoint or in a finished stage, on the CPU.

    Args:
        place: the checkpoint, or the folder of the artifact.

    Returns:
        None if the stage trains something else (a texture, a captured scene's grid), or if the file is gone.

    Raises:
        Prior3dError: the file is damaged.
    """
    if place.is_dir():
        splats = getattr(load_drawn(place), "splats", None)
        if isinstance(splats, Splats):
            return splats.requires_grad_(False)
        made = load_field(place)
        return made.requires_grad_(False) if isinstance(made, ObjectField) else None
    loaded = checkpoints.load(place)
    if loaded is None:
        return None
    tensors, state = loaded
    configs = state.get("configs") or {}
    if "splats" in configs:
        splats = Splats(TypeAdapter(SplatsConfig).validate_python(configs["splats"]))
        splats.load_state_dict({name: tensors[f"module/splats/{name}"] for name in NAMES})
        return splats.requires_grad_(False)
    config = configs.get("field")
    if config is None or config.get("kind") == "scene":
        return None
    field = ObjectField(TypeAdapter(FieldConfig).validate_python(config))
    prefix = "module/field/"
    field.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return field.requires_grad_(False)


def fitted_colours(field: ObjectField, prior: TextToImagePrior) -> LatentColours:
    """The map that fits the decoded images of eight views of a latent field best."""
    cameras = orbit_cameras(ring(8), prior.latent_size, prior.latent_size)
    premultiplied, opacity, _ = render_without_gradient(field, cameras, N_SAMPLES)
    backgrounds = encoded_backgrounds(prior)[[0, 1, 2, 0, 1, 2, 0, 1]]
    latents = (premultiplied + (1 - opacity)[..., None] * backgrounds).movedim(-1, 1)
    with torch.no_grad():
        return LatentColours(*fit_latent_to_rgb(latents, torch.cat([prior.decode(view[None]) for view in latents])))


def paper_colours(channels: int) -> LatentColours:
    """The map of Stable Diffusion's latents (raises Prior3dError for other latents)."""
    matrix, offset = paper_latent_to_rgb()
    if len(matrix) != channels:
        raise Prior3dError(f"no map to colours is known for latents of {channels} channels; look at the depth")
    return LatentColours(matrix, offset)


def render_image(
    field: Shown, cameras: Cameras, kind: Kind = "colours", colours: LatentColours | None = None
) -> np.ndarray:
    """The first camera's image over white: [height, width, 3] float in [0, 1].

    Args:
        field: with a latent or an RGB head; or splats.
        cameras: one.
        kind: colours, or depth (the nearest point of the object is dark, the farthest pale).
        colours: for a latent field; without them the depth is rendered.
    """
    if isinstance(field, Splats):
        seen = render_splats(field, cameras)
        features, opacity, depth = seen.colours, seen.opacity, median_depths(field, cameras)
    else:
        features, opacity, depth = (part[0] for part in render_without_gradient(field, cameras, N_SAMPLES))
    opaque = opacity[..., None]
    if kind == "colours" and field.config.head == "rgb":
        image = features
    elif kind == "colours" and colours is not None:
        image = features @ colours.matrix + opaque * colours.offset
    else:
        inside = depth[opacity > 0.5]
        low, high = (float(inside.min()), float(inside.max())) if len(inside) else (0.0, 1.0)
        image = opaque * (0.1 + 0.75 * ((depth - low) / max(high - low, 1e-6)).clamp(0, 1))[..., None].expand(-1, -1, 3)
    return (image + 1 - opaque).clamp(0, 1).numpy()
