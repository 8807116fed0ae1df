import math

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.captures import place_cameras
from prior3d.captures.placement import look_at_point
from prior3d.errors import Prior3dError
from tests.scenes import identity_pose

FORTY = torch.tensor([40.0])


def test_cameras_round_an_object_come_to_the_projects_own_distance():
    """Twice as large and moved by (1, 2, 3): taken back to a radius of 3.2 about the origin."""
    own = orbit_cameras(ring(8, 25.0), 8, 8).c2w.double()
    given = own.clone()
    given[:, :3, 3] = own[:, :3, 3] * 2 + torch.tensor([1.0, 2, 3], dtype=torch.float64)
    placement = place_cameras(given, FORTY.expand(8), upright=False)
    assert placement.centre.tolist() == pytest.approx([1, 2, 3], abs=1e-5)
    assert placement.scale == pytest.approx(0.5, rel=1e-3)
    assert placement.common and placement.n_behind == 0
    assert torch.allclose(placement.apply(given), own, atol=1e-3)


def test_a_margin_puts_more_of_the_scene_into_the_unit_ball():
    own = orbit_cameras(ring(8, 25.0), 8, 8).c2w.double()
    as_it_is, wider = (place_cameras(own, FORTY.expand(8), upright=False, margin=margin) for margin in (1.0, 1.5))
    assert wider.scale == pytest.approx(as_it_is.scale / 1.5)
    assert wider.apply(own)[:, :3, 3].norm(dim=-1).mean() == pytest.approx(3.2 / 1.5, rel=1e-3)


def test_upright():
    turn = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)  # z up becomes y up... about x
    own = orbit_cameras(ring(8, 0.0), 8, 8).c2w.double()
    given = own.clone()
    given[:, :3, :3], given[:, :3, 3] = turn @ own[:, :3, :3], own[:, :3, 3] @ turn.T
    placed = place_cameras(given, FORTY.expand(8), upright=True).apply(given)
    assert placed[:, :3, 1].mean(0).tolist() == pytest.approx([0, 0, 1], abs=1e-5)
    assert torch.det(placed[:, :3, :3]).tolist() == pytest.approx([1] * 8)


def test_cameras_that_look_away_from_each_other():
    own = orbit_cameras(ring(8, 0.0, radius=1.0), 8, 8).c2w.double()
    own[:, :3, [0, 2]] *= -1  # turned round: they look outwards
    placement = place_cameras(own, FORTY.expand(8), upright=False)
    assert not placement.common and placement.n_behind == 8
    assert placement.apply(own)[:, :3, 3].norm(dim=-1).max() == pytest.approx(0.5)


def test_look_at_point_of_two_axes_and_of_one():
    positions = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    assert look_at_point(positions, -positions).tolist() == pytest.approx([0, 0, 0])
    one = torch.tensor([[3.2, 0, 0.1]], dtype=torch.float64)
    back, aside = torch.tensor([[-1.0, 0, 0]], dtype=torch.float64), torch.tensor([[0.0, 1, 0]], dtype=torch.float64)
    assert look_at_point(one, back).tolist() == pytest.approx([0, 0, 0.1])  # nearly at the capture's origin
    assert look_at_point(one, -back).tolist() == pytest.approx([4.2, 0, 0.1])  # away from it: one unit ahead
    assert look_at_point(one, aside).tolist() == pytest.approx([3.2, 1, 0.1])
    ahead = torch.tensor([[0.0, 0, -1]] * 2, dtype=torch.float64)  # parallel: four spreads of sqrt(1/2) ahead
    assert look_at_point(positions, ahead).tolist() == pytest.approx([0.5, 0.5, -4 * math.sqrt(0.5)])


def test_cameras_at_one_place():
    with pytest.raises(Prior3dError, match="all 3 cameras stand at one place"):
        place_cameras(identity_pose().expand(3, 4, 4), FORTY.expand(3), upright=False)
