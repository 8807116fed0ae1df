"""Vertical mirror planes of an object, found in the outlines of a few posed pictures of it.

Most things that people make, and animals, look alike on both sides of a vertical plane. A picture mirrored in that
plane is a picture from the mirrored camera, so every input counts twice. The plane is found as cameras are found from
outlines alone (Hernández, Schmitt and Cipolla 2007, silhouette coherency): in the visual hull of the pictures and their
mirror images something must stand behind every pixel of every outline; for a wrong plane the mirror images cut parts
away that the pictures show.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.reconstruction.input_views import InputViews
from prior3d.rendering.rays import rays
from prior3d.rendering.seen import seen_at
from prior3d.sending import sent

HULL_NODES, RAY_SAMPLES, N_RAYS = 48, 48, 1500  # of the visual hull along an axis, along a ray, and in all
COARSE_DEG, FINE_DEG = 4.0, 1.0  # steps of the angle
COARSE_OFFSETS, FINE_OFFSETS = (-0.2, -0.1, 0.0, 0.1, 0.2), (-0.06, -0.03, 0.0, 0.03, 0.06)
OFFSET_COST = 0.02  # coverage that a plane must gain for each world unit that it is away from the origin
APART_DEG = 15.0  # between two planes, else they are one


@dataclass(frozen=True)
class MirrorPlane:
    """The vertical plane n x = offset, with n = (cos angle, sin angle, 0).

    Attributes:
        angle_deg: of its normal, from +x to +y.
        offset: from the origin, in world units.
        coverage: share of the outlines' pixels that the hull of pictures and mirror images still covers.
    """

    angle_deg: float
    offset: float
    coverage: float = 1.0

    def normal(self) -> Float[Tensor, "3"]:
        """[3] unit."""
        angle = math.radians(self.angle_deg)
        return torch.tensor([math.cos(angle), math.sin(angle), 0.0])

    def reflect(self, points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
        """Points [..., 3] on the other side."""
        normal = sent(self.normal(), points)
        return points - 2 * ((points @ normal) - self.offset)[..., None] * normal

    def mirrored(self, cameras: Cameras) -> Cameras:
        """Cameras whose pictures are those of `cameras`, flipped from left to right, of the mirrored object."""
        normal = sent(self.normal(), cameras.c2w)
        turn = torch.eye(3, device=normal.device) - 2 * normal[:, None] * normal
        c2w = cameras.c2w.clone()
        c2w[:, :3, :3] = turn @ cameras.c2w[:, :3, :3]
        c2w[:, :3, 0] *= -1  # right-handed again
        c2w[:, :3, 3] = self.reflect(cameras.positions)
        return Cameras(c2w, cameras.fov_deg, cameras.height, cameras.width)


@dataclass(frozen=True)
class Symmetry:
    """An object's mirror planes, and how well fits to the other inputs show each input that was left out.

    Attributes:
        planes: none or more.
        weight: of mirror images beside inputs, in (0, 1]: how often their rays are drawn.
        leave_one_out_db: number of each input left out -> PSNR in dB of a fit to the others (and their mirror images).
    """

    planes: tuple[MirrorPlane, ...] = ()
    weight: float = 1.0
    leave_one_out_db: dict[int, float] = field(default_factory=dict)


def with_mirror_images(views: InputViews, symmetry: Symmetry) -> InputViews:
    """Views, then their mirror images in each plane, of the symmetry's weight; without masks only the views."""
    if views.masks is None or not symmetry.planes:
        return views
    rig = [views.cameras, *(plane.mirrored(views.cameras) for plane in symmetry.planes)]
    c2w, fov_deg = (torch.cat([getattr(part, name) for part in rig]) for name in ("c2w", "fov_deg"))
    times = len(symmetry.planes)
    colours, masks, weights = (
        torch.cat([pixels, *[pixels.flip(-1) * weight] * times])
        for pixels, weight in ((views.colours, 1.0), (views.masks, 1.0), (views.weights, symmetry.weight))
    )
    return InputViews(colours, masks, weights, Cameras(c2w, fov_deg, views.cameras.height, views.cameras.width))


