"""Render toy objects exactly: colour, mask, depth and normal by ray casting, lit by one fixed sun and a headlight."""

import itertools
from dataclasses import dataclass

import numpy as np
import open3d
import torch
import torch.nn.functional as functional
from jaxtyping import Float, Float32, Int, Shaped, UInt32
from numpy.typing import NDArray
from torch import Tensor

from prior3d.cameras import Cameras, Orbit
from prior3d.rendering.rays import local_rays, project
from prior3d.toyworld.objects import ToyObject
from prior3d.toyworld.palette import COLOURS

CAMERA_RADIUS = 3.2  # camera distance from the origin, in world units
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

    rgb: Float32[np.ndarray, "views size size 3"]
    mask: Float32[np.ndarray, "views size size"]
    depth: Float32[np.ndarray, "views size size"]
    normal: Float32[np.ndarray, "views size size 3"]

    def over(self, background: tuple[float, float, float]) -> Float32[np.ndarray, "views size size 3"]:
        """Composite onto a constant background: [views, size, size, 3]."""
        behind = (1 - self.mask[..., None]) * np.asarray(background, np.float32)
        composited: np.ndarray = self.rgb + behind
        return composited


def toy_orbit(
    azimuth_deg: Float[np.ndarray, "views"] | Float[Tensor, "views"],
    elevation_deg: Float[np.ndarray, "views"] | Float[Tensor, "views"],
) -> Orbit:
    """The toy world's cameras for those directions, each [views]: at `CAMERA_RADIUS`, with `FOV_DEG`."""
    azimuth = torch.as_tensor(azimuth_deg, dtype=torch.float32)
    elevation = torch.as_tensor(elevation_deg, dtype=torch.float32)
    return Orbit(azimuth, elevation, torch.full_like(azimuth, CAMERA_RADIUS), torch.full_like(azimuth, FOV_DEG))


def render_toy(toy: ToyObject, cameras: Cameras, supersampling: int = 2, threads: int = 1) -> ToyRenders:
    """Render an object.

    Args:
        toy: what to render.
        cameras: square images of any number of views, all with one field of view.
        supersampling: rays along each side of a pixel.
        threads: of the ray caster; 0 takes all cores.

    Raises:
        ValueError: the images are not square, or the fields of view differ.
    """
    if cameras.width != cameras.height or not (cameras.fov_deg == cameras.fov_deg[0]).all():
        raise ValueError("toy renders: give cameras with square images and one field of view")
    size = cameras.height
    here = _candidates(toy, cameras)
    origins, directions = _rays(cameras, here, supersampling)
    hits = _cast(toy, np.concatenate([origins, directions], axis=1), threads)
    seen = np.flatnonzero(np.isfinite(hits["t_hit"]))
    directions, distance = directions[seen], hits["t_hit"][seen]
    points = origins[seen] + directions * distance[:, None]
    colours, normals = _surface(
        toy, hits["geometry_ids"][seen], hits["primitive_ids"][seen], hits["primitive_uvs"][seen], points
    )
    along = (normals * directions).sum(-1)
    normals[along > 0] *= -1
    sun = 0.5 + 0.5 * normals @ SUN.astype(np.float32)
    light = AMBIENT + SUNLIGHT * sun + HEADLIGHT * np.abs(along)
    packed = np.zeros((supersampling**2, len(here), 8), np.float32)
    flat = packed.reshape(-1, 8)
    flat[seen, :3], flat[seen, 3], flat[seen, 4], flat[seen, 5:] = colours * light[:, None], 1, distance, normals
    image = np.zeros((cameras.views * size * size, 8), np.float32)
    image[here] = packed.sum(axis=0) / np.float32(supersampling**2)
    return _unpacked(image.reshape(cameras.views, size, size, 8))


def _unpacked(pixels: Float32[np.ndarray, "views size size 8"]) -> ToyRenders:
    """Renders from pixels' means of colour, coverage, distance and normal over their rays, 0 for rays that miss."""
    mask = pixels[..., 3]
    lengths = np.maximum(_length(pixels[..., 5:]), np.float32(1e-6))
    normal = (pixels[..., 5:] / lengths).astype(np.float32, copy=False)
    depth = (pixels[..., 4] / np.maximum(mask, np.float32(1e-6))).astype(np.float32)
    rgb: NDArray[np.float32] = np.clip(pixels[..., :3], 0, 1)
    return ToyRenders(rgb, mask, depth, normal)


