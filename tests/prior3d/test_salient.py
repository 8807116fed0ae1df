"""The object of a busy image: found over textures, whole, the same every time; nothing where nothing stands out."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from prior3d.images.salient import saliency, salient_mask


def busy(seed, side=128):
    """A field of coarse grey-green noise with a striped red and yellow disc in it, and the disc's mask."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=(side, side, 1)), (2, 2, 0)) * 2
    image = (np.array([0.4, 0.5, 0.4]) + 0.15 * noise).clip(0, 1)
    row, column = np.mgrid[:side, :side]
    mask = np.hypot(row - side * 0.55, column - side * 0.45) < side * 0.28
    stripes = (row // 8 % 2)[..., None]
    image[mask] = np.where(stripes, [0.85, 0.1, 0.1], [0.95, 0.8, 0.1])[mask]
    return image.astype(np.float32), mask


@pytest.mark.parametrize("seed", range(3))
def test_a_thing_of_two_colours_over_a_texture(seed):
    image, mask = busy(seed)
    found = salient_mask(image)
    assert (found & mask).sum() / (found | mask).sum() > 0.93
    assert np.array_equal(found, salient_mask(image))


def test_what_reaches_the_border_does_not_stand_out():
    image, mask = busy(0)
    sky = np.zeros_like(mask)
    sky[:60] = True
    image[sky & ~mask] = (0.5, 0.65, 0.9)
    marks = saliency(image)
    assert max(marks[:15].mean(), marks[110:].mean()) < 0.35 < 0.6 < marks[60:80, 50:65].mean()


def test_nothing_stands_out_of_one_colour():
    assert not salient_mask(np.full((64, 64, 3), 0.5, np.float32)).any()
