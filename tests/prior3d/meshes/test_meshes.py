import math

import numpy as np
import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.meshes.atlas import dilate, texels, unwrap
from prior3d.meshes.baking import shell_colours
from prior3d.meshes.consistency import photo_inconsistency
from prior3d.meshes.extraction import cut_share, density_grid, isosurface, remove_small_parts
from prior3d.meshes.mesh import Mesh, TexturedMesh, measure, vertex_normals
from prior3d.meshes.raster import render_mesh, sample_texture
from prior3d.meshes.simplification import simplify
from prior3d.meshes.threshold import choose_threshold, march_silhouettes, viewing_ring
from tests.foggy_ball import ball, painted, sphere_grid, two_colours


def test_marching_cubes_of_a_sphere_has_its_radius_volume_and_outward_faces():
    mesh = isosurface(sphere_grid(0.6), 10.0, 1.0)
    radii = np.linalg.norm(mesh.vertices, axis=-1)
    assert abs(radii - 0.6).max() < 0.005
    quality = measure(mesh)
    assert quality.volume == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.01)  # positive: faces look outward
    assert quality.watertight and quality.components == 1
    normals = vertex_normals(mesh.vertices, mesh.faces)
    assert (normals * mesh.vertices).sum(-1).min() > 0.55


def test_axes_are_not_mixed_up():
    grid = np.zeros((21, 21, 21))
    grid[18, 10, 4] = 10.0  # z = 0.8, y = 0, x = -0.6
    mesh = isosurface(grid, 5.0, 1.0)
    assert np.allclose(mesh.vertices.mean(0), [-0.6, 0, 0.8], atol=1e-6)


def test_a_surface_is_closed_where_the_box_cuts_it():
    assert measure(isosurface(np.full((8, 8, 8), 9.0), 1.0, 1.0)).watertight


def test_how_much_of_a_surface_its_box_cuts():
    ball = isosurface(sphere_grid(0.6), 10.0, 1.0)
    assert cut_share(ball, 1.0, 0.05) == 0
    half = np.zeros((21, 21, 21))
    half[:, :, 15:] = 9.0  # a slab at x > 0.5: five of its six sides are the box's
    assert 0.6 < cut_share(isosurface(half, 1.0, 1.0), 1.0, 0.1) < 0.9
    assert cut_share(isosurface(np.full((8, 8, 8), 9.0), 1.0, 1.0), 1.0, 2 / 7) > 0.9


def test_density_grid_is_the_fields_density_and_smoothing_keeps_a_constant(field):
    grid = density_grid(field, 25)
    point = torch.tensor([[-1 + 2 * 20 / 24, -1 + 2 * 12 / 24, -1 + 2 * 9 / 24]])
    assert grid[9, 12, 20].item() == pytest.approx(field.density(point).item(), rel=1e-4)
    smooth = density_grid(field, 25, smoothing_cells=0.7)
    assert smooth[12, 12, 12].item() == pytest.approx(grid[12, 12, 12].item(), rel=0.02)
    assert smooth.diff(dim=0).abs().max() < grid.diff(dim=0).abs().max()


def test_floaters_go_and_cavities_are_filled():
    grid = np.zeros((20, 20, 20))
    grid[2:12, 2:12, 2:12] = 10.0
    grid[6:8, 6:8, 6:8] = 0.0  # a cavity
    grid[16:18, 16:18, 16:18] = 10.0  # a floater, 8 of 992 cells
    cleaned, removed = remove_small_parts(grid, 5.0, min_part=0.03)
    assert removed == 1
    assert cleaned[16:18, 16:18, 16:18].max() == 0
    assert cleaned[6:8, 6:8, 6:8].min() >= 5
    mesh = isosurface(cleaned, 5.0, 1.0)
    assert measure(mesh).components == 1
    assert remove_small_parts(grid, 5.0, min_part=0.001)[1] == 0


