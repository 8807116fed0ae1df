"""Renders of toy objects by a z-buffer: the ray caster's pixels, several times as fast for small images."""

import numpy as np

from prior3d.cameras import Cameras
from prior3d.rendering.zbuffer import lit, pixel_means, visible
from prior3d.toyworld.objects import ToyObject
from prior3d.toyworld.palette import COLOURS
from prior3d.toyworld.renders import AMBIENT, HEADLIGHT, SUN, SUNLIGHT, ToyRenders


def rasterise_toy(toy: ToyObject, cameras: Cameras, supersampling: int = 2) -> ToyRenders:
    """Render an object as `render_toy` does; needs numba.

    Args:
        toy: what to render.
        cameras: square images of any number of views, all with one field of view.
        supersampling: samples along each side of a pixel.

    Raises:
        Prior3dError: as `visible` does.
    """
    seen = visible(toy.vertices.astype(np.float32), toy.faces.astype(np.int32), cameras, supersampling)
    normals = np.concatenate([part.solid.normals for part in toy.parts]).astype(np.float32)
    light, normals = lit(seen, normals, SUN.astype(np.float32), (AMBIENT, SUNLIGHT, HEADLIGHT))
    ends = np.cumsum([len(part.solid.faces) for part in toy.parts])
    owner = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))[seen.face]
    colours = np.array([COLOURS[part.colour] for part in toy.parts], np.float32)[owner]
    for index, part in enumerate(toy.parts):
        if part.pattern:
            here = np.flatnonzero(owner == index)
            colours[here] = part.colours_at(seen.points[here])
    shown = [colours * light[:, None], seen.distance[:, None], normals]
    means = pixel_means(np.concatenate(shown, axis=1), seen)
    mask, normal = means[..., 7], means[..., 4:7]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), np.float32(1e-6))
    return ToyRenders(means[..., :3].clip(0, 1), mask, means[..., 3] / np.maximum(mask, np.float32(1e-6)), normal)
