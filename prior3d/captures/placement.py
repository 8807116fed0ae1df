"""Where a capture is put in the world: its cameras' common look-at point at the origin, what all see about 1 big."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.captures.capture import Frame
from prior3d.errors import Prior3dError

SEEN_RADIUS = 1.0944  # 3.2 sin(20 degrees): the ball that the project's own turntable sees whole
LOOKS_THERE = 0.2  # how far from a single camera's axis the capture's origin may be, as a share of its depth
INSIDE_OUT_RADIUS = 0.5  # where the farthest camera comes to stand if the cameras look away from each other


@dataclass(frozen=True)
class CapturePlacement:
    """A similarity: world = scale * rotation @ (captured - centre).

    Attributes:
        centre: [3] in the capture's units.
        rotation: [3, 3].
        scale: world units a unit of the capture.
        n_behind: cameras that have the centre behind them.
        common: whether the centre is what the cameras look at; else they look away, and it is the middle of them.
    """

    centre: Float[Tensor, "3"]
    rotation: Float[Tensor, "3 3"]
    scale: float
    n_behind: int
    common: bool

    def apply(self, c2w: Float[Tensor, "views 4 4"]) -> Float[Tensor, "views 4 4"]:
        """Camera-to-world matrices [views, 4, 4] in the world."""
        placed = c2w.clone()
        placed[:, :3, :3] = self.rotation @ c2w[:, :3, :3]
        placed[:, :3, 3] = (c2w[:, :3, 3] - self.centre) @ self.rotation.T * self.scale
        return placed

    def apply_to_points(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
        """Points [n, 3] in the world."""
        return (points - self.centre) @ self.rotation.T * self.scale

    def describe(self) -> dict[str, object]:
        """As JSON."""
        return {"centre": self.centre.tolist(), "rotation": self.rotation.tolist(), "scale": self.scale}


def place_cameras(
    c2w: Float[Tensor, "views 4 4"], fov_deg: Float[Tensor, "views"], upright: bool, margin: float = 1.0
) -> CapturePlacement:
    """Choose a placement.

    Args:
        c2w: [views, 4, 4] float64, OpenGL axes.
        fov_deg: [views] the smaller field of view of each image.
        upright: turn the mean of the cameras' up axes to z; else the capture's axes are kept.
        margin: how many times larger than the ball that cameras see whole is what becomes the unit ball.

    Raises:
        Prior3dError: all cameras stand at one place, so that nothing has a size.
    """
    positions, directions = c2w[:, :3, 3], -c2w[:, :3, 2]
    spread = (positions - positions.mean(0)).norm(dim=-1).max()
    if len(c2w) > 1 and spread < 1e-9:
        raise Prior3dError(
            f"capture: all {len(c2w)} cameras stand at one place, so no depth can be seen; walk round the scene"
        )
    centre = look_at_point(positions, directions)
    behind = ((centre - positions) * directions).sum(-1) <= 0
    common = 2 * int(behind.sum()) <= len(c2w)
    if common:
        seen = (positions - centre).norm(dim=-1) * torch.sin(torch.deg2rad(fov_deg.double()) / 2)
        scale = SEEN_RADIUS / margin / float(seen.median().clamp_min(1e-9))
    else:
        centre = positions.mean(0)
        scale = INSIDE_OUT_RADIUS / float(spread)
    rotation = _upright(c2w[:, :3, 1].mean(0)) if upright else torch.eye(3, dtype=torch.float64)
    return CapturePlacement(centre, rotation, scale, int(behind.sum()), common)


def place_frames(frames: Sequence[Frame], upright: bool) -> CapturePlacement:
    """The placement of photographs through their own intrinsics, as `place_cameras` chooses it.

    Raises:
        Prior3dError: all cameras stand at one place.
    """
    cameras = [frame.intrinsics for frame in frames]
    smaller = torch.tensor([min(camera.width / camera.fx, camera.height / camera.fy) for camera in cameras])
    fov_deg = torch.rad2deg(2 * torch.atan(smaller / 2))
    return place_cameras(torch.stack([frame.c2w for frame in frames]), fov_deg, upright)


def look_at_point(positions: Float[Tensor, "views 3"], directions: Float[Tensor, "views 3"]) -> Float[Tensor, "3"]:
    """The point nearest to all optical axes, in least squares.

    Args:
        positions: [views, 3] float64.
        directions: [views, 3] unit.

    Returns:
        [3]. Where the axes do not tell: of a single camera the point of its axis that is nearest to the capture's
        origin, if the camera looks there (`LOOKS_THERE`), else 1 ahead; of parallel axes the point in front of the
        cameras at four times their spread.
    """
    across = torch.eye(3, dtype=torch.float64) - directions[:, :, None] * directions[:, None]
    total = across.mean(0)
    if torch.linalg.eigvalsh(total)[0] < 1e-4:
        middle = positions.mean(0)
        spread = (positions - middle).norm(dim=-1).max()
        depth = -(middle * directions[0]).sum()
        if len(positions) == 1 and (middle + depth * directions[0]).norm() <= LOOKS_THERE * depth:
            return middle + depth * directions[0]
        return middle + directions.mean(0) * (4 * spread if spread > 0 else 1.0)
    nearest: Tensor = torch.linalg.solve(total, (across @ positions[..., None]).mean(0))[:, 0]
    return nearest


def _upright(up: Tensor) -> Tensor:
    """[3, 3] the least rotation that takes a direction to z; the identity where it has none."""
    if up.norm() < 1e-6:
        return torch.eye(3, dtype=torch.float64)
    x, y, z = (up / up.norm()).tolist()
    if z < -1 + 1e-9:
        return torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    rows = [[1 - x * x / (1 + z), -x * y / (1 + z), -x], [-x * y / (1 + z), 1 - y * y / (1 + z), -y], [x, y, z]]
    return torch.tensor(rows, dtype=torch.float64)
