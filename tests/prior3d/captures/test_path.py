"""The path of a capture's video: its own order where that is a path, else a smooth way round."""

import pytest
import torch

from prior3d.cameras import Orbit, orbit_cameras, ring
from prior3d.captures.path import along_order, capture_path, follows_order


def shuffled(n, elevations=(10.0, 80.0), azimuths=(0.0, 360.0)):
    """Cameras all over a part of a hemisphere, in no order."""
    generator = torch.Generator().manual_seed(0)

    def drawn(low, high):
        return low + (high - low) * torch.rand(n, generator=generator)

    orbit = Orbit(drawn(*azimuths), drawn(*elevations), drawn(3.8, 4.2), torch.full((n,), 40.0))
    return orbit_cameras(orbit, 24, 32)


def test_an_order_that_is_a_path_is_kept():
    cameras = orbit_cameras(ring(24, 20.0), 24, 32)
    assert follows_order(cameras)
    path = capture_path(cameras, 47)
    assert torch.allclose(path.c2w[::2], along_order(cameras, 24).c2w, atol=1e-5)


@pytest.mark.parametrize("azimuths", [(0.0, 360.0), (-60.0, 60.0)])
def test_views_in_no_order_are_gone_round_smoothly(azimuths):
    """Straight lines between them would lead through the object."""
    cameras = shuffled(60, azimuths=azimuths)
    assert not follows_order(cameras)
    path = capture_path(cameras, 48)
    distance = path.positions.norm(dim=-1)
    assert distance.min() > 3.7 and distance.max() < 4.3
    steps = (path.positions.roll(-1, 0) - path.positions).norm(dim=-1)  # it ends where it begins
    assert steps.max() < 0.75 and (steps[1:] - steps[:-1]).abs().max() < 0.1
    forward = -path.c2w[:, :3, 2]
    assert ((forward * -path.positions).sum(-1) / distance).min() > 0.99
    rotation = path.c2w[:, :3, :3]
    assert torch.allclose(rotation.transpose(1, 2) @ rotation, torch.eye(3).expand(48, 3, 3), atol=1e-5)
    if azimuths != (0.0, 360.0):
        seen = torch.rad2deg(torch.atan2(path.positions[:, 1], path.positions[:, 0]))
        assert seen.min() > -61 and seen.max() < 61


def test_cameras_that_look_away_from_each_other_keep_their_order():
    cameras = shuffled(30)
    cameras.c2w[:, :3, [0, 2]] *= -1
    path = capture_path(cameras, 30)
    assert torch.allclose(path.c2w, along_order(cameras, 30).c2w)
