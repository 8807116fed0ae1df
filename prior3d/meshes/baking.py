"""Colours of a surface, baked from an rgb field as a camera would see it."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.fields import RadianceField
from prior3d.meshes.atlas import dilate, texels, unwrap
from prior3d.meshes.mesh import Mesh, TexturedMesh
from prior3d.rendering.volume import composite

SurfaceColours = Callable[[Float[Tensor, "points 3"], Float[Tensor, "points 3"]], Float[Tensor, "points 3"]]


def shell_colours(
    field: RadianceField,
    positions: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    depth: float,
    n_samples: int = 24,
    points_at_once: int = 8192,
    progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "points channels"]:
    """The colour with which the field shows each surface point, looked at along its normal.

    The colour at the point itself is not what a camera sees: a distilled field is foggy, and the pixel mixes what lies
    before and behind the surface. So a short ray is marched from outside to inside and composited. Its weights are
    normalised; where the whole shell is empty the colour at the point itself is taken.

    Args:
        field: an rgb field.
        positions: [n, 3] on the surface.
        normals: [n, 3] unit, outward.
        depth: the ray begins this far outside and ends twice as far inside, in world units.
        n_samples: samples along it.
        points_at_once: limits the memory.
        progress: called with (points done, n) after each piece.

    Returns:
        [n, channels], no gradient.
    """
    offsets = torch.linspace(-depth, 2 * depth, n_samples + 1, device=positions.device)
    found: list[Tensor] = []
    done = 0
    for position, normal in zip(positions.split(points_at_once), normals.split(points_at_once), strict=True):
        found.append(_shell_colours(field, position, normal, offsets))
        done += len(position)
        if progress is not None:
            progress(done, len(positions))
    return torch.cat(found)


@torch.no_grad()
def _shell_colours(
    field: RadianceField,
    positions: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    offsets: Float[Tensor, "borders"],
) -> Float[Tensor, "points channels"]:
    """`shell_colours` of a few points, by rays with samples between offsets, along which a ray goes inwards."""
    starts, ends = offsets[:-1], offsets[1:]
    points = positions[:, None] - normals[:, None] * ((starts + ends) / 2)[:, None]
    density, features = field(points.view(-1, 3))
    shape = (len(positions), len(starts))
    seen = composite(starts.expand(shape), ends.expand(shape), density.view(shape), features.view(*shape, -1))
    solid = (seen.opacity > 1e-3)[:, None]
    return torch.where(solid, seen.features / seen.opacity.clamp_min(1e-3)[:, None], field(positions)[1])


def bake(
    mesh: Mesh,
    field: RadianceField,
    resolution: int,
    depth: float,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[TexturedMesh, dict[str, float]]:
    """Unwrap a mesh and bake the field's colours into its texture.

    Args:
        mesh: the surface.
        field: an rgb field, on `device`.
        resolution: side of the texture in texels.
        depth: see `shell_colours`, in world units.
        device: where the field is.
        progress: called with (texels done, all texels).

    Returns:
        the textured mesh, and numbers: charts, and the share of texels that show the surface.
    """

    def seen(positions: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
        found: Float[Tensor, "points 3"] = shell_colours(
            field, positions.to(device), normals.to(device), depth, progress=progress
        )
        return found

    return bake_colours(mesh, seen, resolution)


def bake_colours(mesh: Mesh, colours_of: SurfaceColours, resolution: int) -> tuple[TexturedMesh, dict[str, float]]:
    """Unwrap a mesh and write the colours of its surface into its texture.

    Args:
        mesh: the surface.
        colours_of: gives colours [n, 3] of points [n, 3] of the surface with their outward unit normals [n, 3].
        resolution: side of the texture in texels.

    Returns:
        as of `bake`.
    """
    atlas = unwrap(mesh, resolution)
    places = texels(atlas, resolution)
    positions, normals = (torch.from_numpy(a.astype(np.float32)) for a in (places.positions, places.normals))
    colours = colours_of(positions, normals).cpu().numpy()
    texture, known = np.zeros((resolution, resolution, 3), np.float32), np.zeros((resolution, resolution), bool)
    texture[places.rows, places.columns] = colours
    known[places.rows, places.columns] = True
    texture = np.clip(dilate(texture, known, steps=4), 0, 1)
    numbers = {"charts": float(atlas.charts), "texture_use": float(known.mean())}
    return TexturedMesh(atlas.vertices, atlas.faces, atlas.uv, texture), numbers
