"""A field's start from the outlines of its views: dense where they say so, in their colours."""

from dataclasses import replace

import pytest
import torch

from prior3d.errors import Prior3dError
from prior3d.fields import DenseGrids, FieldConfig, ObjectField, TiledGrid
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.soft_hull import begin_at_hull, inside_share
from prior3d.reconstruction.sparse_fit import start_fit
from prior3d.seeds import Seeds
from prior3d.settings.reconstruction import FitSettings
from tests.posed_ball import ball_cameras, ball_pictures

SETTINGS = FitSettings(resolutions=(9, 17, 33))


@pytest.fixture(scope="module")
def views():
    """A ball from twelve sides: what shows it whole is its colour times its mask."""
    cameras = ball_cameras(12, 32)
    pictures = torch.from_numpy(ball_pictures(cameras)).float()
    masks = pictures[..., 3]
    colours = (pictures[..., :3] * masks[..., None]).movedim(-1, 1)
    return InputViews(colours, masks, torch.ones_like(masks), cameras)


def field_of(views, **changes):
    fit = start_fit(views, SETTINGS, Seeds(0))
    begin_at_hull(fit.field, views)
    return fit


def test_it_is_dense_inside_thin_outside_and_shows_the_views(views):
    fit = field_of(views)
    density = fit.field.density(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.9], [0.9, 0.0, 0.0]])).tolist()
    assert density[0] > 15 > 0.1 > max(density[1:])
    images, opacity = fit.images(views.cameras, 1.0)
    assert (opacity - views.masks).abs().mean() < 0.06
    fog = start_fit(views, SETTINGS, Seeds(0)).images(views.cameras, 1.0)[0]
    error, of_fog = ((drawn - views.over(1.0)).square().mean() for drawn in (images, fog))
    assert error < 0.25 * of_fog


def test_views_that_disagree_do_not_cut_what_most_show(views):
    """One of twelve shows nothing; if it weighs as much as the others together, it does."""
    masks, weights = views.masks.clone(), views.weights.clone()
    masks[3] = 0
    odd = replace(views, masks=masks, colours=views.colours * masks[:, None], weights=weights)
    middle = torch.zeros(1, 3)
    assert inside_share(odd, middle).item() == pytest.approx(11 / 12, abs=1e-3)
    assert field_of(odd).field.density(middle).item() > 2
    weights[3] = 11
    heavy = replace(odd, weights=weights)
    assert inside_share(heavy, middle).item() == pytest.approx(0.5, abs=1e-3)


def test_what_it_cannot_write_to_is_refused(views):
    tiled = ObjectField(FieldConfig(encoding=TiledGrid(2, 2, 4, 8, 8), head="rgb", channels=3))
    latent = ObjectField(FieldConfig(encoding=DenseGrids((9,))))
    plain = start_fit(views, SETTINGS, Seeds(0)).field
    for field, given in ((tiled, views), (latent, views), (plain, replace(views, masks=None))):
        with pytest.raises(
            Prior3dError, match="it needs a field of dense grids in colour without a network, and masks"
        ):
            begin_at_hull(field, given)


def test_a_fit_from_the_hull_is_ahead_of_one_from_fog(views):
    """After ten steps each, from cameras between those that were given."""
    between = ball_cameras(24, 32)
    truth = torch.from_numpy(ball_pictures(between)).float()
    white = (truth[..., :3] * truth[..., 3:] + 1 - truth[..., 3:]).movedim(-1, 1)
    errors = []
    for hull in (True, False):
        fit = start_fit(views, SETTINGS, Seeds(0))
        if hull:
            begin_at_hull(fit.field, views)
        optimiser = torch.optim.Adam(fit.field.parameter_groups(0.02), lr=0.02)
        for step in range(10):
            optimiser.zero_grad()
            sum(fit.losses(step / 10).values()).backward()
            optimiser.step()
        errors.append((fit.images(between, 1.0)[0] - white).square().mean().item())
    assert errors[0] < 0.5 * errors[1]
