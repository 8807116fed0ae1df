"""Masked views and the losses of a fit to them."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.losses.robust import huber_loss
from prior3d.reconstruction.view_targets import RayBatch, ViewTargets, premultiplied, view_losses
from prior3d.rendering import Rendering, rays


def views_of_a_square(level=1.0):
    views = ViewTargets(orbit_cameras(ring(2), 24, 24))
    images = torch.full((2, 3, 24, 24), level)
    masks = torch.zeros(2, 24, 24)
    images[:, :, 8:16, 8:16] = torch.tensor([0.8, 0.2, 0.1])[:, None, None]
    masks[:, 8:16, 8:16] = 1
    views.put(slice(None), premultiplied(images, masks, level), masks)
    return views


def test_colours_are_premultiplied_whatever_the_background():
    white, black = views_of_a_square(1.0), views_of_a_square(0.0)
    torch.testing.assert_close(white.colours, black.colours)
    assert white.colours[0, 0, 0].tolist() == [0, 0, 0]
    torch.testing.assert_close(white.colours[1, 12, 12], torch.tensor([0.8, 0.2, 0.1]))


def test_drawn_rays_belong_to_their_pixels_and_prefer_the_object():
    views = views_of_a_square()
    drawn = views.draw(4000, torch.Generator().manual_seed(0))
    all_origins, all_directions = rays(views.cameras)
    assert drawn.masks.mean() > 2 * (64 / 576)  # a ninth of all pixels
    for ray in (0, 17, 399):
        same = ((all_directions - drawn.directions[ray]).abs().amax(-1) < 1e-6) & (
            (all_origins - drawn.origins[ray]).abs().amax(-1) < 1e-6
        )
        assert same.sum() == 1 and views.masks[same].item() == drawn.masks[ray]
        torch.testing.assert_close(views.colours[same][0], drawn.colours[ray])


def test_the_fraction_of_rays_off_the_object_is_that_asked_for():
    """8 x 8 pixels of 24 x 24 are the object; with one pixel around it that is near it, 10 x 10."""
    for fraction, near in ((1.0, 100 / 576), (0.0, 1.0), (0.5, 100 / (100 + 476 / 2))):
        views = ViewTargets(orbit_cameras(ring(1), 24, 24), background_ray_fraction=fraction)
        masks = torch.zeros(1, 24, 24)
        masks[:, 8:16, 8:16] = 1
        views.put(slice(None), masks[:, None].expand(-1, 3, -1, -1), masks)
        drawn = views.draw(4000, torch.Generator().manual_seed(0))
        around = views.directions.view(24, 24, 3)[7:17, 7:17].reshape(-1, 3)
        found = (drawn.directions[:, None] - around).abs().amax(-1).min(1).values < 1e-6
        assert found.float().mean().item() == pytest.approx(near, abs=0.03)


def test_views_travel_through_a_checkpoint():
    views, other = views_of_a_square(), ViewTargets(orbit_cameras(ring(2), 24, 24))
    other.load_state_dict(views.state_dict())
    drawn = [v.draw(50, torch.Generator().manual_seed(1)) for v in (views, other)]
    assert all(torch.equal(getattr(drawn[0], name), getattr(drawn[1], name)) for name in vars(drawn[0]))


def test_losses_of_known_differences():
    """Rendered: opacity .5, premultiplied .1; wanted: 1 and .4; over white: .6 against .4, and a mask off by .5."""
    one = torch.ones(2, 1)
    rendering = Rendering(torch.full((2, 3), 0.1), torch.full((2,), 0.5), one[:, 0], one, one, one, one)
    rays, white, ones = torch.zeros(2, 3), torch.ones(2, 3), torch.ones(2)
    colour, mask = view_losses(rendering, RayBatch(rays, rays, rays + 0.4, ones, ones), white, huber_loss)
    assert mask.item() == pytest.approx(0.5)
    assert colour.item() == pytest.approx(0.2 - 0.05)  # Huber beyond delta 0.1, divided by delta
    colour, _ = view_losses(rendering, RayBatch(rays, rays, rays + 0.6, ones, ones), white, huber_loss)
    assert colour.item() == pytest.approx(0)