def _candidates(toy: ToyObject, cameras: Cameras) -> Int[np.ndarray, "pixels"]:
    """Pixels that may show the object, as flat indices: those in the rectangle about it in each view."""
    size = cameras.height
    corners = np.concatenate([part.solid.vertices for part in toy.parts]).astype(np.float32)
    places = project(cameras, torch.from_numpy(corners))[0].numpy()
    low = np.clip(np.floor(places.min(axis=1)).astype(int) - 1, 0, size)
    high = np.clip(np.ceil(places.max(axis=1)).astype(int) + 1, 0, size)
    found = []
    for view, ((left, top), (right, bottom)) in enumerate(zip(low, high, strict=True)):
        rows = (view * size + np.arange(top, bottom)) * size
        found.append((rows[:, None] + np.arange(left, right)).ravel())
    return np.concatenate(found)


def _rays(
    cameras: Cameras, pixels: Int[np.ndarray, "pixels"], supersampling: int
) -> tuple[Float32[np.ndarray, "rays 3"], Float32[np.ndarray, "rays 3"]]:
    """Origins and directions, each [supersampling**2 * n, 3]: the first ray of each pixel, then the second ..."""
    size, fine = cameras.height, cameras.height * supersampling
    view, row, column = pixels // size**2, pixels // size % size, pixels % size
    below, right = np.divmod(np.arange(supersampling**2)[:, None], supersampling)
    index = (row * supersampling + below) * fine + column * supersampling + right
    grid = local_rays(Cameras(torch.eye(4)[None], cameras.fov_deg[:1], fine, fine)).reshape(-1, 3)
    local = torch.from_numpy(grid.numpy().take(index, axis=0))
    turns = cameras.c2w[:, :3, :3]
    edges = np.searchsorted(view, np.arange(cameras.views + 1))
    turned = [local[:, a:b] @ turns[i].T for i, (a, b) in enumerate(itertools.pairwise(edges))]
    directions = functional.normalize(torch.cat(turned, dim=1), dim=-1).reshape(-1, 3).numpy()
    return np.tile(cameras.positions.numpy()[view], (supersampling**2, 1)), directions


def _cast(
    toy: ToyObject, rays: Float32[np.ndarray, "rays 6"], threads: int
) -> dict[str, Shaped[np.ndarray, "rays ..."]]:
    """What each ray [n, 6] hits first."""
    scene = open3d.t.geometry.RaycastingScene(nthreads=threads)
    for part in toy.parts:
        vertices, faces = part.solid.vertices.astype(np.float32), part.solid.faces.astype(np.uint32)
        scene.add_triangles(open3d.core.Tensor.from_numpy(vertices), open3d.core.Tensor.from_numpy(faces))
    hits = scene.cast_rays(open3d.core.Tensor.from_numpy(rays), nthreads=threads)
    return {name: value.numpy() for name, value in hits.items()}


def _surface(
    toy: ToyObject,
    geometry: UInt32[np.ndarray, "hits"],
    primitive: UInt32[np.ndarray, "hits"],
    barycentric: Float32[np.ndarray, "hits 2"],
    points: Float32[np.ndarray, "hits 3"],
) -> tuple[Float32[np.ndarray, "hits 3"], Float32[np.ndarray, "hits 3"]]:
    """Unlit colours and interpolated normals [n, 3] at hits: part index, face of that part, barycentrics [n, 2]."""
    solids = [part.solid for part in toy.parts]
    first = np.cumsum([0, *(len(solid.faces) for solid in solids)])
    table = np.concatenate([solid.normals for solid in solids]).astype(np.float32)
    corners = table[first[geometry] + primitive]
    u, v = barycentric[:, :1], barycentric[:, 1:]
    normals = (1 - u - v) * corners[:, 0] + u * corners[:, 1] + v * corners[:, 2]
    normals /= np.maximum(_length(normals), 1e-9)
    colours = np.array([COLOURS[part.colour] for part in toy.parts], np.float32)[geometry]
    for index, part in enumerate(toy.parts):
        if part.pattern:
            here = np.flatnonzero(geometry == index)
            colours[here] = part.colours_at(points[here])
    return colours, normals


def _length(vectors: Float32[np.ndarray, "*vectors 3"]) -> Float32[np.ndarray, "*vectors 1"]:
    """Lengths [..., 1] of vectors [..., 3]; NumPy's own sums along short axes are several times slower."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    squared: NDArray[np.float32] = x * x + y * y + z * z
    return np.sqrt(squared)[..., None]
