"""Samples that go where a field is not empty: lengths by hand, renders against samples from end to end."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.fields import DenseGrids, FieldConfig, ObjectField, TiledGrid
from prior3d.rendering import ray_shares, render, sample_points
from prior3d.rendering.rays import occupied_distances
from prior3d.rendering.volume import intervals
from prior3d.seeds import Seeds


def test_intervals_fill_the_occupied_parts_and_no_others():
    near, far = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([2.0, 8.0, 3.0])

    def occupied(distances):
        inside = (distances > 2) & (distances < 4) | (distances > 6) & (distances < 7)
        inside[2] = False
        return inside

    starts, ends = occupied_distances(near, far, occupied, 16, 6, None)
    torch.testing.assert_close(starts[1], torch.tensor([2.0, 2.5, 3.0, 3.5, 6.0, 6.5]))
    torch.testing.assert_close(ends[1], torch.tensor([2.5, 3.0, 3.5, 4.0, 6.5, 7.0]))
    assert torch.equal(starts[0], ends[0]) and torch.equal(starts[2], ends[2])
    assert starts.isfinite().all() and ((starts >= 0) & (starts <= 8)).all()


def test_jittered_intervals_keep_their_whole_length_and_order():
    near, far = torch.zeros(50), torch.full((50,), 10.0)
    generator = torch.Generator().manual_seed(3)
    starts, ends = occupied_distances(near, far, lambda d: (d > 3) & (d < 5), 100, 16, generator)
    torch.testing.assert_close((ends - starts).sum(-1), torch.full((50,), 2.0))
    middles = (starts + ends) / 2
    assert (middles.diff(dim=-1) > 0).all() and (middles > 3).all() and (middles < 5).all()
    assert not torch.equal(middles[0], middles[1])


def ball(occupied_samples: int, resolution: int = 32) -> ObjectField:
    """A soft ball of radius about 0.5 in an otherwise empty box."""
    config = FieldConfig(
        encoding=DenseGrids((9,)), density_bias=-8.0, blob_density=12.0, blob_radius=0.3,
        occupancy_resolution=resolution, occupied_samples=occupied_samples,
    )  # fmt: skip
    field = ObjectField(config, torch.Generator().manual_seed(0))
    seeds = Seeds(0)
    for step in (0, 16, 32):
        field.update_occupancy(step, seeds.generator)
    return field


def test_a_sixteenth_of_the_samples_show_the_same():
    cameras = orbit_cameras(ring(2, radius=2.0), 24, 24)
    whole, placed = ball(0), ball(32)
    with torch.no_grad():
        dense, few = (render(field, cameras, 512) for field in (whole, placed))
    assert few.density.shape[-1] == 32 and dense.density.shape[-1] == 512
    assert 0.05 < (dense.opacity > 0.5).float().mean() < 0.6
    torch.testing.assert_close(few.opacity, dense.opacity, rtol=0, atol=5e-3)
    seen = dense.opacity > 0.5
    torch.testing.assert_close(few.depth[seen], dense.depth[seen], rtol=0, atol=5e-3)
    torch.testing.assert_close(few.features, dense.features, rtol=0, atol=1e-4)


def test_few_samples_are_looked_up(monkeypatch):
    """Counted: 32 a ray, where 512 from end to end would be; none is masked afterwards."""
    field, asked = ball(32), []
    look_up = field.look_up
    monkeypatch.setattr(field, "look_up", lambda points: asked.append(len(points)) or look_up(points))
    monkeypatch.setattr(type(field), "forward", lambda *_: pytest.fail("it masks, for which a GPU would have to stop"))
    render(field, orbit_cameras(ring(1, radius=2.0), 16, 16), 512, torch.Generator().manual_seed(0))
    assert asked == [16 * 16 * 32]


def test_bins_are_no_longer_than_cells():
    assert ball(32).bins(512) == 512 and ball(32).bins(16) == 64


def test_gradients_are_those_of_samples_from_end_to_end():
    cameras = orbit_cameras(ring(1, radius=2.0), 12, 12)
    gradients = []
    for field in (ball(0), ball(96)):
        found = render(field, cameras, 768)
        (found.opacity.mean() + found.features.square().mean()).backward()
        gradients.append(field.encoding.grids[0].grad)
    difference = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
    assert difference < 0.02


def test_shares_make_means_of_both_kinds_compare():
    cameras = orbit_cameras(ring(1, radius=2.0), 16, 16)
    whole, placed = ball(0), ball(64)
    dense, few = render(whole, cameras, 512), render(placed, cameras, 512)
    assert ray_shares(whole, cameras, dense) is None
    occupied = whole.occupied(sample_points(cameras, dense)).float()
    inside = lambda points: (points[:, 2] > 0).float()  # noqa: E731
    by_mean = (occupied * inside(sample_points(cameras, dense))).mean()
    by_shares = (inside(sample_points(cameras, few)) * ray_shares(placed, cameras, few)).sum()
    assert by_mean > 0.01 and by_shares.item() == pytest.approx(by_mean.item(), rel=0.03)


def test_without_a_grid_samples_go_from_end_to_end():
    field = ObjectField(FieldConfig(encoding=TiledGrid(log2_entries=6), occupied_samples=8))
    origins, directions = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[-1.0, 0.0, 0.0]])
    starts, _ = intervals(field, origins, directions, 40)
    assert starts.shape == (1, 40)
