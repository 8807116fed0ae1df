import math

import pytest
import torch

from prior3d.fields import DenseGrids, FieldConfig, ObjectField, TiledGrid, trunc_exp
from prior3d.fields.grids import DenseEncoding
from prior3d.fields.trilinear import sample_grid, sample_grid_reference, weighted_rows, weighted_rows_reference

SMALL_TILED = TiledGrid(levels=3, features=2, base=4, finest=16, log2_entries=8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fast_and_reference_lookup_agree_in_values_and_gradients():
    grid = torch.randn(7, 7, 7, 3, generator=generator())
    points = torch.rand(500, 3, generator=generator(1)) * 2.4 - 1.2  # some outside
    weight = torch.randn(500, 3, generator=generator(2))
    fast, slow = grid.clone().requires_grad_(), grid.clone().requires_grad_()
    found, expected = sample_grid(fast, points), sample_grid_reference(slow, points)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(fast.grad, slow.grad, atol=1e-5, rtol=1e-5)


def test_fast_and_reference_rows_agree_in_values_and_gradients():
    rows, weights = torch.randint(0, 9, (40, 8), generator=generator()), torch.rand(40, 8, generator=generator(1))
    fast = torch.randn(9, 3, generator=generator(2)).requires_grad_()
    slow = fast.detach().clone().requires_grad_()
    found, expected = weighted_rows(fast, rows, weights), weighted_rows_reference(slow, rows, weights)
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(fast.grad, slow.grad)


def test_lookup_at_a_node_and_between_two_by_hand():
    grid = torch.zeros(3, 3, 3, 1)
    grid[2, 1, 0] = 8.0  # z = 1, y = 0, x = -1
    points = torch.tensor([[-1.0, 0, 1], [-0.5, 0, 1], [-0.5, 0, 0.5], [0.0, 0, 1]])
    torch.testing.assert_close(sample_grid(grid, points)[:, 0], torch.tensor([8.0, 4, 2, 0]))


def test_lookup_gives_a_gradient_to_points():
    points = torch.zeros(1, 3, requires_grad=True)
    ramp = torch.linspace(-1, 1, 5)[None, None, :, None].expand(5, 5, 5, 1).contiguous()
    sample_grid(ramp, points).sum().backward()
    torch.testing.assert_close(points.grad, torch.tensor([[1.0, 0, 0]]), atol=1e-5, rtol=0)


def test_nested_grids_are_represented_exactly():
    encoding = DenseEncoding(DenseGrids((3, 5)), 2, generator())
    with torch.no_grad():
        for grid in encoding.grids:
            grid.copy_(torch.randn(grid.shape, generator=generator(3)))
    points = torch.rand(50, 3, generator=generator(1)) * 2 - 1
    expected = sum(sample_grid_reference(grid, points) for grid in encoding.grids)
    torch.testing.assert_close(encoding(points), expected, atol=1e-5, rtol=1e-5)


def test_the_blob_is_e_to_the_5_at_the_origin():
    density = ObjectField(FieldConfig(), generator()).density(torch.tensor([[0.0, 0, 0], [0.2, 0, 0]]))
    # logit 5 and 5 exp(-1/2), on a grid of about 1e-4
    torch.testing.assert_close(density, torch.tensor([math.exp(5), math.exp(5 * math.exp(-0.5))]), rtol=1e-3, atol=0)


@pytest.mark.parametrize("point", [[1.01, 0, 0], [0, -1.01, 0], [0.75, 0.75, 0.75]])
def test_there_is_nothing_outside_the_box_and_the_ball(point):
    assert ObjectField(FieldConfig(), generator()).density(torch.tensor([point], dtype=torch.float32)).item() == 0


def test_trunc_exp_clamps_only_its_gradient():
    logit = torch.tensor([1.0, 20.0], requires_grad=True)
    value = trunc_exp(logit)
    value.sum().backward()
    torch.testing.assert_close(value.detach(), torch.tensor([math.e, math.exp(20)]))
    torch.testing.assert_close(logit.grad, torch.tensor([math.e, math.exp(15)]))


def test_normals_of_the_blob_point_outward():
    points = torch.nn.functional.normalize(torch.randn(20, 3, generator=generator()), dim=-1) * 0.3
    normals = ObjectField(FieldConfig(), generator()).normals(points)
    torch.testing.assert_close(normals, points / 0.3, atol=0.02, rtol=0)


@pytest.mark.parametrize("hidden", [0, 16])
@pytest.mark.parametrize("head", ["latent", "rgb"])
def test_heads(hidden, head):
    channels = 3 if head == "rgb" else 4
    field = ObjectField(FieldConfig(head=head, channels=channels, hidden=hidden), generator())
    density, features = field(torch.zeros(5, 3))
    assert density.shape == (5,) and features.shape == (5, channels)
    if hidden == 0:
        start = 0.5 if head == "rgb" else 0.0
        torch.testing.assert_close(features, torch.full_like(features, start), atol=1e-3, rtol=0)


def test_a_tiled_field_learns_a_step():
    field = ObjectField(FieldConfig(encoding=SMALL_TILED, hidden=16, blob_density=0), generator())
    points = torch.rand(512, 3, generator=generator(1)) * 2 - 1
    target = (points[:, 0] > 0).float()
    optimiser = torch.optim.Adam(field.parameter_groups(1e-2))
    losses = []
    for _ in range(60):
        loss = (field(points)[1][:, 0] - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 < losses[0]


def test_tiled_tables_are_bounded_and_coarse_levels_whole():
    encoding = ObjectField(FieldConfig(encoding=SMALL_TILED), generator()).encoding
    assert [table.shape[0] for table in encoding.tables] == [125, 256, 256]


def test_tiled_lookup_is_trilinear_in_a_whole_level():
    field = ObjectField(
        FieldConfig(encoding=TiledGrid(levels=1, features=1, base=2, finest=2, log2_entries=8)), generator()
    )
    with torch.no_grad():
        field.encoding.tables[0].copy_(torch.arange(27.0)[:, None])  # value = x + 3 y + 9 z of the node
    found = field.encoding(torch.tensor([[-1.0, -1, -1], [1, 1, 1], [0.5, 0, 0]]))
    torch.testing.assert_close(found[:, 0], torch.tensor([0.0, 26, 13.5]))


def test_the_start_depends_on_the_generator_only():
    config = FieldConfig(hidden=8)
    first, again = ObjectField(config, generator(5)).state_dict(), ObjectField(config, generator(5)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_grids_learn_ten_times_faster():
    groups = ObjectField(FieldConfig(hidden=8), generator()).parameter_groups(1e-3)
    assert [group["lr"] for group in groups] == [pytest.approx(1e-2), pytest.approx(1e-3)]
