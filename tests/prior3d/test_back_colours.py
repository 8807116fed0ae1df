"""Colours of the side that an image does not show: from the image, without a second face."""

import math

import numpy as np
import pytest
import torch

from prior3d.reconstruction.back_colours import folded
from prior3d.reconstruction.body import Body
from prior3d.reconstruction.image_features import features
from tests.photo_like import BLUE, GREEN, RED, SETTINGS, WHITE, ball, grid, image_of


def seen_from(body, azimuth_deg, n=41):
    """Colours of a ball's surface, [n, n, 3] by height and angle, in the middle of what a camera at an azimuth sees."""
    heights, angles = torch.linspace(-0.5, 0.5, n), torch.deg2rad(azimuth_deg + torch.linspace(-35, 35, n))
    radius = (0.7 * 2.3294 / 2) * 0.98
    z = heights * radius
    across = (radius**2 - z**2).sqrt()[:, None]
    points = torch.stack([across * angles.cos(), across * angles.sin(), z[:, None].expand(n, n)], -1)
    occupied, colours = body(points.view(-1, 3))
    assert (occupied > 0.3).float().mean() > 0.95
    return colours.view(n, n, 3).numpy()


def test_the_front_shows_the_image_and_the_back_its_outer_colours_on_their_own_sides():
    x, _ = grid()
    body = Body(image_of(ball(), (x < 0, RED), (x >= 0, BLUE)), SETTINGS)  # x > 0: to the right, azimuth 90
    front, right, left, back = (seen_from(body, azimuth) for azimuth in (0, 90, 270, 180))
    assert np.allclose(front[:, -1], BLUE, atol=0.05) and np.allclose(front[:, 0], RED, atol=0.05)
    assert np.allclose(right[:, 8:-8], BLUE, atol=0.12) and np.allclose(left[:, 8:-8], RED, atol=0.12)
    assert abs(back[..., 1] - 0.2).max() < 0.05  # between red and blue, nothing else
    assert np.allclose(back[:, 20], (np.array(RED) + BLUE) / 2, atol=0.1)


@pytest.mark.parametrize("place", [0.0, 0.5], ids=["in the middle", "in the part that is mirrored"])
def test_there_is_no_second_face(place):
    x, y = grid()
    dots = np.hypot(abs(x) - place, y) < 0.1
    body = Body(image_of(ball(), (dots, GREEN)), SETTINGS)
    grey = np.array([0.5, 0.5, 0.5])
    front = np.concatenate([seen_from(body, azimuth).reshape(-1, 3) for azimuth in (-40, 0, 40)])
    assert abs(front - grey).max() > 0.35
    assert abs(seen_from(body, 180) - grey).max() <= SETTINGS.back.grain + 0.02


def test_a_sole_with_a_bright_way_to_the_outline_is_no_patch_on_the_back():
    """The way is a fold that catches the light; the sole takes the colours beside it, and not those of the fold."""
    x, y = grid()
    fold, soles = (abs(y) < 0.04, (0.66, 0.6, 0.55)), (np.hypot(abs(x) - 0.35, y) < 0.2, WHITE)
    brown = (ball(), (0.4, 0.33, 0.28))
    body = Body(image_of(ball(), brown, fold, soles), SETTINGS)
    beside = [row for row in range(8, 33) if abs(row - 20) > 5]  # rows of the soles, without the fold's
    for azimuth in (110, 180, 250):
        assert abs(seen_from(body, azimuth)[beside] - brown[1]).max() <= SETTINGS.back.grain + 0.02
    assert seen_from(body, 0).max() > 0.8


def test_a_spot_among_many_colours_is_part_of_a_pattern():
    x, y = grid()
    image = np.full((3, 64, 64), 0.5)
    for column, colour in enumerate((RED, GREEN, BLUE) * 11):
        image[:, :, 2 * column : 2 * column + 2] = np.array(colour)[:, None, None]
    spot = np.hypot(x, y) < 0.3
    image[:, spot] = 0.95
    plain = np.where(spot, 0.95, np.full((3, 64, 64), 0.3))
    assert not features(image, np.where(spot, 0.4, np.zeros_like(image)), ball(), 0.1).any()
    assert features(plain, np.where(spot, 0.4, np.zeros_like(image)), ball(), 0.1)[spot].all()


def test_stripes_and_layers_that_run_into_the_outline_go_round():
    _, y = grid()
    layer = abs(y) < 0.15
    body = Body(image_of(ball(), (layer, WHITE)), SETTINGS)
    for azimuth in (90, 180, 270):
        seen = seen_from(body, azimuth)
        assert np.allclose(seen[20], WHITE, atol=0.05) and np.allclose(seen[0], 0.5, atol=0.05)


def test_there_is_no_seam_where_the_images_pixels_end():
    x, y = grid()
    shades = [(abs(x - k / 10) < 0.06, (0.5 + 0.04 * k, 0.5, 0.5 - 0.04 * k)) for k in range(-8, 9)]
    body = Body(image_of(ball(), *shades), SETTINGS)
    for azimuth in (90, 270):
        steps = np.abs(np.diff(seen_from(body, azimuth)[15:26], axis=1))
        assert steps.max() < 0.06


def test_an_angle_is_folded_between_the_outer_and_the_inner_one():
    degrees = torch.tensor([0.0, 50, 70, 80, 100, 110, 170, 180])
    back = torch.rad2deg(folded(torch.deg2rad(degrees), math.radians(70), math.radians(40)))
    assert back.tolist() == pytest.approx([0, 50, 70, 60, 40, 50, 50, 60], abs=1e-3)
