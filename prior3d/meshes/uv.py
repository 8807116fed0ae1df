"""UVs of a person's mesh: kept when they are good, made anew by xatlas otherwise; the geometry stays as it is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from prior3d.errors import Prior3dError
from prior3d.meshes.atlas import unwrap
from prior3d.meshes.atlas_transfer import transferred_uv
from prior3d.meshes.given import GivenMesh
from prior3d.meshes.mesh import Mesh, Placement, UvMesh
from prior3d.meshes.raster import Raycaster

MAX_OVERLAP, MAX_WITHOUT_AREA, MIN_USE = 0.02, 0.01, 0.05  # shares at which UVs are no longer good


def uv_defect(mesh: GivenMesh, resolution: int = 512) -> str | None:
    """Why a mesh's UVs cannot carry a texture of its own; None if they can."""
    if mesh.uv is None or mesh.uv_faces is None:
        return "it has no UVs"
    corners = mesh.uv[mesh.uv_faces]
    if not np.isfinite(corners).all():
        return "some UVs are not finite"
    if corners.min() < -1e-3 or corners.max() > 1 + 1e-3:
        return f"its UVs reach from {corners.min():.2f} to {corners.max():.2f}, outside the image"
    surface, flat = _areas(mesh.vertices[mesh.faces]), _areas(corners)
    lost = surface[flat < 1e-9].sum() / surface.sum()
    if lost > MAX_WITHOUT_AREA:
        return f"{lost:.0%} of its surface has UVs without an area"
    hits = _coverings(corners, resolution)
    used = (hits > 0).mean()
    if used < MIN_USE:
        return f"its UVs use {used:.1%} of the image"
    overlapping = (hits > 1).sum() / (hits > 0).sum()
    if overlapping > MAX_OVERLAP:
        return f"{overlapping:.0%} of its UVs overlap"
    return None


@dataclass(frozen=True)
class AtlasLimits:
    """When a new atlas is made of a simpler surface.

    Attributes:
        max_faces: a mesh with more is not unwrapped itself.
        simple_faces: of the surface that is unwrapped in its place.
    """

    max_faces: int = 30_000
    simple_faces: int = 15_000


def ensure_uv(
    mesh: GivenMesh, placement: Placement, resolution: int, keep: bool = True, limits: AtlasLimits | None = None
) -> tuple[UvMesh, str | None, int]:
    """Give a mesh UVs.

    Args:
        mesh: usable.
        placement: file to world.
        resolution: of the texture that charts are packed for, in texels.
        keep: keep its own UVs if they are good, whatever its size.
        limits: beyond them the atlas is that of a simpler surface.

    Returns:
        the mesh, why its own UVs were not kept (None if they were), and the number of charts (0 if kept).
    """
    fault = uv_defect(mesh) if keep else "new UVs were asked for"
    if fault is None and mesh.uv is not None and mesh.uv_faces is not None:
        return UvMesh(mesh.vertices, mesh.faces, mesh.uv.clip(0, 1), mesh.uv_faces, placement), None, 0
    placed, limits = placement.to_world(mesh.vertices), limits or AtlasLimits()
    if len(mesh.faces) > limits.max_faces:
        uv, uv_faces, charts = transferred_uv(Mesh(placed, mesh.faces), resolution, limits.simple_faces)
        fault = f"{fault}; {len(mesh.faces):,} faces are more than {limits.max_faces:,}, so charts of a simpler surface"
        return UvMesh(mesh.vertices, mesh.faces, uv, uv_faces, placement), fault, charts
    atlas = unwrap(Mesh(placed, mesh.faces), resolution)
    if not np.array_equal(atlas.vertices[atlas.faces], placed[mesh.faces]):
        raise Prior3dError("mesh: xatlas changed its triangles; give it UVs in another program, or repair it there")
    return UvMesh(mesh.vertices, mesh.faces, atlas.uv, atlas.faces, placement), fault, atlas.charts


def _areas(corners: Float[np.ndarray, "faces 3 axes"]) -> Float[np.ndarray, "faces"]:
    """Areas [faces] of triangles [faces, 3, 2 or 3]."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    squared = (a * a).sum(-1) * (b * b).sum(-1) - (a * b).sum(-1) ** 2
    areas: np.ndarray = np.sqrt(np.maximum(squared, 0)) / 2
    return areas


def _coverings(
    corners: Float[np.ndarray, "faces 3 2"], resolution: int
) -> Integer[np.ndarray, "resolution resolution"]:
    """How many triangles [faces, 3, 2] in the unit square cover each texel's centre: [resolution, resolution]."""
    # Each at a height of its own: hits at one distance would be counted as one.
    height = np.broadcast_to((np.arange(len(corners)) / len(corners))[:, None, None], (len(corners), 3, 1))
    flat = np.concatenate([corners, height], -1).reshape(-1, 3)
    caster = Raycaster(Mesh(flat, np.arange(len(flat)).reshape(-1, 3)))
    centres = (np.arange(resolution, dtype=np.float32) + 0.5) / resolution
    u, v = np.meshgrid(centres, centres)
    origins = np.stack([u, v, 2 * np.ones_like(u)], -1)
    return caster.count_hits(origins, np.broadcast_to(np.array([0, 0, -1], np.float32), origins.shape))
