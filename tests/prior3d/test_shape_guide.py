import numpy as np
import pytest
import torch
import trimesh

from prior3d.losses.shape_guide import ShapeGuide, shape_loss
from prior3d.meshes.mesh import Mesh
from prior3d.meshes.winding import build_guide, volume_iou, winding_numbers


def ball(radius: float = 0.6, subdivisions: int = 3) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions, radius)
    return Mesh(np.asarray(shape.vertices), np.asarray(shape.faces, dtype=np.int64))


@pytest.fixture(scope="module")
def guide() -> ShapeGuide:
    return build_guide(ball(), 33)


def point(x: float) -> torch.Tensor:
    return torch.tensor([[x, 0.0, 0.0]])


def test_the_grid_knows_inside_and_distance(guide):
    inside, distance = guide.look_up(torch.tensor([[0.0, 0, 0], [0.3, 0, 0], [0, 0.9, 0], [-0.9, -0.9, -0.9]]))
    assert inside.tolist() == [True, True, False, False]
    assert torch.allclose(distance, torch.tensor([0.6, 0.3, 0.3, 0.9 * 3**0.5 - 0.6]), atol=0.02)


def test_the_axes_are_x_y_z():
    bar = trimesh.creation.box((1.6, 0.4, 0.2))
    guide = build_guide(Mesh(np.asarray(bar.vertices), np.asarray(bar.faces, dtype=np.int64)), 33)
    assert guide.look_up(torch.eye(3) * 0.5)[0].tolist() == [True, False, False]
    assert guide.look_up(torch.eye(3) * 0.15)[0].tolist() == [True, True, False]


@pytest.mark.parametrize(("x", "slope"), [(0.0, -4.59512), (0.95, 4.59512)])
def test_far_from_the_surface_the_slope_is_plus_and_minus_4_595(guide, x, slope):
    density = torch.tensor([2.0], requires_grad=True)
    shape_loss(density, point(x), guide, proximal_surface=0).backward()
    assert density.grad.item() / (0.2 * np.exp(-0.4)) == pytest.approx(slope, abs=1e-4)  # d loss / d occupancy


def test_the_values_are_those_of_the_cross_entropy(guide):
    solid, empty = torch.tensor([1e4]), torch.tensor([0.0])
    assert shape_loss(solid, point(0.0), guide, 0).item() == pytest.approx(-np.log(0.99), abs=1e-5)
    assert shape_loss(empty, point(0.0), guide, 0).item() == pytest.approx(-np.log(0.01), abs=1e-5)
    assert shape_loss(empty, point(0.9), guide, 0).item() == pytest.approx(-np.log(0.99), abs=1e-5)


def test_on_the_surface_nothing_binds_and_one_width_away_forty_percent_do():
    grid = torch.ones(2, 2, 2, 2)  # inside everywhere
    for distance, share in ((0.0, 0.0), (0.3, 1 - np.exp(-0.5)), (3.0, 1.0)):
        grid[..., 1] = distance
        density = torch.tensor([0.0], requires_grad=True)
        shape_loss(density, point(0.0), ShapeGuide(grid, 1.0), 0.3).backward()
        assert density.grad.item() == pytest.approx(-4.59512 * 0.2 * share, abs=1e-4)


def test_empty_points_inside_still_get_a_gradient(guide):
    """The released code leaves out samples in pruned cells; here every point counts, however empty the field is."""
    logit = torch.tensor([-12.0], requires_grad=True)
    shape_loss(logit.exp(), point(0.1), guide, 0.1).backward()
    assert logit.grad.item() < 0


def test_winding_counts_overlaps_once_more_and_not_less():
    first, second = ball(0.4), ball(0.4)
    both = Mesh(np.concatenate([first.vertices, second.vertices + [0.3, 0, 0]]),
                np.concatenate([first.faces, second.faces + len(first.vertices)]))  # fmt: skip
    found = winding_numbers(both, np.array([[0.15, 0, 0], [-0.2, 0, 0], [0.5, 0, 0], [0, 0.8, 0]]), 4)
    assert found.tolist() == [2, 1, 1, 0]


def test_a_shape_with_a_hole_is_still_mostly_inside():
    whole = ball(0.6)
    centres = whole.vertices[whole.faces].mean(1)
    cut = Mesh(whole.vertices, whole.faces[centres[:, 2] < 0.35])  # a fifth of the surface is missing
    points = np.array([[0.0, 0, 0], [0.2, 0.2, -0.2], [0, 0, 0.9], [0.9, 0, 0]])
    found = winding_numbers(cut, points, 96)
    assert found[0] == pytest.approx((1 + 0.35 / 0.6) / 2, abs=0.06)  # the solid angle that is left, over 4 pi
    assert (found[:2] > 0.5).all() and (abs(found[2:]) < 0.3).all()


def test_volume_iou(guide):
    assert volume_iou(ball(), guide) == 1
    assert volume_iou(ball(0.5), guide) == pytest.approx((0.5 / 0.6) ** 3, abs=0.03)
