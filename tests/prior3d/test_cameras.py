import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prior3d.cameras import (
    Cameras,
    Orbit,
    OrbitRange,
    from_nerfstudio,
    opencv_to_opengl,
    opengl_to_opencv,
    orbit_cameras,
    ring,
    sample_orbit,
    spiral_orbit,
    spread_directions,
    to_nerfstudio,
    view_words,
)
from prior3d.errors import Prior3dError

angles = st.floats(-720, 720)
elevations = st.floats(-90, 90)


def orbit(azimuth_deg: float, elevation_deg: float, radius: float = 3.2, fov_deg: float = 40.0) -> Orbit:
    return Orbit(*(torch.tensor([float(value)]) for value in (azimuth_deg, elevation_deg, radius, fov_deg)))


def test_azimuth_zero_stands_on_x_with_y_to_its_right():
    c2w = orbit_cameras(orbit(0, 0, 2), 8, 8).c2w[0]
    expected = torch.tensor([[0.0, 0, 1, 2], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    torch.testing.assert_close(c2w, expected)


def test_azimuth_goes_counter_clockwise_seen_from_above():
    torch.testing.assert_close(
        orbit_cameras(orbit(90, 0, 2), 8, 8).positions[0], torch.tensor([0.0, 2, 0]), atol=1e-6, rtol=0
    )


@given(angles, elevations, st.floats(0.5, 10))
def test_an_orbit_camera_is_upright_right_handed_and_looks_at_the_origin(azimuth_deg, elevation_deg, radius):
    c2w = orbit_cameras(orbit(azimuth_deg, elevation_deg, radius), 4, 4).c2w[0]
    rotation = c2w[:3, :3]
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.linalg.det(rotation) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(c2w[:3, 3] - radius * c2w[:3, 2], torch.zeros(3), atol=1e-5, rtol=0)
    assert c2w[2, 0] == 0  # the right axis is level
    assert c2w[2, 1] >= -1e-6  # the up axis points up


def test_focal_of_a_90_degree_camera_is_half_its_height():
    assert orbit_cameras(orbit(0, 0, 2, 90), 64, 32).focal_pixels.item() == pytest.approx(32)


@settings(max_examples=50)
@given(angles, elevations)
def test_converters_are_bijections(azimuth_deg, elevation_deg):
    cameras = orbit_cameras(orbit(azimuth_deg, elevation_deg), 48, 64)
    torch.testing.assert_close(opencv_to_opengl(opengl_to_opencv(cameras.c2w)), cameras.c2w)
    back = from_nerfstudio(to_nerfstudio(cameras, ["images/0.png"]))
    torch.testing.assert_close(back.c2w, cameras.c2w)
    torch.testing.assert_close(back.fov_deg, cameras.fov_deg, atol=1e-4, rtol=0)
    assert (back.height, back.width) == (48, 64)


def test_opencv_by_hand():
    # A camera on +x looking at the origin: OpenCV's y points down (world -z), its z forward (world -x).
    cameras = orbit_cameras(orbit(0, 0, 2), 8, 8)
    opencv = opengl_to_opencv(cameras.c2w)[0, :3, :3]
    torch.testing.assert_close(opencv[:, 1], torch.tensor([0.0, 0, -1]))
    torch.testing.assert_close(opencv[:, 2], torch.tensor([-1.0, 0, 0]))
    origin = torch.linalg.inv(opengl_to_opencv(cameras.c2w))[0, :3, 3]
    torch.testing.assert_close(origin, torch.tensor([0.0, 0, 2]))  # 2 in front of the camera


def test_nerfstudio_reads_camera_angle_x():
    transforms = {
        "h": 64,
        "w": 64,
        "camera_angle_x": math.pi / 2,
        "frames": [{"transform_matrix": torch.eye(4).tolist()}],
    }
    assert from_nerfstudio(transforms).fov_deg.item() == pytest.approx(90)


def test_nerfstudio_without_a_focal_length_says_what_is_missing():
    with pytest.raises(Prior3dError, match=r"fl_y or camera_angle_x"):
        from_nerfstudio({"h": 8, "w": 8, "frames": [{"transform_matrix": torch.eye(4).tolist()}]})


def test_cameras_of_the_wrong_shape_are_refused(without_checks):
    with pytest.raises(Prior3dError, match=r"found c2w \(3, 4\)"):
        Cameras(torch.eye(4)[:3], torch.tensor([40.0]), 8, 8)


@pytest.mark.parametrize(
    ("azimuth_deg", "elevation_deg", "word"),
    [
        (0, 0, "front view"),
        (44, 0, "front view"),
        (-44, 30, "front view"),
        (316.5, 0, "front view"),
        (46, 0, "side view"),
        (270, 0, "side view"),
        (136, 0, "back view"),
        (180, 59, "back view"),
        (180, 61, "overhead view"),
    ],
)
def test_view_words(azimuth_deg, elevation_deg, word):
    assert view_words(orbit(azimuth_deg, elevation_deg)) == [word]


def test_the_papers_front_sector_is_narrower():
    assert view_words(orbit(40, 0), front_deg=70) == ["side view"]


def test_spread_views_are_evenly_apart_and_in_range():
    ranges = OrbitRange(elevation_deg=(-10, 60), radius=(1.0, 1.5), fov_deg=(40, 70))
    drawn = sample_orbit(ranges, 4, torch.Generator().manual_seed(0))
    apart = drawn.azimuth_deg.sort().values.diff()
    torch.testing.assert_close(apart, torch.full((3,), 90.0), atol=1e-3, rtol=0)
    assert ((drawn.elevation_deg >= -10) & (drawn.elevation_deg <= 60)).all()
    assert ((drawn.radius >= 1.0) & (drawn.radius <= 1.5)).all()


def test_independent_views_differ_from_spread_ones():
    drawn = sample_orbit(OrbitRange(), 4, torch.Generator().manual_seed(0), spread=False)
    assert (drawn.azimuth_deg.sort().values.diff() - 90).abs().max() > 1


def test_a_ring_starts_where_it_is_told():
    assert ring(4, start_deg=10).azimuth_deg.tolist() == [10, 100, 190, 280]


def test_a_spiral_rises_evenly_and_turns_by_the_golden_ratio():
    views = spiral_orbit(4, (0.0, 180.0), (-10.0, 30.0), radius=2.0, fov_deg=50.0)
    golden = [0.0, 0.618034, 0.236068, 0.854102]  # fractions of the range: multiples of 0.618034 modulo 1
    assert views.azimuth_deg.tolist() == pytest.approx([180 * fraction for fraction in golden], abs=1e-3)
    assert views.elevation_deg.tolist() == pytest.approx([-5, 5, 15, 25])
    assert views.radius.tolist() == [2.0] * 4 and views.fov_deg.tolist() == [50.0] * 4


def test_directions_are_unit_vectors_that_balance():
    directions = spread_directions(400)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1)
    assert np.abs(directions.mean(axis=0)).max() < 0.01
    assert directions.T @ directions / 400 == pytest.approx(np.eye(3) / 3, abs=0.01)


def test_a_start_turns_them_about_z():
    cosine, sine = np.cos(0.7), np.sin(0.7)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    assert spread_directions(9, start=0.7) == pytest.approx(spread_directions(9) @ turn.T)
