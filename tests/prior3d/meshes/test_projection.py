"""Images on texels: who sees what, by hand on a square behind a smaller one, and colours that find their place."""

import math

import numpy as np
import pytest
import torch

from prior3d.cameras import Orbit, orbit_cameras, ring
from prior3d.meshes.mesh import HERE, UvMesh
from prior3d.meshes.painting import Surface
from prior3d.meshes.projection import (
    blend_by_confidence,
    dilate_charts,
    distance_map,
    erode,
    off_depth_edges,
    pixel_average,
    project_image,
    seamless_clone,
    surface_texels,
    texel_visibility,
    view_angle_weight,
)


def square(x, half, left):
    """A square seen from +x; its UVs take one half of the image."""
    corners = np.array([[x, -half, -half], [x, half, -half], [x, half, half], [x, -half, half]])
    uv = np.array([[left, 0.0], [left + 0.5, 0], [left + 0.5, 1], [left, 1]])
    return corners, uv


def two_squares() -> UvMesh:
    """A large square at x = 0 (left half of the texture) behind a small one at x = 0.5 (right half)."""
    (back, back_uv), (front, front_uv) = square(0.0, 0.8, 0.0), square(0.5, 0.3, 0.5)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    faces = np.concatenate([faces, faces + 4])
    return UvMesh(np.concatenate([back, front]), faces, np.concatenate([back_uv, front_uv]), faces, HERE)


FROM_FRONT = orbit_cameras(ring(1, 0.0), 64, 64)


@pytest.fixture(scope="module")
def scene():
    mesh = two_squares()
    return Surface(mesh, "cpu"), surface_texels(mesh, 32)


def test_texels_know_where_they_are(scene):
    _, points = scene
    assert len(points.rows) == 32 * 32 and not points.closed
    assert torch.allclose(points.normals, torch.tensor([1.0, 0, 0]))
    whole = points.to_texture(points.positions)
    assert whole[0, 0].tolist() == pytest.approx([0, -0.75, 0.775])  # half of a texel of 0.1 x 0.05 from the corner
    assert whole[31, 31].tolist() == pytest.approx([0.5, 0.3 - 0.6 / 32, -0.3 + 0.3 / 32])
    assert torch.equal(points.from_texture(whole), points.positions)


def test_what_is_behind_is_hidden_and_what_is_in_front_is_not(scene):
    surface, points = scene
    look = texel_visibility(surface, points, FROM_FRONT)
    cos_theta = points.to_texture(look.cos_theta)
    assert (cos_theta[:, 16:] > 0.95).all()
    y, z = points.to_texture(points.positions)[:, :16, 1:].unbind(-1)
    # the small square, 2.7 from the camera, hides 0.3 * 3.2 / 2.7 of the large one
    shadow, pixel = 0.3 * 3.2 / 2.7, 3.2 * 2 * math.tan(math.radians(20)) / 512
    outside = torch.maximum(y.abs(), z.abs())
    assert (cos_theta[:, :16][outside < shadow - 3 * pixel] == 0).all()
    assert (cos_theta[:, :16][outside > shadow + 3 * pixel] > 0.9).all()


def test_the_other_side_is_seen_only_where_there_is_no_inside(scene):
    surface, points = scene
    behind = orbit_cameras(ring(1, 0.0, start_deg=180.0), 64, 64)
    assert (points.to_texture(texel_visibility(surface, points, behind).cos_theta)[:, :16] > 0.9).all()
    closed = type(points)(points.resolution, points.rows, points.positions, points.normals, True)
    assert (texel_visibility(surface, closed, behind).cos_theta == 0).all()


def test_a_picture_lands_the_right_way_up_and_only_where_it_is_trusted(scene):
    surface, points = scene
    picture = torch.zeros(3, 64, 64)
    picture[0, :32], picture[1, :, :32] = 1, 1  # red above, green on the left
    trust = torch.ones(64, 64)
    trust[:, 40:] = 0
    picture[:, :, 40:] = 9.0  # must not bleed in
    colours, confidence = project_image(picture, trust, texel_visibility(surface, points, FROM_FRONT), 1.0)
    texture, known = points.to_texture(colours), points.to_texture(confidence)
    # from +x the world's y runs to the right; of the large square 0.8 / 1.165 of the image's half is seen
    assert texture[1, 1].tolist() == [1, 1, 0] and texture[30, 1].tolist() == [0, 1, 0]
    assert known[1, 14] == 0 and (texture[1, 14] == 0).all() and texture.max() <= 1
    assert texture[2, 20].tolist() == [1, 1, 0] and texture[30, 24, 0] == 0


