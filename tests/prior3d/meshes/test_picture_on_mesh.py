"""The image kept by the mesh: a threshold that varies in space until outlines fit, and its pixels on the texture."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prior3d.cameras import Cameras, orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.meshes.extraction import isosurface
from prior3d.meshes.mesh import HERE, UvMesh
from prior3d.meshes.missing_parts import fill_missing_parts
from prior3d.meshes.painting import Surface
from prior3d.meshes.raster import render_mesh
from prior3d.meshes.silhouette_fit import SilhouetteTarget, fit_silhouettes
from prior3d.meshes.texture_fit import fit_texture_to_pixels, fit_texture_to_views, silhouette_texels
from prior3d.meshes.threshold import Silhouettes, march_silhouettes
from prior3d.reconstruction.input_views import InputViews

THRESHOLD = 10.0
TWO_SQUARES = UvMesh(  # one seen from +x, one behind it; the left half of the texture is on the first
    np.array([[0.3, -0.8, -0.8], [0.3, 0.8, -0.8], [0.3, 0.8, 0.8], [0.3, -0.8, 0.8],
              [-0.3, -0.8, -0.8], [-0.3, 0.8, -0.8], [-0.3, 0.8, 0.8], [-0.3, -0.8, 0.8]]),
    np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]),
    np.array([[0, 0], [0.5, 0], [0.5, 1], [0, 1], [0.5, 0], [1, 0], [1, 1], [0.5, 1.0]]),
    np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]),
    HERE,
)  # fmt: skip


class Matter:
    """A field for `march_silhouettes`: a dense ball with an ear of fog too thin for its threshold."""

    class config:  # noqa: N801
        bound = 1.0
        ball_radius = 1.8
        near_plane = 0.0

    @staticmethod
    def density(points: torch.Tensor) -> torch.Tensor:
        ball = 80 * torch.sigmoid((0.5 - points.norm(dim=-1)) * 30)
        ear = 6 * torch.sigmoid((0.22 - (points - torch.tensor([0.0, 0, 0.6])).norm(dim=-1)) * 30)
        return torch.maximum(ball, ear)

    def __call__(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.density(points), torch.zeros(len(points), 3)

    @staticmethod
    def parameters():
        return iter(())


def density_grid(resolution: int = 64) -> torch.Tensor:
    axis = torch.linspace(-1, 1, resolution)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    return Matter.density(torch.stack([x, y, z], -1).view(-1, 3)).view_as(x)


def target_of(grid: torch.Tensor) -> SilhouetteTarget:
    cameras = orbit_cameras(ring(4, 10.0, fov_deg=45.0), 48, 48)
    return SilhouetteTarget(cameras, march_silhouettes(Matter(), grid, cameras))  # type: ignore[arg-type]


def overlap(grid: torch.Tensor, target: SilhouetteTarget) -> float:
    mesh = isosurface(grid.numpy(), THRESHOLD, 1.0)
    drawn = render_mesh(mesh, target.cameras, supersampling=1).mask.reshape(-1) > 0.5
    wanted = target.seen.opaque.numpy()
    return float((drawn & wanted).sum() / (drawn | wanted).sum())


def test_a_part_too_thin_for_the_threshold_comes_back_and_the_rest_stays():
    grid = density_grid()
    target = target_of(grid)
    fitted = fit_silhouettes(grid, 1.0, THRESHOLD, [target])
    assert overlap(grid, target) < 0.75
    assert overlap(fitted, target) > 0.94
    middle_of_the_ear = fitted[round(0.65 * 31.5 + 31.5), 31, 31]
    assert grid[round(0.65 * 31.5 + 31.5), 31, 31] < THRESHOLD < middle_of_the_ear
    assert fitted[31, 31, 31] > THRESHOLD > fitted[2].max()


def test_a_picture_that_does_not_show_a_part_takes_it_away():
    grid = density_grid()
    target = target_of(grid)
    rows = torch.arange(48)[None, :, None].expand(4, 48, 48).reshape(-1)
    smaller = replace(target.seen, opacity=torch.where(rows > 18, target.seen.opacity, torch.tensor(0.0)))
    wanted = replace(target, seen=smaller)
    fitted = fit_silhouettes(grid, 1.0, THRESHOLD, [wanted])
    assert overlap(fitted, wanted) > overlap(grid, wanted) + 0.03
    heavy = fit_silhouettes(grid, 1.0, THRESHOLD, [target, replace(wanted, weight=20.0)])
    light = fit_silhouettes(grid, 1.0, THRESHOLD, [target, replace(wanted, weight=0.05)])
    assert overlap(heavy, wanted) > overlap(light, wanted)


@pytest.mark.parametrize("broken", (float("nan"), float("inf")))
def test_outlines_that_are_not_finite_stop_at_the_first_look_and_name_the_knob(broken, monkeypatch):
    grid = density_grid(24)
    target = target_of(grid)
    steps, step = [], torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: steps.append(step(self)))
    with pytest.raises(Prior3dError, match=r"loss between the density and .* set mesh_extraction.outline_steps to 0"):
        fit_silhouettes(grid, 1.0, THRESHOLD, [replace(target, weight=broken)])
    assert len(steps) < 10


def test_without_steps_or_outlines_the_grid_is_as_it_was():
    grid = density_grid(24)
    target = target_of(grid)
    assert fit_silhouettes(grid, 1.0, THRESHOLD, [target], n_steps=0) is grid
    empty = torch.zeros_like(grid)
    nothing = Silhouettes(*(torch.zeros_like(v) for v in (target.seen.opacity, target.seen.depth, target.seen.along)),
                       target.seen.distances)  # fmt: skip
    assert fit_silhouettes(empty, 1.0, THRESHOLD, [replace(target, seen=nothing)]) is empty


def picture_of(grid: torch.Tensor, azimuth_deg: float = 0.0):
    camera = orbit_cameras(ring(1, 0.0, start_deg=azimuth_deg), 64, 64)
    return camera, torch.from_numpy(render_mesh(isosurface(grid.numpy(), THRESHOLD, 1.0), camera).mask[0])


def test_a_part_that_only_the_picture_shows_is_raised_at_the_middle_of_the_object():
    axis = torch.linspace(-1, 1, 64)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    body = torch.where(((x - 0.2) ** 2 + y**2 + (z + 0.2) ** 2).sqrt() < 0.45, 30.0, 0.0)
    ear = torch.where(((x - 0.2) ** 2 + y**2 + (z - 0.3) ** 2).sqrt() < 0.14, 30.0, 0.0)
    camera, mask = picture_of(torch.maximum(body, ear))
    raised = fill_missing_parts(body, 1.0, THRESHOLD, camera, mask)
    new = (raised >= THRESHOLD) & (body < THRESHOLD)
    places = torch.stack([x[new], y[new], z[new]], -1)
    assert (places - torch.tensor([0.2, 0.0, 0.3])).norm(dim=-1).max() < 0.3
    assert abs(places[:, 0].mean() - 0.2) < 0.06 and places[:, 2].max() == pytest.approx(0.44, abs=0.05)
    outside = ((ear > 0) & (body == 0)).sum()
    assert 0.4 * outside < new.sum() < 2 * outside
    assert torch.equal(raised[~new], torch.maximum(raised, body)[~new]) and (raised >= body).all()
    shown = picture_of(raised)[1] > 0.5
    assert (shown & (mask > 0.5)).sum() / (shown | (mask > 0.5)).sum() > 0.95


def test_nothing_is_raised_where_outlines_differ_by_a_pixel_or_where_there_is_no_object():
    axis = torch.linspace(-1, 1, 64)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    radius = (x**2 + y**2 + z**2).sqrt()
    camera, mask = picture_of(torch.where(radius < 0.53, 30.0, 0.0))
    body = torch.where(radius < 0.5, 30.0, 0.0)
    assert fill_missing_parts(body, 1.0, THRESHOLD, camera, mask) is body
    empty = torch.zeros_like(body)
    assert fill_missing_parts(empty, 1.0, THRESHOLD, camera, mask) is empty


def striped_picture(size: int) -> torch.Tensor:
    across = (torch.arange(size) // 4 % 2).float()
    return torch.stack([across, 1 - across, torch.full_like(across, 0.3)], -1)[None].expand(size, size, 3)


def test_the_mesh_shows_the_picture_and_what_it_does_not_show_stays():
    surface, cameras = Surface(TWO_SQUARES, "cpu"), orbit_cameras(ring(1, 0.0), 48, 48)
    texture, picture = torch.full((128, 128, 3), 0.5), striped_picture(48)
    fitted = fit_texture_to_pixels(surface, texture, cameras, picture, torch.ones(48, 48), n_steps=60)
    seen = surface.texel_weights(cameras, 128, 2)
    covered = seen.coverage[0] > 0.999
    assert covered.sum() > 400
    assert (seen.render(fitted)[0] - picture)[covered].abs().mean() < 0.03
    assert (seen.render(texture)[0] - picture)[covered].abs().mean() > 0.3
    assert torch.equal(fitted[:, 66:], texture[:, 66:])  # the square behind


@pytest.mark.parametrize("mask", [0.0, 0.8])
def test_pixels_that_hold_background_lend_no_colour(mask):
    surface, cameras = Surface(TWO_SQUARES, "cpu"), orbit_cameras(ring(1, 0.0), 48, 48)
    texture = torch.full((64, 64, 3), 0.5)
    found = fit_texture_to_pixels(surface, texture, cameras, striped_picture(48) * mask, torch.full((48, 48), mask))
    assert torch.equal(found, texture)


def test_a_premultiplied_colour_is_undone():
    surface, cameras = Surface(TWO_SQUARES, "cpu"), orbit_cameras(ring(1, 0.0), 48, 48)
    picture, mask = torch.full((48, 48, 3), 0.95 * 0.8), torch.full((48, 48), 0.95)
    fitted = fit_texture_to_pixels(surface, torch.full((64, 64, 3), 0.5), cameras, picture, mask, n_steps=60)
    assert (fitted[24:40, 12:20] - 0.8).abs().max() < 0.02


def test_texels_at_the_rim_are_those_that_the_fit_leaves_alone():
    surface, cameras = Surface(TWO_SQUARES, "cpu"), orbit_cameras(ring(1, 0.0), 48, 48)
    mask = torch.ones(48, 48)
    mask[:, 24:] = 0.5  # the right half of the image holds background
    texture = torch.full((64, 64, 3), 0.5)
    rim = silhouette_texels(surface, 64, cameras, mask)
    fitted = fit_texture_to_pixels(surface, texture, cameras, striped_picture(48), mask)
    changed = (fitted != texture).any(-1)
    assert rim.sum() > 300 and changed.sum() > 300
    assert not (rim & changed).any()
    assert not rim[:, 34:].any()  # the square behind
    assert (rim | changed)[4:60, 2:30].all()


def test_several_views_share_the_texture_by_their_weights():
    surface, cameras = Surface(TWO_SQUARES, "cpu"), orbit_cameras(ring(1, 0.0), 48, 48)
    both = Cameras(cameras.c2w.repeat(2, 1, 1), cameras.fov_deg.repeat(2), 48, 48)
    texture, ones = torch.full((64, 64, 3), 0.5), torch.ones(2, 48, 48)
    colours = torch.stack([torch.full((3, 48, 48), 0.2), torch.full((3, 48, 48), 0.8)])
    for weights, expected in ((torch.tensor([1.0, 1.0]), 0.5), (torch.tensor([3.0, 1.0]), 0.35)):
        views = InputViews(colours, ones, weights[:, None, None] * ones, both)
        fitted = fit_texture_to_views(surface, texture, views, 60)
        assert (fitted[24:40, 12:20] - expected).abs().max() < 0.02
        assert torch.equal(fitted[:, 36:], texture[:, 36:])  # the square behind
    whole = InputViews(colours, None, ones, both)
    assert torch.equal(fit_texture_to_views(surface, texture, whole, 60), texture)


def test_views_leave_no_gaps_between_the_texels_that_their_samples_meet():
    surface, cameras = Surface(TWO_SQUARES, "cpu"), orbit_cameras(ring(1, 0.0), 48, 48)
    views = InputViews(torch.full((1, 3, 48, 48), 0.9), torch.ones(1, 48, 48), torch.ones(1, 48, 48), cameras)
    fitted = fit_texture_to_views(surface, torch.full((256, 256, 3), 0.1), views, 10, damping=1.0)
    inner = fitted[96:160, 48:80, 0]  # of the square in front; a pixel is several texels wide
    assert inner.min() > 0.25 and inner.std() < 0.12 * (inner.mean() - 0.1)
    assert torch.equal(fitted[:, 132:], torch.full_like(fitted[:, 132:], 0.1))


def test_pixels_at_the_outline_of_a_view_lend_no_colour():
    surface, cameras = Surface(TWO_SQUARES, "cpu"), orbit_cameras(ring(1, 0.0), 48, 48)
    masks = torch.ones(1, 48, 48)
    masks[:, :, 24:] = 0
    colours = torch.full((1, 3, 48, 48), 0.9)
    colours[..., 23:] = 0.0  # black pixels at the outline: the background behind it
    views = InputViews(colours * masks[:, None], masks, torch.ones_like(masks), cameras)
    fitted = fit_texture_to_views(surface, torch.full((64, 64, 3), 0.5), views, 60)
    assert fitted.max() > 0.85 and fitted.min() >= 0.5 - 1e-6
