"""Values between images and Gaussians: a scene of splats as an edit sees it, and what images agree on about it."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.dataset_update.edited_splats import splat_surfaces_now
from prior3d.dataset_update.relevance import EditRegion
from prior3d.dataset_update.scene_consensus import aggregate_views
from prior3d.settings.scene_edits import ConsensusSettings
from prior3d.splats.render import render_splats
from tests.gaussian_splats import ball_of_splats, some_splats

SIZE = 24


@pytest.fixture(scope="module")
def cameras():
    return orbit_cameras(ring(8, 25.0), SIZE, SIZE)


def opacities(splats, cameras):
    """[views, size, size]."""
    with torch.no_grad():
        return torch.stack([render_splats(splats, cameras[view]).opacity for view in range(cameras.views)])


def test_values_are_seen_as_colours_are(cameras):
    """Whatever the colours of the splats are, and also below 0, where no colour is."""
    splats, generator = some_splats(degree=2), torch.Generator().manual_seed(3)
    surfaces = splat_surfaces_now(splats, cameras)
    ones = surfaces.render(torch.ones(60, 1))
    assert torch.allclose(ones[:, 0], opacities(splats, cameras), atol=1e-5)
    values = torch.randn(60, 5, generator=generator)
    seen = surfaces.render(values)
    assert seen.shape == (8, 5, SIZE, SIZE) and seen.min() < -0.1
    assert torch.allclose(surfaces.render(2 * values - 1), 2 * seen - ones, atol=1e-4)
    assert torch.allclose(surfaces.render(values[:, 3:4]), seen[:, 3:4], atol=1e-5)


def test_gathering_is_the_adjoint_of_rendering(cameras):
    """Sum over pixels of map x render(values) = sum over Gaussians of gathered map x value, whatever both are."""
    splats, generator = some_splats(degree=1), torch.Generator().manual_seed(4)
    surfaces = splat_surfaces_now(splats, cameras)
    values, maps = torch.randn(60, 4, generator=generator), torch.randn(8, 4, SIZE, SIZE, generator=generator)
    gathered, weights = surfaces.gather(maps)
    over_pixels = (surfaces.render(values) * maps).sum()
    over_splats = (gathered * weights[:, None] * values).sum()
    assert over_splats.item() == pytest.approx(over_pixels.item(), rel=1e-3)
    assert weights.sum().item() == pytest.approx(opacities(splats, cameras).sum().item(), rel=1e-4)


def test_a_gaussian_that_nobody_sees_gathers_nothing(cameras):
    splats = ball_of_splats()
    with torch.no_grad():
        splats.means[0] = torch.tensor([0.0, 0.0, 40.0])  # behind all cameras, or out of their images
    gathered, weights = splat_surfaces_now(splats, cameras).gather(torch.full((8, 2, SIZE, SIZE), 0.7))
    assert weights[0] == 0 and (gathered[0] == 0).all() and weights[1:].max() > 1
    assert torch.allclose(gathered[weights > 1e-2], torch.tensor(0.7), atol=1e-3)


def test_fitting_later_does_not_change_the_surfaces(cameras):
    splats = some_splats()
    surfaces, values = splat_surfaces_now(splats, cameras), torch.ones(60, 1)
    before = surfaces.render(values)
    with torch.no_grad():
        splats.means.add_(0.3)
        splats.opacities.fill_(-9.0)
    assert torch.equal(before, surfaces.render(values))
    assert not any(tensor.requires_grad for tensor in (surfaces.splats.means, surfaces.splats.sh0))


def test_edits_that_disagree_become_one_that_all_views_share(cameras):
    """Edits paint the ball blue, each with noise of its own: the consensus has their mean, and less noise."""
    splats, generator = ball_of_splats(), torch.Generator().manual_seed(5)
    surfaces = splat_surfaces_now(splats, cameras)
    covered = opacities(splats, cameras)[:, None]
    blue = torch.tensor([-0.6, 0.0, 0.6]).view(1, 3, 1, 1) * covered
    noise = 0.3 * torch.randn(blue.shape, generator=generator) * covered
    settings = ConsensusSettings(relative_threshold=0.0)
    found = aggregate_views(surfaces, torch.full_like(blue, 0.5), blue + noise, settings)
    assert (found - blue).abs().mean() < 0.4 * noise.abs().mean()
    assert (found * (covered == 0)).abs().max() < 1e-5


def test_a_region_keeps_gradients_from_the_gaussians_outside(cameras):
    """Gaussians at x > 0 matter in all images: only they may change, of whatever shape their tensors are."""
    splats = ball_of_splats()
    surfaces = splat_surfaces_now(splats, cameras)
    right = (splats.means[:, :1] > 0).float()
    region = EditRegion(300, 8, SIZE, SIZE)
    tables = [splats.means, splats.opacities, splats.sh0]
    region.freeze_inactive(tables)
    region.restrict(surfaces, surfaces.render(right), 0.5)
    far = splats.means[:, 0] < -0.3
    assert region.nodes[splats.means[:, 0] > 0.3].mean() > 0.8 and region.nodes[far].max() == 0
    sum((table.square().sum() + table.sum()) for table in tables).backward()
    for table in tables:
        assert (table.grad[far] == 0).all() and (table.grad != 0).any()
