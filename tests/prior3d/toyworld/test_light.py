"""The toy world's light: what it is in the mean over all views, and a texture without it."""

import numpy as np
import pytest
import trimesh

from prior3d.cameras import orbit_cameras
from prior3d.meshes.atlas import texels, unwrap
from prior3d.meshes.export import read_glb
from prior3d.meshes.files import save_glb
from prior3d.meshes.mesh import Mesh, TexturedMesh
from prior3d.toyworld.light import glb_without_light, mean_light, without_light
from prior3d.toyworld.objects import build_object, find_category
from prior3d.toyworld.palette import COLOURS
from prior3d.toyworld.renders import SUN, render_toy, toy_orbit


@pytest.fixture(scope="module")
def lit_ball():
    """A ball whose texture is one colour under the light, and that colour."""
    shape = trimesh.creation.icosphere(subdivisions=3, radius=0.8)
    atlas = unwrap(Mesh(np.asarray(shape.vertices), np.asarray(shape.faces)), 128)
    places, colour = texels(atlas, 128), np.array([0.7, 0.4, 0.2])
    texture = np.zeros((128, 128, 3), np.float32)
    texture[places.rows, places.columns] = mean_light(places.normals)[:, None] * colour
    return TexturedMesh(atlas.vertices, atlas.faces, atlas.uv, texture), (places.rows, places.columns), colour


def test_the_mean_light_is_that_of_renders_from_all_sides():
    ball = build_object(find_category("ball"), np.random.default_rng(0), "red", None, None, "blue")
    azimuth = np.tile(np.arange(0, 360, 30.0), 5)
    views = render_toy(ball, orbit_cameras(toy_orbit(azimuth, np.repeat([-60.0, -30, 0, 30, 60], 12)), 32, 32))
    seen = views.mask > 0.999
    normals = views.normal[seen].astype(float)
    found = views.rgb[seen] / mean_light(normals)[:, None]
    for low, high in ((-1, -0.5), (-0.5, 0), (0, 0.5), (0.5, 1)):  # away from the sun, up to towards it
        of = (normals @ SUN >= low) & (normals @ SUN < high)
        assert np.abs(found[of].mean(0) - np.array(COLOURS["red"])).max() < 0.025
    under_light = views.rgb[seen][normals @ SUN > 0.5].mean(0) / views.rgb[seen][normals @ SUN < -0.5].mean(0)
    assert under_light[0] > 1.35  # what is taken out


def test_a_texture_without_light_has_one_colour(lit_ball):
    mesh, places, colour = lit_ball
    even = without_light(mesh)
    assert np.ptp(mesh.texture[places], axis=0).max() > 0.2
    assert np.abs(even.texture[places] - colour).max() < 1e-5
    assert even.vertices is mesh.vertices and even.faces is mesh.faces
    with pytest.raises(ValueError, match="128 x 64 texels; give a square one"):
        without_light(TexturedMesh(mesh.vertices, mesh.faces, mesh.uv, mesh.texture[:64]))


def test_a_file_is_turned_into_the_world_and_back(lit_ball, tmp_path):
    mesh, places, colour = lit_ball
    save_glb(tmp_path / "ball.glb", mesh)
    before = (tmp_path / "ball.glb").read_bytes()
    after = read_glb(glb_without_light(before))
    assert np.allclose(after.vertices, read_glb(before).vertices) and (after.faces == mesh.faces).all()
    assert np.abs(after.texture[places] - colour).max() < 0.02  # 8 bits, before and after
