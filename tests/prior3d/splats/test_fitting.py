"""Where splats begin, and how they move: the image stays what it was while Gaussians change places."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.settings.splats import SplatRates
from prior3d.splats.density_control import grown, relocate, walk
from prior3d.splats.model import NAMES, SplatsConfig
from prior3d.splats.optimising import rate_groups
from prior3d.splats.render import render_splats
from prior3d.splats.start import (
    PLACE_RADIUS,
    points_in_masks,
    points_of_a_place,
    seen_values,
    splats_at,
    splats_from_points,
)
from tests.gaussian_splats import some_splats


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def image(splats):
    with torch.no_grad():
        return render_splats(splats, orbit_cameras(ring(1), 48, 48)).colours


def optimiser_after_a_step(splats):
    optimiser = torch.optim.Adam(rate_groups(splats, SplatRates(means=0, quats=0, scales=0, opacities=0, sh0=0, shN=0)))
    render_splats(splats, orbit_cameras(ring(1), 48, 48)).colours.sum().backward()
    optimiser.step()
    return optimiser


def test_gaussians_that_show_nothing_take_other_places_and_the_image_stays():
    splats = some_splats(n=200, size=0.05)
    with torch.no_grad():
        splats.opacities[:30] = -8.0
    optimiser, before = optimiser_after_a_step(splats), image(splats)
    means = splats.means.detach().clone()
    assert relocate(splats, optimiser, 0.005, generator()) == 30
    moved = splats.means[:30].detach()
    assert ((moved[:, None] == means[None, 30:]).all(-1).any(1)).all(), "each is where another is"
    assert (splats.opacities[:30].sigmoid() > 0.005).all()
    assert (image(splats) - before).abs().mean() < 0.15 * before.mean()
    moments = optimiser.state[splats.means]["exp_avg"]
    assert (moments[:30] == 0).all() and (moments != 0).any()
    assert relocate(splats, optimiser, 0.0, generator()) == 0


def test_two_in_a_place_have_the_opacity_of_one():
    splats = some_splats(n=1, degree=0, size=0.2)
    with torch.no_grad():
        splats.opacities.fill_(1.0)
    before = image(splats)
    larger = grown(splats, 2, generator())
    assert torch.equal(larger.means[0], larger.means[1])
    both = 1 - (1 - larger.opacities[0].sigmoid()) * (1 - larger.opacities[1].sigmoid())
    assert both.item() == pytest.approx(torch.tensor(1.0).sigmoid().item(), abs=1e-5)
    difference = (image(larger) - before).abs()
    assert difference.mean() < 0.1 * before.mean() and before.mean() > 0.01


def test_faint_gaussians_walk_along_their_axes_and_others_stay():
    splats = some_splats(n=50)
    with torch.no_grad():
        splats.opacities[:25], splats.opacities[25:] = -9.0, 2.0
        splats.quats[:] = torch.tensor([1.0, 0, 0, 0])
        splats.scales[:] = torch.tensor([-2.0, -12.0, -12.0])
    before = splats.means.detach().clone()
    walk(splats, 10.0, generator())
    step = (splats.means - before).abs()
    assert step[:25, 0].min() > 0 and step[:25, 1:].max() < 1e-6 and step[25:].max() < 1e-6


def test_points_begin_inside_all_masks():
    cameras = orbit_cameras(ring(6, elevation_deg=20.0), 32, 32)
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    masks = (((rows - 15.5) ** 2 + (columns - 15.5) ** 2) < 36).float().expand(6, 32, 32)
    points = points_in_masks(cameras, masks, 300, generator())
    shown, covered = seen_values(cameras, masks[..., None], points)
    assert points.shape == (300, 3) and (covered[:, 0] >= 0.98 * shown).all()
    assert points.norm(dim=-1).max() < 0.75 < torch.rand(1000, 3).mul(2).sub(1).norm(dim=-1).max()
    with pytest.raises(Prior3dError, match="no place is inside the masks of all images"):
        points_in_masks(cameras, torch.zeros(6, 32, 32), 10, generator())


def test_points_of_a_place_are_all_round():
    far = points_of_a_place(4000, generator()).abs().amax(-1)
    assert far.max() <= PLACE_RADIUS + 1e-3 and (far > 1).float().mean() > 0.5 and (far < 1).any()


def test_splats_begin_as_large_as_the_gaps_between_them():
    points = torch.stack(torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij"), -1).view(-1, 3) * 0.1
    splats = splats_at(points, torch.full((64, 3), 0.25), some_splats(n=64, degree=1).config)
    assert torch.allclose(splats.scales.exp(), torch.tensor(0.1), atol=1e-5)
    for name in NAMES:
        assert getattr(splats, name).isfinite().all()
    assert (splats.sh0 < 0).all() and (splats.shN == 0).all()


def test_splats_begin_on_points_that_are_known():
    drawn = generator()
    points, colours = 4 * torch.rand(200, 3, generator=drawn) - 2, torch.rand(200, 3, generator=drawn)
    inside = (points.abs() <= 1).all(-1)
    assert 10 < int(inside.sum()) < 50
    few = splats_from_points(SplatsConfig(8, is_object=True), points, colours, drawn)
    assert all((points[inside] == mean).all(-1).any() for mean in few.means)
    many = splats_from_points(SplatsConfig(300, is_object=False), points, colours, drawn)
    assert torch.equal(many.means[:200], points)
    near = torch.cdist(many.means[200:], points).min(1).values  # further ones lie between the points
    assert near.min() > 0 and near.mean() < 0.8
    with pytest.raises(Prior3dError, match="0 points to begin on.*start=random"):
        splats_from_points(SplatsConfig(8), points + 9, colours, drawn)
