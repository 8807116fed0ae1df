"""A smooth path of cameras through a capture: its own, where its order is one, else a way round what it looks at."""

import math

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras

JUMPY = 3.0  # times the distance to the nearest camera, that the next in order is away: the order is no path
NEAR_DEG = 25.0  # deviation of the weights by which cameras of like azimuth are averaged
LARGEST_GAP_DEG = 100.0  # a wider one is not crossed: the path goes back and forth between its ends


def capture_path(cameras: Cameras, n_frames: int) -> Cameras:
    """Cameras along a capture.

    Args:
        cameras: [views] in their order, in a world whose z is up and whose origin they look at, if at anything.
        n_frames: of the path.
    """
    if follows_order(cameras) or not looks_at_origin(cameras):
        return along_order(cameras, n_frames)
    return round_origin(cameras, n_frames)


def follows_order(cameras: Cameras) -> bool:
    """Whether neighbours in order are neighbours in space, as in a video's frames."""
    if cameras.views < 3:
        return True
    apart = torch.cdist(cameras.positions, cameras.positions)
    steps = apart.diagonal(1)
    nearest = (apart + torch.diag(torch.full((cameras.views,), math.inf))).amin(dim=1)
    return bool(steps.mean() <= JUMPY * nearest.mean().clamp_min(1e-9))


def looks_at_origin(cameras: Cameras) -> bool:
    """Whether most cameras have the origin before them, and near their axis."""
    forward, towards = -cameras.c2w[:, :3, 2], -functional.normalize(cameras.positions, dim=-1)
    return bool(((forward * towards).sum(-1) > 0.8).float().mean() > 0.5)


def along_order(cameras: Cameras, n_frames: int) -> Cameras:
    """Evenly spread over the order, between neighbours half way: positions and axes interpolated."""
    place = torch.linspace(0, cameras.views - 1, n_frames)
    low = place.floor().long().clamp(max=max(0, cameras.views - 2))
    share = (place - low)[:, None, None]
    high = (low + 1).clamp(max=cameras.views - 1)
    c2w = cameras.c2w[low] * (1 - share) + cameras.c2w[high] * share
    u, _, v = torch.linalg.svd(c2w[:, :3, :3])
    c2w[:, :3, :3] = u @ v
    fov_deg = cameras.fov_deg[low] * (1 - share[:, 0, 0]) + cameras.fov_deg[high] * share[:, 0, 0]
    return Cameras(c2w, fov_deg, cameras.height, cameras.width)


def round_origin(cameras: Cameras, n_frames: int) -> Cameras:
    """Round the origin, as high, as far and looking where the cameras of like azimuth do, on the mean."""
    positions = cameras.positions
    distance = positions.norm(dim=-1)
    azimuth_deg = torch.rad2deg(torch.atan2(positions[:, 1], positions[:, 0]))
    elevation = torch.asin((positions[:, 2] / distance).clamp(-1, 1))
    forward = -cameras.c2w[:, :3, 2]
    target = positions - (positions * forward).sum(-1, keepdim=True) * forward  # of each axis, nearest to the origin
    wanted_deg = _azimuths_deg(azimuth_deg, n_frames)
    away_deg = (wanted_deg[:, None] - azimuth_deg + 180) % 360 - 180
    weights = torch.softmax(-0.5 * (away_deg / NEAR_DEG) ** 2, dim=-1)
    values = torch.cat([torch.stack([elevation, distance.log(), cameras.fov_deg], -1), target], -1)
    height, far, fov_deg, *looked_at = (weights @ values).unbind(-1)
    azimuth = torch.deg2rad(wanted_deg)
    direction = torch.stack([azimuth.cos() * height.cos(), azimuth.sin() * height.cos(), height.sin()], -1)
    path = direction * far.exp()[:, None]
    return Cameras(_looking(path, torch.stack(looked_at, -1)), fov_deg, cameras.height, cameras.width)


def _azimuths_deg(given_deg: Float[Tensor, "views"], n_frames: int) -> Float[Tensor, "frames"]:
    """Once round; or, where no camera stands in a wide sector, back and forth outside of it, slow at its ends."""
    ordered = given_deg.sort().values
    gaps = torch.cat([ordered[1:], ordered[:1] + 360]) - ordered
    widest = int(gaps.argmax())
    if gaps[widest] <= LARGEST_GAP_DEG:
        return ordered[0] + torch.arange(n_frames) * (360 / n_frames)
    start = ordered[(widest + 1) % len(ordered)]
    share = 0.5 - 0.5 * torch.cos(torch.arange(n_frames) * (2 * math.pi / n_frames))
    swept: Tensor = start + share * (360 - gaps[widest])
    return swept


def _looking(positions: Float[Tensor, "frames 3"], targets: Float[Tensor, "frames 3"]) -> Float[Tensor, "frames 4 4"]:
    """Camera-to-world matrices of upright cameras."""
    back = functional.normalize(positions - targets, dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0]).expand_as(back)
    right = functional.normalize(torch.cross(up, back, dim=-1), dim=-1)
    c2w = torch.eye(4).repeat(len(positions), 1, 1)
    c2w[:, :3, 0], c2w[:, :3, 1], c2w[:, :3, 2] = right, torch.cross(back, right, dim=-1), back
    c2w[:, :3, 3] = positions
    return c2w