def test_a_thin_part_that_stands_off_is_no_floater():
    grid = np.zeros((30, 30, 30))
    grid[18:28, 2:22, 2:22] = 10.0  # a canopy
    grid[4:16, 12, 12] = 10.0  # its handle: 12 of 4,000 cells, 0.4 of its length
    assert remove_small_parts(grid, 5.0, 0.03)[1] == 1
    cleaned, removed = remove_small_parts(grid, 5.0, 0.03, min_extent=0.25)
    assert removed == 0 and cleaned[4:16, 12, 12].min() == 10
    grid[8:10, 26:28, 26:28] = 10.0  # a floater beside it
    cleaned, removed = remove_small_parts(grid, 5.0, 0.03, min_extent=0.25)
    assert removed == 1 and cleaned[8:10, 26:28, 26:28].max() == 0


def test_nothing_above_the_threshold_names_the_knob():
    with pytest.raises(Prior3dError, match=r"greatest density is 1\).*mesh_extraction.threshold"):
        remove_small_parts(np.ones((4, 4, 4)), 2.0, 0.1)


def test_decimation_keeps_the_shape_and_taubin_does_not_shrink_it():
    mesh = simplify(isosurface(sphere_grid(0.6), 10.0, 1.0), max_faces=800, smoothing_steps=10)
    quality = measure(mesh)
    assert quality.faces <= 800 and quality.watertight
    assert quality.volume == pytest.approx(4 / 3 * math.pi * 0.6**3, rel=0.03)


def test_the_threshold_of_a_foggy_ball_gives_its_rendered_outline(field):
    cameras = viewing_ring(4, 40)
    grid = density_grid(field, 64)
    seen = march_silhouettes(field, grid, cameras)
    chosen = choose_threshold(seen)
    assert chosen.silhouette_iou > 0.98
    assert chosen.depth_error < 0.12  # half the light is stopped only deep in such fog
    mesh = isosurface(grid.numpy(), chosen.density, 1.0)
    drawn = render_mesh(mesh, cameras, supersampling=1).mask.reshape(-1) > 0.5
    opaque = seen.opaque.numpy()
    assert (drawn & opaque).sum() / (drawn | opaque).sum() > 0.97


def test_the_threshold_follows_the_fog():
    """Ten times thinner matter: a fixed isovalue would be far off, the chosen one still fits."""
    thin = painted(lambda x, y, z: ball(x, y, z) - 2.3, two_colours)
    seen = march_silhouettes(thin, density_grid(thin, 64), viewing_ring(4, 40))
    assert choose_threshold(seen).silhouette_iou > 0.97


def test_an_empty_field_is_an_error_that_names_the_knob():
    empty = painted(lambda x, y, z: torch.full_like(x, -12.0), two_colours, resolution=9)
    with pytest.raises(Prior3dError, match="the field is empty: no ray.*sparsity"):
        choose_threshold(march_silhouettes(empty, density_grid(empty, 16), viewing_ring(3, 8)))


def test_atlas_texels_lie_on_the_surface(sphere):
    atlas = unwrap(sphere, 128)
    assert atlas.uv.min() >= 0 and atlas.uv.max() <= 1
    places = texels(atlas, 128)
    assert len(places.rows) > 0.3 * 128 * 128
    assert abs(np.linalg.norm(places.positions, axis=-1) - 0.6).max() < 0.02
    assert (places.normals * places.positions).sum(-1).min() > 0.5


def test_texels_and_look_up_use_the_same_orientation(sphere):
    """A texture that holds each texel's own position reads back as positions on the surface."""
    atlas = unwrap(sphere, 256)
    places = texels(atlas, 256)
    texture = np.zeros((256, 256, 3))
    known = np.zeros((256, 256), bool)
    texture[places.rows, places.columns], known[places.rows, places.columns] = places.positions, True
    texture = dilate(texture, known, 3)
    middles = atlas.uv[atlas.faces].mean(1)
    assert abs(sample_texture(texture, middles) - atlas.vertices[atlas.faces].mean(1)).max() < 0.03


def test_dilation_copies_the_nearest_and_fills_the_rest_with_the_mean():
    texture, known = np.zeros((1, 6, 1)), np.zeros((1, 6), bool)
    texture[0, 0], known[0, 0] = 4.0, True
    assert dilate(texture, known, 2)[0, :, 0].tolist() == [4, 4, 4, 4, 4, 4]
    texture[0, 5], known[0, 5] = 8.0, True
    assert dilate(texture, known, 1)[0, :, 0].tolist() == [4, 4, 6, 6, 8, 8]


