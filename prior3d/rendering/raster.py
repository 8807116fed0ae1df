"""A z-buffer in torch: which triangle each pixel shows, and where on it; on any device, without a gradient.

Every triangle is compared with the pixels of the rectangle about it, all at once, and the nearest one is kept. Ray
casting (prior3d.meshes.raster) finds the same on the CPU, and is faster there.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.cameras import Cameras

NEAR_PLANE = 1e-3  # world units in front of a camera; triangles that reach nearer are left out


@dataclass(frozen=True)
class Fragments:
    """What each pixel's centre shows.

    Attributes:
        face: [views, height, width] row of the faces, -1 where there is nothing.
        barycentric: [views, height, width, 3] weights of its vertices in the world, perspective corrected; else 0.
    """

    face: Int[Tensor, "views height width"]
    barycentric: Float[Tensor, "views height width 3"]


@torch.no_grad()
def rasterise(
    vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"], cameras: Cameras, pairs_at_once: int = 2**22
) -> Fragments:
    """Find what is nearest in every pixel.

    Args:
        vertices: [n, 3] world, on the cameras' device.
        faces: [m, 3] int64; both sides are seen.
        cameras: [views].
        pairs_at_once: triangles times pixels that are compared at once; limits the memory.
    """
    views = [_view(vertices, faces, cameras[view], pairs_at_once) for view in range(cameras.views)]
    return Fragments(*(torch.cat(parts) for parts in zip(*views, strict=True)))


def _view(
    vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"], camera: Cameras, pairs_at_once: int
) -> tuple[Int[Tensor, "1 height width"], Float[Tensor, "1 height width 3"]]:
    height, width = camera.height, camera.width
    corners, inverse_depth = _projected(vertices, faces, camera)
    candidates, low, high = _rectangles(corners, inverse_depth, height, width)
    spans = high - low + 1
    count = spans.prod(-1)
    ends = count.cumsum(0)
    nearest = torch.zeros(height * width, dtype=corners.dtype, device=corners.device)
    shown = torch.full((height * width,), -1, device=corners.device)
    first = 0
    while first < len(candidates):
        before = ends[first] - count[first]
        last = max(int(torch.searchsorted(ends, before + pairs_at_once, right=True)), first + 1)
        piece = torch.arange(first, last, device=corners.device).repeat_interleave(count[first:last])
        place = torch.arange(len(piece), device=corners.device) - (ends - count)[piece] + before
        column, row = low[piece, 0] + place % spans[piece, 0], low[piece, 1] + place // spans[piece, 0]
        face, pixel = candidates[piece], row * width + column
        weights = _inside(corners[face], torch.stack([column, row], -1) + 0.5)
        closeness = (weights * inverse_depth[face]).sum(-1)
        seen = (weights >= 0).all(-1) & (closeness > nearest[pixel])
        face, pixel, closeness = face[seen], pixel[seen], closeness[seen]
        nearest.scatter_reduce_(0, pixel, closeness, "amax")
        won = closeness == nearest[pixel]
        winners = torch.full_like(shown, len(faces)).scatter_reduce_(0, pixel[won], face[won], "amin")
        shown = torch.where(winners < len(faces), winners, shown)
        first = last
    return _finish(shown, corners, inverse_depth, height, width)


def _projected(
    vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"], camera: Cameras
) -> tuple[Float[Tensor, "faces 3 2"], Float[Tensor, "faces 3"]]:
    """Corners [m, 3, 2] in pixels and the inverse of their depths [m, 3], 0 where a face reaches behind the camera."""
    local = (vertices - camera.positions) @ camera.c2w[0, :3, :3]
    depth = -local[:, 2]
    scale = camera.focal_pixels / depth.clamp_min(NEAR_PLANE)
    x, y = camera.width / 2 + local[:, 0] * scale, camera.height / 2 - local[:, 1] * scale
    ahead = (depth > NEAR_PLANE)[faces].all(-1, keepdim=True)
    return torch.stack([x, y], -1)[faces], torch.where(ahead, 1 / depth.clamp_min(NEAR_PLANE)[faces], 0.0)


def _rectangles(
    corners: Float[Tensor, "faces 3 2"], inverse_depth: Float[Tensor, "faces 3"], height: int, width: int
) -> tuple[Int[Tensor, "kept"], Int[Tensor, "kept 2"], Int[Tensor, "kept 2"]]:
    """Faces that may cover a pixel's centre [n], and the first and last pixel of the rectangles about them [n, 2]."""
    limit = torch.tensor([width - 1, height - 1], device=corners.device)
    low = (corners.amin(1) - 0.5).ceil().clamp_min(0).clamp_max(1e6).long()
    high = torch.minimum((corners.amax(1) - 0.5).floor().clamp_min(-1).clamp_max(1e6).long(), limit)
    kept = ((high >= low).all(-1) & (inverse_depth[:, 0] > 0) & (_double_area(corners).abs() > 1e-12)).nonzero()[:, 0]
    return kept, low[kept], high[kept]


def _finish(
    shown: Int[Tensor, "pixels"],
    corners: Float[Tensor, "faces 3 2"],
    inverse_depth: Float[Tensor, "faces 3"],
    height: int,
    width: int,
) -> tuple[Int[Tensor, "1 height width"], Float[Tensor, "1 height width 3"]]:
    """Weights of the faces that won, in the world: those in the image, times inverse depth, to a sum of 1."""
    pixel = (shown >= 0).nonzero()[:, 0]
    face = shown[pixel]
    weights = _inside(corners[face], torch.stack([pixel % width, pixel // width], -1) + 0.5) * inverse_depth[face]
    barycentric = corners.new_zeros(height * width, 3)
    barycentric[pixel] = weights / weights.sum(-1, keepdim=True)
    return shown.view(1, height, width), barycentric.view(1, height, width, 3)


def _inside(corners: Float[Tensor, "n 3 2"], points: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Weights [n, 3] of triangles' corners [n, 3, 2] at points [n, 2]: all at least 0 inside."""
    to_corners = corners - points[:, None]
    parts = [_cross(to_corners[:, (i + 1) % 3], to_corners[:, (i + 2) % 3]) for i in range(3)]
    return torch.stack(parts, -1) / _double_area(corners)[:, None]


def _double_area(corners: Float[Tensor, "n 3 2"]) -> Float[Tensor, "n"]:
    return _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _cross(first: Float[Tensor, "n 2"], second: Float[Tensor, "n 2"]) -> Float[Tensor, "n"]:
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
