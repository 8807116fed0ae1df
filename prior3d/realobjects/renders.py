"""Renders of real objects from the toy world's cameras, with and without its light."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from prior3d.cameras import Cameras
from prior3d.realobjects.models import BRIGHTER, LEAST_ALPHA, Model
from prior3d.rendering.zbuffer import Cutouts, Seen, lit, pixel_means, visible

SAMPLES = 4  # along each side of a pixel: what lets light through keeps a share of 16


@dataclass(frozen=True)
class Light:
    """How a render is lit: the unit direction of the sun, and the strengths of ambient light, sun and headlight."""

    sun: tuple[float, float, float]
    ambient: float
    sunlight: float
    headlight: float


def render_model(
    model: Model, cameras: Cameras, light: Light
) -> tuple[Float32[np.ndarray, "views size size 4"], Float32[np.ndarray, "views size size 4"]]:
    """Renders with light and without, premultiplied RGBA in [0, 1].

    Raises:
        Prior3dError: as `visible` does.
    """
    seen = visible(model.vertices, model.faces, cameras, SAMPLES, _cutouts(model))
    strengths = light.ambient, light.sunlight, light.headlight
    shade, _ = lit(seen, model.normals, np.array(light.sun, np.float32), strengths)
    colours = surface_colours(model, seen)
    means = pixel_means(np.concatenate([(colours * shade[:, None]).clip(0, 1), colours], axis=1), seen)
    return means[..., [0, 1, 2, 6]], means[..., 3:]


def surface_colours(model: Model, seen: Seen) -> Float32[np.ndarray, "n 3"]:
    """Unlit colours of what is seen: a texture's, or its material's; both brightened as the libraries' icons are."""
    material = model.material[seen.face]
    table = np.array([m.colour for m in model.materials], np.float32) * np.float32(BRIGHTER)
    colours = table[material]
    u, v = seen.barycentric.T[..., None]
    for number, one in enumerate(model.materials):
        here = np.flatnonzero(material == number)
        if one.texture and len(here):
            corners = model.uv[seen.face[here]]
            place = (1 - u[here] - v[here]) * corners[:, 0] + u[here] * corners[:, 1] + v[here] * corners[:, 2]
            place -= np.floor(place)
            texture = model.textures[one.texture]
            height, width = texture.shape[:2]
            column, row = (place[:, 0] * width).astype(int) % width, (place[:, 1] * height).astype(int) % height
            colours[here] = texture[row, column, :3] * np.float32(BRIGHTER / 255)
    bright: NDArray[np.float32] = colours.clip(0, 1)
    return bright


def _cutouts(model: Model) -> Cutouts:
    """What lets light through; the alpha beside a texture counts only where the texture has none."""
    rows, texels, first = [], [np.zeros(0, np.uint8)], 0
    for one in model.materials:
        alpha = max(one.alpha, LEAST_ALPHA)
        texture = model.textures[one.texture] if one.texture else None
        if texture is None or texture[..., 3].min() >= 250:
            rows.append((alpha, 0, 0, 0))
            continue
        rows.append((1.0, first, texture.shape[1], texture.shape[0]))
        texels.append(texture[..., 3].ravel())
        first += texture.shape[0] * texture.shape[1]
    return Cutouts(
        np.array([row[0] for row in rows], np.float32),
        np.array([row[1:] for row in rows], np.int64),
        np.concatenate(texels) if first else np.zeros(1, np.uint8),
        model.material,
        model.uv,
    )