def test_baked_colours_are_those_of_the_field(textured):
    drawn = render_mesh(textured, orbit_cameras(ring(4, 0), 64, 64))
    upper, lower = drawn.rgb[:, 24, 32], drawn.rgb[:, 40, 32]
    assert abs(upper - [0.9, 0.1, 0.1]).max() < 0.03
    assert abs(lower - [0.1, 0.2, 0.8]).max() < 0.03


def test_the_shell_sees_the_skin_not_the_core():
    """Red skin 0.05 thick round a green core: the surface point itself, in thin fog, is black."""

    def colour(x, y, z):
        r = (x * x + y * y + z * z).sqrt()[..., None]
        inner = torch.where(r > 0.45, torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]))
        return torch.where(r > 0.56, torch.tensor([0.0, 0, 0]), inner)

    skin = painted(lambda x, y, z: torch.where((x * x + y * y + z * z).sqrt() < 0.56, 5.5, -3.0), colour)
    point, normal = torch.tensor([[0.62, 0, 0]]), torch.tensor([[1.0, 0, 0]])
    assert skin(point)[1][0, 0] < 0.05
    assert shell_colours(skin, point, normal, 0.06)[0, 0] > 0.6


def test_an_empty_shell_takes_the_colour_at_the_point():
    empty = painted(lambda x, y, z: torch.full_like(x, -20.0), two_colours)
    found = shell_colours(empty, torch.tensor([[0.0, 0, 0.5]]), torch.tensor([[0.0, 0, 1]]), 0.05)
    torch.testing.assert_close(found, torch.tensor([[0.9, 0.1, 0.1]]), atol=0.01, rtol=0)


def test_pictures_of_a_sphere_by_hand(sphere):
    cameras = orbit_cameras(ring(1, 0, 3.2, 40), 65, 65)
    drawn = render_mesh(sphere, cameras)
    assert drawn.depth[0, 32, 32] == pytest.approx(2.6, abs=0.01)
    assert np.allclose(drawn.normal[0, 32, 32], [1, 0, 0], atol=0.1)
    assert drawn.rgb[0, 0, 0].tolist() == [1, 1, 1]
    radius_pixels = 65 / 2 / math.tan(math.radians(20)) * math.tan(math.asin(0.6 / 3.2))
    assert drawn.mask.sum() == pytest.approx(math.pi * radius_pixels**2, rel=0.02)


def test_the_headlight_dims_the_rim_only(sphere):
    cameras = orbit_cameras(ring(1, 0), 65, 65)
    plain, lit = render_mesh(sphere, cameras), render_mesh(sphere, cameras, headlight=1.0)
    assert lit.rgb[0, 32, 32] == pytest.approx(plain.rgb[0, 32, 32], abs=0.02)
    assert lit.rgb[0, 32, 17, 0] < 0.6 * plain.rgb[0, 32, 17, 0]


def test_photo_inconsistency_is_nothing_for_true_pictures_and_large_for_shuffled_ones(textured):
    cameras = orbit_cameras(ring(8, 20), 96, 96)
    pictures = render_mesh(textured, cameras).rgb
    true, n_points = photo_inconsistency(textured, cameras, pictures)
    striped = pictures.copy()
    striped[::2] = 1 - striped[::2]
    false, _ = photo_inconsistency(textured, cameras, striped)
    assert n_points > 100
    assert true < 0.02 and false > 0.15


def test_doubled_vertices_on_seams_are_no_holes(textured):
    assert len(textured.vertices) > len(np.unique(textured.vertices.round(6), axis=0))
    quality = measure(textured)
    assert quality.watertight and quality.components == 1


def test_meshes_that_are_none_are_refused(without_checks):
    with pytest.raises(Prior3dError, match=r"faces \(0, 3\)"):
        Mesh(np.zeros((3, 3)), np.zeros((0, 3), int))
    with pytest.raises(Prior3dError, match="names a vertex that is not there"):
        Mesh(np.zeros((3, 3)), np.array([[0, 1, 3]]))
    with pytest.raises(Prior3dError, match="not finite"):
        Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
    with pytest.raises(Prior3dError, match=r"uv \(2, 2\)"):
        TexturedMesh(np.zeros((3, 3)), np.array([[0, 1, 2]]), np.zeros((2, 2)), np.zeros((4, 4, 3)))
