"""The grid that says where a field is empty: what stays, what is not computed, what comes back."""

import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.fields import DenseGrids, FieldConfig, ObjectField, TiledGrid
from prior3d.fields.grids import OccupancyGrid
from prior3d.images.colours import rgb_field
from prior3d.rendering import render, render_without_gradient
from prior3d.seeds import Seeds


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ball(points: torch.Tensor) -> torch.Tensor:
    """Density 20 within 0.5, else 1."""
    return 1 + 19.0 * (points.norm(dim=-1) < 0.5)


def test_what_is_denser_than_the_mean_stays_and_points_find_their_cells():
    grid = OccupancyGrid(16)
    points = torch.rand(2000, 3, generator=generator()) * 2 - 1
    assert grid(points).all()  # before the first update
    grid.update(ball, generator(1))
    distance = points.norm(dim=-1)
    reach = 3**0.5 * 2 / 16
    assert grid(points[distance < 0.5 - reach]).all() and not grid(points[distance > 0.5 + reach]).any()
    assert grid(torch.full((1, 3), 7.0)).tolist() == [False]  # outside, the nearest cell counts


def test_above_ten_everything_stays():
    grid = OccupancyGrid(4)
    grid.update(lambda points: torch.full((len(points),), 11.0), generator())
    assert grid.occupied.all()


def test_cells_lose_a_twentieth_when_looked_at_and_come_back_when_something_is_there():
    grid = OccupancyGrid(8)
    grid.update(ball, generator())
    before = grid.density.clone()
    grid.update(lambda points: torch.zeros(len(points)), generator())
    torch.testing.assert_close(grid.density, before * 0.95)
    grid.update(lambda points: 50.0 * (points[:, 0] > 0.9), generator())
    assert grid(torch.tensor([[0.99, 0.0, 0.0]])).item()


def test_later_updates_look_at_half_of_the_cells():
    grid, asked = OccupancyGrid(8), []

    def density(points):
        asked.append(len(points))
        return ball(points)

    for step in range(18):
        grid.update(density, generator(step))
    assert asked == [512] * 16 + [256] * 2


def test_a_field_is_zero_in_empty_cells_and_gets_no_gradient_there():
    config = FieldConfig(encoding=TiledGrid(levels=2, finest=8, log2_entries=8), occupancy_resolution=8)
    field = ObjectField(config, generator())
    field.update_occupancy(0, Seeds(0).generator)
    points = (torch.rand(500, 3, generator=generator(2)) * 2 - 1).requires_grad_()
    density, features = field(points)
    occupied = field.occupancy(points)
    assert 0 < occupied.sum() < 500
    assert (density[~occupied] == 0).all() and (features[~occupied] == 0).all()
    torch.testing.assert_close(density, field.density(points))
    torch.testing.assert_close(density[occupied], field.raw_density(points)[occupied])
    density.sum().backward()
    assert (points.grad[~occupied] == 0).all() and (points.grad[occupied] != 0).any()


def test_updates_come_before_the_first_step_and_every_sixteen():
    field, seeds = ObjectField(FieldConfig(occupancy_resolution=4), generator()), Seeds(0)
    for step in range(40):
        field.update_occupancy(step, seeds.generator)
    assert int(field.occupancy.n_updates) == 3
    without = ObjectField(FieldConfig(), generator())
    without.update_occupancy(0, Seeds(0).generator)
    assert not any("occupancy" in name for name in without.state_dict())


def test_an_rgb_field_takes_over_what_is_empty():
    latent = ObjectField(FieldConfig(encoding=DenseGrids((5,)), occupancy_resolution=8), generator())
    latent.update_occupancy(0, Seeds(0).generator)
    colour = rgb_field(latent, torch.zeros(4, 3), torch.full((3,), 0.5))
    assert torch.equal(colour.occupancy.occupied, latent.occupancy.occupied) and not colour.occupancy.occupied.all()


def test_nothing_is_drawn_nearer_than_the_near_plane():
    cameras = orbit_cameras(ring(1, 0.0, 0.5), 3, 3)  # within the field
    near, far = (render(ObjectField(FieldConfig(near_plane=plane), generator()), cameras, 8) for plane in (0.0, 0.2))
    assert near.starts[0, 1, 1, 0].item() == 0
    torch.testing.assert_close(far.starts[..., 0], torch.full((1, 3, 3), 0.2))
    torch.testing.assert_close(far.ends[..., -1], near.ends[..., -1])
    beyond = ObjectField(FieldConfig(near_plane=9.0), generator())
    assert render_without_gradient(beyond, cameras, 8)[1].max() == 0
