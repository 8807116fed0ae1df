"""Masks of drawings before a background of the prior's own, on exact renders of toy objects."""

import pytest
import torch

from prior3d.cameras import Orbit, orbit_cameras
from prior3d.reconstruction.drawn_borders import cut_out_by_borders
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.renders import render_toy

SIZE = 96


def before(index, level, shade):
    """Four views of a toy object before a grey that gets lighter from top to bottom, and its true masks."""
    orbit = Orbit(torch.arange(4) * 90.0, *(torch.full((4,), value) for value in (15.0, 3.0, 40.0)))
    cameras = orbit_cameras(orbit, SIZE, SIZE)
    render = render_toy(sample_object(7, index, "held-out"), cameras)
    white, black = (torch.as_tensor(render.over((grey,) * 3)).float().movedim(-1, 1) for grey in (1.0, 0.0))
    alpha = 1 - (white - black).mean(1)
    behind = level + shade * torch.linspace(-0.5, 0.5, SIZE)[:, None]
    return (black + (1 - alpha[:, None]) * behind).clamp(0, 1), black, alpha, cameras


@pytest.mark.parametrize("index", [1, 2, 5])
@pytest.mark.parametrize(("level", "shade"), [(0.5, 0.0), (0.5, 0.08), (0.6, 0.25)])
def test_masks_and_colours_are_those_of_the_object(index, level, shade):
    images, premultiplied, alpha, cameras = before(index, level, shade)
    found = cut_out_by_borders(images, cameras)
    assert len(found.masks) == 4 and torch.equal(found.cameras.c2w, cameras.c2w)
    seen, true = found.masks > 0.5, alpha > 0.5
    assert (seen & true).sum() > 0.95 * (seen | true).sum()
    inside = (found.masks > 0.99) & (alpha > 0.99)
    assert (found.colours - premultiplied).abs().amax(1)[inside].mean() < 0.01
    assert (found.colours.amax(1) <= found.masks + 1e-6).all() and found.weights.eq(1).all()
