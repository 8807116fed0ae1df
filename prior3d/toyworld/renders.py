"""Render toy objects exactly: colour, mask, depth and normal by ray casting, lit by one fixed sun and a headlight."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from prior3d.cameras import Cameras, Orbit
from prior3d.rendering.rays import rays as camera_rays
from prior3d.toyworld.objects import ToyObject

RADIUS = 3.2  # camera distance from the origin, in world units
FOV_DEG = 40.0
SUN = np.array([0.45, 0.35, 0.82]) / np.linalg.norm([0.45, 0.35, 0.82])
AMBIENT, SUNLIGHT, HEADLIGHT = 0.42, 0.40, 0.18


@dataclass(frozen=True)
class ToyRenders:
    """Renders of one object from several cameras.

    Attributes:
        rgb: [views, size, size, 3] in 0..1, premultiplied by the mask (black where empty).
        mask: [views, size, size] coverage in 0..1.
        depth: [views, size, size] distance along the ray, 0 where empty.
        normal: [views, size, size, 3] unit world normals, 0 where empty.
    """

    rgb: NDArray[np.float32]
    mask: NDArray[np.float32]
    depth: NDArray[np.float32]
    normal: NDArray[np.float32]

    def over(self, background: tuple[float, float, float]) -> NDArray[np.float32]:
        """Composite onto a constant background: [views, size, size, 3]."""
        return self.rgb + (1 - self.mask[..., None]) * np.float32(background)


def toy_orbit(azimuth_deg: NDArray[np.float64], elevation_deg: NDArray[np.float64]) -> Orbit:
    """The toy world's cameras for those directions, each [views]: at `RADIUS`, with `FOV_DEG`."""
    azimuth = torch.as_tensor(azimuth_deg, dtype=torch.float32)
    elevation = torch.as_tensor(elevation_deg, dtype=torch.float32)
    return Orbit(azimuth, elevation, torch.full_like(azimuth, RADIUS), torch.full_like(azimuth, FOV_DEG))


def render(toy: ToyObject, cameras: Cameras, supersampling: int = 2, threads: int = 1) -> ToyRenders:
    """Render an object.

    Args:
        toy: what to render.
        cameras: square images of any number of views.
        supersampling: rays along each side of a pixel.
        threads: of the ray caster; 0 takes all cores.
    """
    import open3d

    scene = open3d.t.geometry.RaycastingScene(nthreads=threads)
    solids = [part.solid for part in toy.parts]
    for solid in solids:
        scene.add_triangles(
            open3d.core.Tensor(solid.vertices.astype(np.float32)), open3d.core.Tensor(solid.faces.astype(np.uint32))
        )
    size, views, fine = cameras.height, cameras.views, cameras.height * supersampling
    rays = torch.cat(camera_rays(cameras.resized(fine, fine)), dim=-1).numpy()
    hits = {
        name: value.numpy().reshape(-1, *value.shape[3:])
        for name, value in scene.cast_rays(open3d.core.Tensor(rays), nthreads=threads).items()
    }
    seen = np.flatnonzero(np.isfinite(hits["t_hit"]))
    origins, directions = rays.reshape(-1, 6)[seen, :3], rays.reshape(-1, 6)[seen, 3:]
    distance = hits["t_hit"][seen]
    points = origins + directions * distance[:, None]
    colours, normals = _surface(
        toy, hits["geometry_ids"][seen], hits["primitive_ids"][seen], hits["primitive_uvs"][seen], points
    )
    normals *= np.where((normals * directions).sum(-1, keepdims=True) > 0, -1.0, 1.0).astype(np.float32)
    sun = 0.5 + 0.5 * normals @ SUN.astype(np.float32)
    facing = np.abs((normals * directions).sum(-1))
    light = AMBIENT + SUNLIGHT * sun + HEADLIGHT * facing
    packed = np.zeros((views * fine * fine, 8), np.float32)
    packed[seen] = np.concatenate(
        [colours * light[:, None], np.ones((len(seen), 1)), distance[:, None], normals], axis=1
    )
    pixels = packed.reshape(views, size, supersampling, size, supersampling, 8).mean(axis=(2, 4))
    mask = pixels[..., 3]
    covered = np.maximum(mask, 1e-6)
    normal = pixels[..., 5:] / np.maximum(np.linalg.norm(pixels[..., 5:], axis=-1, keepdims=True), 1e-6)
    return ToyRenders(np.clip(pixels[..., :3], 0, 1), mask, pixels[..., 4] / covered, normal)


def _surface(
    toy: ToyObject,
    geometry: NDArray[np.uint32],
    primitive: NDArray[np.uint32],
    barycentric: NDArray[np.float32],
    points: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unlit colours and interpolated normals [n, 3] at hits: part index, face of that part, barycentrics [n, 2]."""
    colours = np.empty((len(points), 3), np.float32)
    normals = np.empty((len(points), 3), np.float32)
    for index, part in enumerate(toy.parts):
        here = np.flatnonzero(geometry == index)
        if not len(here):
            continue
        colours[here] = part.colours_at(points[here])
        u, v = barycentric[here].T
        corners = part.solid.normals.astype(np.float32)[primitive[here]]
        blended = np.einsum("nc,ncd->nd", np.stack([1 - u - v, u, v], axis=1), corners)
        normals[here] = blended / np.maximum(np.linalg.norm(blended, axis=1, keepdims=True), 1e-9)
    return colours, normals
