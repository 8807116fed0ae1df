"""Cut-out images for tests of completion: a ball, a mug with a handle, a figure with raised arms, a flat plate."""

from dataclasses import replace

import numpy as np

from prior3d.images.object_image import ObjectImage
from prior3d.reconstruction.completion import unknown_camera
from prior3d.settings.completion import BodySettings, CompletionSettings
from prior3d.settings.reconstruction import FitSettings

SIZE = 64
RED, BLUE, GREEN, WHITE = (0.8, 0.2, 0.2), (0.2, 0.2, 0.8), (0.1, 0.9, 0.1), (0.9, 0.9, 0.9)
SETTINGS = CompletionSettings(
    body=BodySettings(size=SIZE), view_size=32, fit=FitSettings(resolutions=(17, 33), n_samples=24, rays_per_step=256)
)


def grid(size=SIZE):
    """Place of each pixel, -1 to 1, to the right and up."""
    across = (np.arange(size) + 0.5) / size * 2 - 1
    return across[None].repeat(size, 0), -across[:, None].repeat(size, 1)


def image_of(inside, *paint, size=SIZE, viewpoint=None):
    """An image of an outline in grey, with (where, colour) painted over each other."""
    rgba = np.full((size, size, 4), 0.5, np.float32)
    for where, colour in paint:
        rgba[where, :3] = colour
    rgba[..., 3] = inside
    return ObjectImage(rgba * inside[..., None].astype(np.float32), viewpoint or unknown_camera(SETTINGS))


def ball():
    x, y = grid()
    return x**2 + y**2 < 0.7**2


def mug():
    """A body, to its right a handle with a hole."""
    x, y = grid()
    ring = np.hypot(x - 0.3, y)
    return ((abs(x + 0.1) < 0.45) & (abs(y) < 0.6)) | ((ring < 0.36) & (ring > 0.22) & (x > 0.3))


def figure():
    """A trunk and a head, arms raised on both sides, with a gap between arms and head."""
    x, y = grid()
    trunk, head = (abs(x) < 0.22) & (y > -0.75) & (y < 0.25), np.hypot(x, y - 0.4) < 0.2
    arms = (abs(abs(x) - 0.42) < 0.07) & (y > 0.05) & (y < 0.7)
    shoulders = (abs(x) < 0.48) & (abs(y - 0.12) < 0.08)
    return trunk | head | arms | shoulders


def with_settings(**body):
    """The tests' settings with others of the body."""
    return replace(SETTINGS, body=replace(SETTINGS.body, **body))
