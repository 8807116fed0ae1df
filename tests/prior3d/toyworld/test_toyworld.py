import dataclasses

import numpy as np
import pytest
import torch

from prior3d.cameras import orbit_cameras, spread_directions
from prior3d.toyworld import renders
from prior3d.toyworld.captions import full_caption, sample_views
from prior3d.toyworld.objects import RADIUS, build_object, find_category, sample_object
from prior3d.toyworld.palette import BACKGROUNDS, COLOURS, Pattern
from prior3d.toyworld.renders import CAMERA_RADIUS, render_toy, toy_orbit
from prior3d.toyworld.shapes import CATEGORIES
from prior3d.toyworld.solids import box, dome, frustum, lathe, pipe, sphere, torus

open3d = pytest.importorskip("open3d")


def signed_volume(solid) -> float:
    a, b, c = (solid.vertices[solid.faces[:, i]] for i in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def cameras(azimuth_deg, elevation_deg, size=48):
    return orbit_cameras(toy_orbit(np.array(azimuth_deg), np.array(elevation_deg)), size, size)


@pytest.mark.parametrize(
    ("solid", "volume", "tolerance"),
    [
        (box(2, 3, 4), 24.0, 1e-9),
        (sphere(1.0, 64), 4 / 3 * np.pi, 0.02),
        (frustum(1, 1, 2, 96), 2 * np.pi, 0.01),
        (frustum(1, 0, 3, 96), np.pi, 0.01),
        (torus(1.0, 0.25, 64), 2 * np.pi**2 * 0.25**2, 0.05),
        (dome(1.0, 1.0), 2 / 3 * np.pi, 0.05),
        (pipe(np.array([[0.0, 0, 0], [0, 0.5, 0.02], [0, 1, 0]]), 0.1), np.pi * 0.01, 0.07),
    ],
)
def test_solids_are_closed_outward_and_have_their_volume(solid, volume, tolerance):
    assert signed_volume(solid) == pytest.approx(volume, rel=tolerance)
    corners = solid.vertices[solid.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    wide = np.linalg.norm(flat, axis=1) > 1e-9
    assert ((flat * solid.normals.mean(axis=1)).sum(-1)[wide] > 0).all(), "a corner normal points inward"


def test_lathe_puts_sharp_edges_between_profile_segments():
    can = lathe([(0, 0), (1, 0), (1, 1), (0, 1)])
    side = np.abs(can.normals[:, :, 2]).max(axis=1) < 1e-9
    assert side.sum() == 2 * 28 and np.allclose(np.abs(can.normals[~side][:, :, 2]), 1)


def test_there_are_enough_categories_and_colours():
    assert len(CATEGORIES) >= 24 and len(COLOURS) >= 12
    assert len({kind.noun for kind in CATEGORIES}) == len(CATEGORIES)


@pytest.mark.parametrize("kind", CATEGORIES, ids=lambda kind: kind.noun)
def test_every_category_fits_its_sphere_and_shows_its_colours(kind):
    toy = sample_object(11, 3, category=kind.noun)
    assert np.linalg.norm(toy.vertices, axis=1).max() <= RADIUS + 1e-6
    assert kind.noun in toy.caption
    views = render_toy(toy, cameras([30.0, 200.0], [20.0, 20.0]))
    assert 0.04 < views.mask.mean() < 0.75
    inside = views.mask > 0.99
    assert (np.abs(views.depth[inside] - CAMERA_RADIUS) < RADIUS).all()
    assert np.allclose(np.linalg.norm(views.normal[inside], axis=-1), 1, atol=1e-3)


def test_captions_say_what_is_there():
    rng = np.random.default_rng(0)
    mushroom = find_category("mushroom")
    toy = build_object(mushroom, rng, "red", "dots", None, "white")
    assert toy.caption == "a red mushroom with white dots"
    seen = render_toy(toy, cameras([0.0], [60.0]))
    unlit = seen.rgb[0][seen.mask[0] > 0.99]
    reddish = unlit[:, 0] > 2 * unlit[:, 1]
    whitish = unlit.min(axis=1) > 0.5
    assert reddish.mean() > 0.4 and whitish.mean() > 0.05
    snowman = build_object(find_category("snowman"), rng, "white", None, "hat", "black")
    assert snowman.caption == "a snowman with a black hat"
    table = build_object(find_category("table"), rng, "green", None, "legs", "yellow")
    assert table.caption == "a green table with yellow legs"
    assert build_object(find_category("ice cream"), rng, "orange", None, None, "red").caption == "an orange ice cream"
    assert full_caption("a blue mug", "side view", "white") == "a blue mug, side view, white background"
    assert full_caption("a blue mug", None, None) == "a blue mug"


def test_objects_are_deterministic_and_the_splits_differ():
    first, again, other = sample_object(0, 5), sample_object(0, 5), sample_object(0, 5, "held-out")
    assert first.caption == again.caption and np.array_equal(first.vertices, again.vertices)
    assert first.caption != other.caption or not np.array_equal(first.vertices, other.vertices)
    image = render_toy(first, cameras([10.0], [10.0])).rgb
    assert np.array_equal(image, render_toy(again, cameras([10.0], [10.0])).rgb)


def test_the_front_of_a_duck_has_the_beak_and_looks_along_x():
    duck = build_object(find_category("duck"), np.random.default_rng(1), "yellow", None, "beak", "red")
    front, back = render_toy(duck, cameras([0.0, 180.0], [10.0, 10.0])).rgb
    red = [(view[..., 0] > 0.3) & (view[..., 0] > 3 * view[..., 1]) for view in (front, back)]
    assert red[0].sum() > 10 > red[1].sum()


def test_depth_and_normal_of_a_ball_are_exact():
    ball = build_object(find_category("ball"), np.random.default_rng(0), "red", None, None, "blue")
    view = render_toy(ball, cameras([70.0], [0.0], size=65), supersampling=1)
    assert view.depth[0, 32, 32] == pytest.approx(CAMERA_RADIUS - RADIUS, abs=0.01)
    toward = np.array([np.cos(np.deg2rad(70)), np.sin(np.deg2rad(70)), 0])
    assert np.allclose(view.normal[0, 32, 32], toward, atol=0.06)
    silhouette = (np.tan(np.arcsin(RADIUS / CAMERA_RADIUS)) / np.tan(np.deg2rad(20))) ** 2 * np.pi / 4
    assert view.mask.mean() == pytest.approx(silhouette, rel=0.02)


def test_compositing_keeps_the_object_and_fills_the_rest():
    toy = sample_object(0, 1)
    views = render_toy(toy, cameras([0.0], [0.0]))
    over = views.over(BACKGROUNDS["white"])
    assert np.allclose(over[views.mask == 0], 1) and np.allclose(over[views.mask == 1], views.rgb[views.mask == 1])


def test_patterns():
    stripes = Pattern("stripes", "blue", (0, 0, 0), 0.5)
    heights = np.array([[0, 0, 0.1], [0, 0, 0.4], [0, 0, 0.9], [0, 0, -0.4]])
    assert stripes.covers(heights).tolist() == [False, True, False, True]
    dots = Pattern("dots", "blue", (0, 0, 0), 1.0, n_dots=18, dot_angle_deg=14)
    assert dots.covers(3 * spread_directions(18)).all()
    sky = torch.nn.functional.normalize(torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    share = dots.covers(sky.double().numpy()).mean()
    assert share == pytest.approx(18 * (1 - np.cos(np.deg2rad(14))) / 2, rel=0.1)


def test_sampled_views_cover_the_sphere():
    azimuth_deg, elevation_deg = sample_views(np.random.default_rng(0), 6000)
    assert elevation_deg.min() >= -10 and elevation_deg.max() <= 85
    assert (elevation_deg > 60).mean() == pytest.approx(1 / 12, abs=0.02)
    assert np.histogram(azimuth_deg, bins=6, range=(0, 360))[0].min() > 850


def test_an_unknown_category_is_named():
    with pytest.raises(ValueError, match=r"unknown category 'dragon': one of mushroom, mug"):
        sample_object(0, 0, category="dragon")


@pytest.mark.parametrize("noun", ["mushroom", "rocket", "tree"])
def test_rays_past_the_object_are_left_out_without_changing_a_pixel(noun, monkeypatch):
    toy, seen_from = sample_object(3, 1, category=noun), cameras([20.0, 140.0, 250.0], [-8.0, 25.0, 84.0])
    few = render_toy(toy, seen_from)
    monkeypatch.setattr(renders, "_candidates", lambda toy, cameras: np.arange(cameras.views * cameras.height**2))
    every = render_toy(toy, seen_from)
    for name in ("rgb", "mask", "depth", "normal"):
        assert np.array_equal(getattr(few, name), getattr(every, name)), name


def test_supersampling_averages_the_finer_picture():
    toy = sample_object(3, 1, category="mushroom")
    fine, coarse = render_toy(toy, cameras([20.0], [25.0], 96), 1), render_toy(toy, cameras([20.0], [25.0], 48), 2)
    assert np.allclose(coarse.mask[0], fine.mask[0].reshape(48, 2, 48, 2).mean(axis=(1, 3)), atol=1e-6)
    assert np.allclose(coarse.rgb[0], fine.rgb[0].reshape(48, 2, 48, 2, 3).mean(axis=(1, 3)), atol=1e-5)


def test_cameras_of_a_render_are_square_and_alike():
    toy, seen_from = sample_object(3, 1), cameras([20.0, 40.0], [25.0, 25.0])
    with pytest.raises(ValueError, match="square images and one field of view"):
        render_toy(toy, seen_from.resized(48, 50))
    with pytest.raises(ValueError, match="square images and one field of view"):
        render_toy(toy, dataclasses.replace(seen_from, fov_deg=torch.tensor([40.0, 30.0])))
