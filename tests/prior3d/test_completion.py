"""One image to a whole body: its outline and depth, that it is closed and stays in sight, and the field of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.fields import FieldConfig, ObjectField, TiledGrid
from prior3d.images.object_image import Viewpoint
from prior3d.meshes.extraction import isosurface
from prior3d.meshes.mesh import measure
from prior3d.reconstruction.body import Body, OtherOutlines, places
from prior3d.reconstruction.completion import body_field, complete, completion_fit, unknown_camera, write_body
from prior3d.reconstruction.outline import outline_of
from prior3d.rendering.background import render_images
from prior3d.seeds import Seeds
from tests.photo_like import BLUE, RED, SETTINGS, SIZE, ball, figure, grid, image_of, mug, with_settings

THINGS = pytest.mark.parametrize("inside", [ball(), mug(), figure()], ids=["ball", "mug", "figure"])


def extents(occupied):
    """Sides of the box round what is occupied, (x, y, z) in cells."""
    solid = occupied > 0.5
    return [int(solid.any(0).any(0).sum()), int(solid.any(0).any(1).sum()), int(solid.any(1).any(1).sum())]


@THINGS
def test_the_body_shows_the_given_outline(inside):
    image = image_of(inside)
    field = body_field(Body(image, SETTINGS), (65,), Seeds(0))
    opacity = render_images(field, image.viewpoint.cameras(SIZE), 96, None)[1][0].numpy() > 0.5
    assert (opacity & inside).sum() / (opacity | inside).sum() > 0.93


@THINGS
@pytest.mark.parametrize("viewpoint", [unknown_camera(SETTINGS), Viewpoint(120.0, 20.0, 40.0, 3.2)])
def test_the_body_stays_inside_the_cone_of_sight(inside, viewpoint):
    body = Body(image_of(inside, viewpoint=viewpoint), SETTINGS)
    occupied, _ = body.on_grid(49)
    axis = torch.linspace(-1, 1, 49)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    solid = torch.stack([x, y, z], -1)[occupied > 0.5]
    column, row = places(body.camera, solid).round().long().unbind(-1)
    assert len(solid) > 1000 and ndimage.binary_dilation(inside)[row, column].all()  # to a pixel: masks are blended


@THINGS
def test_the_body_is_closed(inside):
    occupied, _ = Body(image_of(inside), SETTINGS).on_grid(49)
    assert measure(isosurface(occupied.numpy(), 0.5, 1.0)).watertight


def test_a_ball_is_as_deep_as_it_is_wide_and_a_flat_thing_is_not():
    x, y, z = extents(Body(image_of(ball()), SETTINGS).on_grid(65)[0])
    assert x == pytest.approx(y, abs=2) and z == pytest.approx(y, abs=2)
    x, y, _ = extents(Body(image_of(ball()), with_settings(roundness=0.3)).on_grid(65)[0])
    assert x / y == pytest.approx(0.3, abs=0.08)


def test_limbs_are_as_thick_as_they_are_wide_and_there_is_no_disc_between_raised_arms():
    outline = outline_of(figure(), SETTINGS.body)
    x, y = grid()
    arm, trunk = (abs(abs(x) - 0.42) < 0.03) & (y > 0.3) & (y < 0.6), (abs(x) < 0.1) & (y < -0.2) & (y > -0.6)
    assert outline.half_depth[arm].max() < 4 and outline.half_depth[trunk].min() > 5.5
    shoulders = (abs(x) < 0.1) & (abs(y - 0.12) < 0.05)  # three times as wide as the trunk, of which they are a part
    assert outline.half_depth[shoulders].max() < 1.6 * outline.half_depth[trunk].max()


def test_the_hole_of_a_handle_stays_open():
    inside = mug()
    x, y = grid()
    hole = (np.hypot(x - 0.34, y) < 0.12) & (x > 0.36)
    field = body_field(Body(image_of(inside), SETTINGS), (65,), Seeds(0))
    opacity = render_images(field, unknown_camera(SETTINGS).cameras(SIZE), 96, None)[1][0].numpy()
    assert hole.sum() > 10 and opacity[hole].max() < 0.3


def test_a_thing_on_two_feet_stands_on_one_base_and_a_vase_keeps_its_taper():
    x, y = grid()
    sitting = (abs(x) < 0.6) & (abs(y) < 0.6) & ~((abs(x) < 0.1) & (y < -0.35))
    together, apart = (outline_of(sitting, replace(SETTINGS.body, base=base)).half_depth for base in (0.4, 0.0))
    bottom = np.flatnonzero(sitting.any(1))[-1]
    assert apart[bottom].max() < 0.75 * together[bottom].max()
    vase = (abs(x) < 0.5 + 0.2 * y) & (abs(y) < 0.7)
    tapered, plain = (outline_of(vase, replace(SETTINGS.body, base=base)).half_depth for base in (0.4, 0.0))
    assert np.allclose(tapered, plain)


def test_outlines_of_other_views_trim_the_body_but_for_a_core():
    image = image_of(ball())
    side = orbit_cameras(ring(1, elevation_deg=0.0, start_deg=90.0), 32, 32)
    nothing = OtherOutlines(torch.zeros(1, 32, 32), side)
    whole, trimmed = (Body(image, SETTINGS, others).on_grid(49)[0] for others in (None, nothing))
    assert extents(trimmed)[0] / extents(whole)[0] == pytest.approx(SETTINGS.body.core, abs=0.08)
    everything = OtherOutlines(torch.ones(1, 32, 32), side)
    assert torch.allclose(Body(image, SETTINGS, everything).on_grid(49)[0], whole)


def test_a_thing_that_reaches_out_of_the_field_is_refused():
    near = Viewpoint(0.0, 0.0, 40.0, 6.0)
    with pytest.raises(Prior3dError, match="reaches 1.47 world units.*wider margin"):
        Body(image_of(ball(), viewpoint=near), SETTINGS)


def test_a_body_is_written_into_grids_that_hold_colours_only():
    field = ObjectField(FieldConfig(encoding=TiledGrid(log2_entries=6), head="rgb", channels=3))
    with pytest.raises(Prior3dError, match="encoding=dense"):
        write_body(field, Body(image_of(ball()), SETTINGS))


def test_a_body_looks_the_same_in_a_field_with_a_blob():
    body = Body(image_of(ball()), SETTINGS)
    plain = body_field(body, (17, 33), Seeds(0))
    blob = ObjectField(replace(plain.config, blob_density=5.0, blob_radius=0.4))
    write_body(blob, body)
    points = torch.rand((500, 3), generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    assert torch.allclose(plain.density(points).log(), blob.density(points).log(), atol=0.1)
    assert torch.allclose(plain(points)[1], blob(points)[1])


class Watched:
    """A monitor that asks to stop after some steps."""

    def __init__(self, stop_after=10**6):
        self.stop_after, self.steps = stop_after, 0

    @property
    def stopping(self):
        return self.steps >= self.stop_after

    def checkpoint_due(self):
        return False

    def progress(self, step, total, *, loss=None):
        self.steps = step


def two_halves():
    x, _ = grid()
    return image_of(ball(), (x < 0, RED), (x >= 0, BLUE))


def test_the_image_counts_more_than_a_render_and_comes_first():
    image = two_halves()
    views = complete(image, SETTINGS, Seeds(0)).views
    assert views.weights.amax((1, 2)).tolist() == [6.0] + [1.0] * 16 and views.masks is not None
    assert torch.allclose(views.colours[0], image.premultiplied(32)[0].movedim(-1, 0))
    assert (views.colours <= views.masks[:, None] + 1e-5).all()


def test_the_fit_brings_the_image_back(tmp_path):
    image = two_halves()
    completion = complete(image, SETTINGS, Seeds(0))
    fit = completion_fit(completion, SETTINGS, Seeds(0))
    assert fit.run(20, tmp_path / "checkpoint.safetensors", Watched())
    shown = fit.images(image.viewpoint.cameras(32), 1.0)[0][0]
    assert (shown - image.over(1.0, 32)).abs().mean() < 0.04


def test_a_fit_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    def fit():
        seeds = Seeds(0)
        return completion_fit(complete(two_halves(), SETTINGS, seeds), SETTINGS, seeds)

    whole, first, second = fit(), fit(), fit()
    assert whole.run(4, tmp_path / "whole.safetensors", Watched())
    assert not first.run(4, tmp_path / "broken.safetensors", Watched(stop_after=2))
    assert second.run(4, tmp_path / "broken.safetensors", Watched())
    pairs = zip(whole.field.state_dict().values(), second.field.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
