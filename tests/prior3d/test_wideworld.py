"""The wider world: every kind builds and is seen, captions say what is there, draws repeat, the toy world stays."""

import hashlib

import numpy as np
import pytest

from prior3d.cameras import orbit_cameras
from prior3d.realobjects.renders import Light
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.palette import COLOURS
from prior3d.toyworld.renders import toy_orbit
from prior3d.wideworld.kinds import NEW_KINDS, WIDE_KINDS
from prior3d.wideworld.materials import SHADES, Material, any_colours, value_noise, varied
from prior3d.wideworld.nameless import nameless
from prior3d.wideworld.world import named_object, render_wide, sample_wide

pytest.importorskip("numba")
LIGHT = Light((0.4, 0.4, 0.8246), 0.4, 0.4, 0.2)
FIRST_TOYS = "1def15cf18f8964a"  # of a digest of what the toy world drew before there was a wider one


def cameras(size=32):
    return orbit_cameras(toy_orbit(np.array([30.0, 200.0]), np.array([15.0, 50.0])), size, size)


@pytest.mark.parametrize("kind", NEW_KINDS, ids=lambda kind: kind.noun)
def test_each_kind_is_whole_and_in_the_sphere(kind):
    for seed in range(3):
        toy = named_object(kind, np.random.default_rng(seed), extras_share=1.0)
        corners = np.concatenate([part.solid.vertices for part in toy.parts])
        assert np.isfinite(corners).all() and 0.90 < np.linalg.norm(corners, axis=1).max() < 0.951
        assert all(np.isfinite(part.solid.normals).all() for part in toy.parts)
        assert kind.noun in toy.caption and len(toy.parts) > 1
    assert render_wide(toy, cameras(), LIGHT)[..., 3].mean() > 0.02


def test_there_are_enough_kinds_and_no_name_twice():
    nouns = [kind.noun for kind in WIDE_KINDS]
    assert len(nouns) == len(set(nouns)) >= 60


def test_draws_repeat_and_the_splits_differ():
    for index in range(12):
        one, again, other = (sample_wide(1, index, split) for split in ("train", "train", "held-out"))
        assert one.caption == again.caption
        first, second, third = (np.concatenate([p.solid.vertices for p in toy.parts]) for toy in (one, again, other))
        assert np.array_equal(first, second) and not np.array_equal(first, third)
    silent = [not sample_wide(0, index, nameless_share=0.4).caption for index in range(200)]
    assert 0.3 < np.mean(silent) < 0.5


def test_shapes_without_names_are_finite_and_all_different():
    sizes = set()
    for seed in range(40):
        solids = nameless(np.random.default_rng(seed))
        corners = np.concatenate([solid.vertices for solid in solids])
        assert np.isfinite(corners).all() and np.ptp(corners, axis=0).min() > 0.02
        sizes.add(len(corners) + float(np.ptp(corners)))
    assert len(sizes) == 40


@pytest.mark.parametrize("kind", SHADES)
def test_a_material_stays_between_its_colours(kind):
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    colours = Material(kind, (0.8, 0.1, 0.2), (0.2, 0.5, 0.2), (0.0, 0.6, 0.8), 3.0, 5).colours_at(points)
    assert (colours >= [0.199, 0.099, 0.199]).all() and (colours <= [0.801, 0.501, 0.201]).all()
    assert (len(np.unique(colours, axis=0)) == 1) == (kind == "flat")


def test_noise_is_smooth_and_repeats():
    points = np.random.default_rng(0).uniform(-3, 3, (400, 3))
    noise = value_noise(points, 3)
    assert np.array_equal(noise, value_noise(points, 3)) and not np.array_equal(noise, value_noise(points, 4))
    assert noise.std() > 0.1 and np.abs(value_noise(points + 1e-4, 3) - noise).max() < 1e-3


def test_a_named_colour_stays_that_colour():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        for colour in COLOURS.values():
            other = np.array(varied(rng, colour, 0.0).other)
            assert np.abs(other - colour).max() < 0.42 and other.min() >= 0 and other.max() <= 1
    assert len({any_colours(np.random.default_rng(seed)).kind for seed in range(60)}) == len(SHADES)


def test_the_toy_world_draws_what_it_drew():
    drawn = hashlib.sha256()
    for index in range(20):
        toy = sample_object(0, index)
        drawn.update(toy.caption.encode() + np.round(toy.vertices, 6).tobytes())
    assert drawn.hexdigest().startswith(FIRST_TOYS)