def test_grazing_faces_fade():
    assert view_angle_weight(torch.tensor([1.0, 0.575, 0.15, 0.0]), 2.0, 0.15).tolist() == pytest.approx(
        [1, 0.25, 0, 0]
    )


def test_erosion_takes_the_least_near_by_and_the_border_counts_as_outside():
    alpha = torch.ones(5, 5)
    assert erode(alpha, 1).sum() == 9 and erode(alpha, 0).sum() == 25
    alpha[2, 2] = 0.5
    assert erode(alpha, 1).max() == 0.5


def test_pixels_at_the_edge_of_what_is_in_front_are_left_out(scene):
    surface, _ = scene
    inside = off_depth_edges(surface, FROM_FRONT)
    depth = distance_map(surface, FROM_FRONT)
    assert depth[32, 32].item() == pytest.approx(2.7, abs=1e-3) and depth[0, 0] == float("inf")
    assert inside[32, 32] and inside[13, 13]
    row = (depth[32, :-1] - depth[32, 1:]).abs()
    edge = int(torch.where(row.isfinite(), row, 0.0).argmax())
    assert not inside[32, edge] and not inside[32, edge + 1] and inside[32, edge + 3]


def test_two_pictures_are_mixed_by_confidence():
    old, new = torch.tensor([[1.0, 0, 0], [1, 0, 0]]), torch.tensor([[0.0, 1, 0], [0, 1, 0]])
    colours, confidence = blend_by_confidence(old, torch.tensor([0.0, 3]), new, torch.tensor([1.0, 1]))
    assert colours.tolist() == [[0, 1, 0], [0.75, 0.25, 0]] and confidence.tolist() == [1, 3]


def test_a_filled_hole_meets_what_is_beside_it():
    drawn = torch.full((3, 5, 9), 0.5)
    drawn[:, :, 6] = 0.7  # a detail inside the hole
    image = torch.full((3, 5, 9), 0.45)
    known, hole = torch.zeros(5, 9, dtype=torch.bool), torch.zeros(5, 9, dtype=torch.bool)
    known[:, :3], hole[:, 3:] = True, True
    filled = seamless_clone(drawn, image, hole, known, 40)
    assert filled[0, 2, 3].item() == pytest.approx(0.45, abs=1e-5)
    assert filled[0, 2, 6].item() == pytest.approx(0.65, abs=1e-5)  # the shade is carried, the detail stays
    assert torch.equal(seamless_clone(drawn, image, hole, known, 0)[:, hole], drawn[:, hole])
    other = seamless_clone(drawn, torch.zeros_like(image), hole, known, 40)  # no shade of the same colour
    assert other[0, 2, 3].item() == pytest.approx(0.4, abs=1e-5)


def test_textures_grow_beyond_their_charts(scene):
    _, points = scene
    fewer = type(points)(32, torch.tensor([0]), points.positions[:1], points.normals[:1], False)
    texture = torch.zeros(32, 32, 1)
    texture[0, 0] = 2.0
    texture[9, 9] = 5.0  # beside the chart: it must not be taken
    found = dilate_charts(texture, fewer, steps=2)[..., 0]
    assert (found[:3, :3] == 2).all() and found[9, 9] == 0


def test_what_pixels_show_of_a_value_is_a_mean(scene):
    surface, points = scene
    seen = surface.texel_weights(FROM_FRONT, 32, 2)
    assert pixel_average(seen, torch.full((32, 32), 0.3)).tolist() == pytest.approx([0.3] * len(seen.pixels), abs=1e-5)


def test_a_z_buffer_sees_the_same_as_rays(scene):
    surface, points = scene
    camera = orbit_cameras(Orbit(*(torch.tensor([v]) for v in (25.0, 20.0, 3.2, 40.0))), 64, 64)
    cast = texel_visibility(surface, points, camera).cos_theta
    other = Surface(two_squares(), "cpu")
    other._caster = None
    assert ((cast > 0) == (texel_visibility(other, points, camera).cos_theta > 0)).float().mean() > 0.99
