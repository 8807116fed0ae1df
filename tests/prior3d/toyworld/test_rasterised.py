"""The z-buffer of training renders: the ray caster's pixels, what lets light through, and its errors."""

import numpy as np
import pytest
import torch

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.errors import Prior3dError
from prior3d.rendering import zbuffer
from prior3d.rendering.zbuffer import Cutouts, pixel_means, visible
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.rasterised import rasterise_toy
from prior3d.toyworld.renders import render_toy, toy_orbit

pytest.importorskip("open3d")
pytest.importorskip("numba")


def cameras(seed=0, views=3, size=48):
    return orbit_cameras(toy_orbit(*sample_views(np.random.default_rng(seed), views)), size, size)


def square(x=0.0):
    """A square of side 1 that faces +x, at that x."""
    corners = np.array([[x, -0.5, -0.5], [x, 0.5, -0.5], [x, 0.5, 0.5], [x, -0.5, 0.5]], np.float32)
    return corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def front(size=32):
    return orbit_cameras(toy_orbit(np.array([0.0]), np.array([0.0])), size, size)


@pytest.mark.parametrize("first", [0, 20])
def test_it_gives_the_ray_casters_pixels(first):
    for index in range(first, first + 20):  # patterns, parts and lathes are among them
        toy, views = sample_object(3, index), cameras(index)
        cast, drawn = render_toy(toy, views), rasterise_toy(toy, views)
        assert (np.abs(cast.rgb - drawn.rgb) > 3 / 255).mean() < 2e-4, toy.caption
        assert np.abs(cast.mask - drawn.mask).mean() < 1e-4
        assert np.abs(cast.depth - drawn.depth).mean() < 1e-3
        assert np.abs(cast.normal - drawn.normal).mean() < 1e-3
        assert drawn.mask.mean() > 0.02


def test_the_nearer_of_two_squares_is_seen():
    (back, faces), (near, _) = square(-0.2), square(0.3)
    for corners in ([back, near], [near, back]):
        seen = visible(np.concatenate(corners), np.concatenate([faces, faces + 4]), front(), 2)
        nearest = 0 if corners[0] is near else 2
        centre = np.abs(seen.points[:, 1:]).max(axis=1) < 0.3
        assert centre.sum() > 50 and set(seen.face[centre] // 2 * 2) == {nearest}
        assert seen.points[centre, 0] == pytest.approx(0.3, abs=1e-4)


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75])
def test_a_share_of_the_samples_of_glass_is_kept(alpha):
    corners, faces = square()
    cut = Cutouts(
        np.array([alpha], np.float32), np.zeros((1, 3), np.int64), np.zeros(1, np.uint8), np.zeros(2, np.int32),
        np.zeros((2, 3, 2), np.float32),
    )  # fmt: skip
    seen = visible(corners, faces, front(), 4, cut)
    mask = pixel_means(np.zeros((len(seen.face), 1), np.float32), seen)[..., -1]
    assert mask[0, 14:18, 14:18] == pytest.approx(alpha)


def test_a_hole_in_a_texture_is_a_hole():
    corners, faces = square()
    uv = (corners[:, 1:] + 0.5)[faces].astype(np.float32)  # the left half of the texture lies at y < 0
    cut = Cutouts(
        np.ones(1, np.float32), np.array([[0, 2, 1]], np.int64), np.array([0, 255], np.uint8), np.zeros(2, np.int32), uv
    )  # fmt: skip
    seen = visible(corners, faces, front(), 4, cut)
    assert len(seen.points) > 100 and seen.points[:, 1].min() > -0.01 and seen.points[:, 1].max() > 0.45


def test_what_it_cannot_draw_is_said(monkeypatch):
    corners, faces = square(10.0)
    with pytest.raises(Prior3dError, match="behind a camera"):
        visible(corners, faces, front(), 1)
    wide = Cameras(torch.eye(4)[None], torch.tensor([40.0]), 8, 16)
    with pytest.raises(Prior3dError, match="not square"):
        visible(square()[0], faces, wide, 1)
    monkeypatch.setattr(zbuffer, "numba", None)
    with pytest.raises(Prior3dError, match=r"prior3d\[training\].*renderer=ray_caster"):
        visible(square()[0], faces, front(), 1)