def find_planes(
    masks: Float[Tensor, "views height width"], cameras: Cameras, n_planes: int, tolerance: float, radius: float
) -> list[MirrorPlane]:
    """The planes that the outlines agree with best.

    Args:
        masks: [views, height, width] in [0, 1], of at least two views.
        cameras: of the views.
        n_planes: at most.
        tolerance: in coverage, how much worse than the best one a further plane may be.
        radius: half the side of the cube about the origin that holds the object, world units.

    Returns:
        at least one, the best first, `APART_DEG` or more between any two.

    Raises:
        Prior3dError: fewer than two views: outlines of one agree with many planes.
    """
    if cameras.views < 2:
        raise Prior3dError("mirror planes: of one picture they cannot be told; give two or more")
    best_offset = _best_offset_of(visual_hull(masks, cameras, radius), points_behind(masks, cameras, radius), radius)
    n_angles = round(180 / COARSE_DEG)
    coarse = [best_offset(COARSE_DEG * step, list(COARSE_OFFSETS)) for step in range(n_angles)]
    found: list[MirrorPlane] = []
    for plane in sorted(coarse, key=_value, reverse=True):
        if len(found) == n_planes or (found and plane.coverage < found[0].coverage - 2 * tolerance):
            break
        angles = [plane.angle_deg + FINE_DEG * step for step in (-3, -2, -1, 0, 1, 2, 3)]
        offsets = [plane.offset + step for step in FINE_OFFSETS]
        finer = max((best_offset(angle, offsets) for angle in angles), key=_value)
        near_enough = not found or finer.coverage >= found[0].coverage - tolerance
        if near_enough and all(_between_deg(finer, other) >= APART_DEG for other in found):
            found.append(finer)
    return found


def outlines_covered(
    masks: Float[Tensor, "views height width"], cameras: Cameras, plane: MirrorPlane, radius: float
) -> float:
    """How well the outlines agree with one plane: its `coverage`, as `find_planes` measures it; 1 at best."""
    return _coverage_by(visual_hull(masks, cameras, radius), points_behind(masks, cameras, radius), radius)(plane)


def visual_hull(
    masks: Float[Tensor, "views height width"], cameras: Cameras, radius: float
) -> Float[Tensor, "1 1 nodes nodes nodes"]:
    """[1, 1, nodes, nodes, nodes] (z, y, x) in [0, 1]: the least of all masks at each node of the cube."""
    steps = torch.linspace(-radius, radius, HULL_NODES, device=masks.device)
    z, y, x = torch.meshgrid(steps, steps, steps, indexing="ij")
    points = torch.stack([x, y, z], -1).reshape(-1, 3)
    least = torch.ones(len(points), device=masks.device)
    for view in range(cameras.views):
        least = torch.minimum(least, seen_at(masks[view][None], cameras[view], points)[0])
    return least.view(1, 1, HULL_NODES, HULL_NODES, HULL_NODES)


def points_behind(
    masks: Float[Tensor, "views height width"], cameras: Cameras, radius: float
) -> Float[Tensor, "rays samples 3"]:
    """Points [rays, samples, 3] evenly along some of the rays inside of the outlines, in reach of the cube."""
    origins, directions = rays(cameras)
    inside = masks > 0.5
    origins, directions = origins[inside], directions[inside]
    step = max(1, len(origins) // N_RAYS)
    origins, directions = origins[::step], directions[::step]
    closest = -(origins * directions).sum(-1, keepdim=True)
    distances = closest + torch.linspace(-radius, radius, RAY_SAMPLES, device=masks.device)
    return origins[:, None] + distances[..., None] * directions[:, None]


def look_up(
    hull: Float[Tensor, "1 1 nodes nodes nodes"], points: Float[Tensor, "*points 3"], radius: float
) -> Float[Tensor, "*points"]:
    """The hull [1, 1, nodes, nodes, nodes] at points [..., 3]; 0 outside of its cube."""
    places = (points / radius).view(1, 1, 1, -1, 3)
    return functional.grid_sample(hull, places, align_corners=True).view(points.shape[:-1])


def _best_offset_of(
    hull: Float[Tensor, "1 1 nodes nodes nodes"], points: Float[Tensor, "rays samples 3"], radius: float
) -> Callable[[float, list[float]], MirrorPlane]:
    """A function of an angle and of offsets: the best of these planes, with its coverage."""
    coverage = _coverage_by(hull, points, radius)

    def best_offset(angle_deg: float, offsets: list[float]) -> MirrorPlane:
        planes = [MirrorPlane(angle_deg % 180, offset) for offset in offsets]
        return max((replace(plane, coverage=coverage(plane)) for plane in planes), key=_value)

    return best_offset


def _coverage_by(
    hull: Float[Tensor, "1 1 nodes nodes nodes"], points: Float[Tensor, "rays samples 3"], radius: float
) -> Callable[[MirrorPlane], float]:
    """A function of a plane: the share of the outlines that the hull of images and mirror images still covers."""
    before = look_up(hull, points, radius)

    def coverage(plane: MirrorPlane) -> float:
        behind = look_up(hull, plane.reflect(points), radius)
        return float(torch.minimum(before, behind).amax(-1).sum() / before.amax(-1).sum().clamp_min(1e-6))

    return coverage


def _value(plane: MirrorPlane) -> float:
    return plane.coverage - OFFSET_COST * abs(plane.offset)


def _between_deg(one: MirrorPlane, other: MirrorPlane) -> float:
    apart = abs(one.angle_deg - other.angle_deg) % 180
    return min(apart, 180 - apart)
