"""The z-buffer, images that are differentiable in the texture, and the finished texture."""

import numpy as np
import pytest
import torch
import trimesh

from prior3d.cameras import orbit_cameras, ring
from prior3d.meshes.given import GivenMesh
from prior3d.meshes.mesh import Mesh, Placement, UvMesh
from prior3d.meshes.painting import (
    Surface,
    TextureTargets,
    fill_unseen_texels,
    texel_evidence,
    texture_total_variation,
    weighted_huber,
)
from prior3d.meshes.raster import Raycaster, render_mesh
from prior3d.meshes.uv import ensure_uv
from prior3d.rendering.raster import rasterise
from prior3d.rendering.rays import rays

HERE = Placement(((1.0, 0, 0), (0, 1, 0), (0, 0, 1)), (0.0, 0.0, 0.0), 1.0)
FACING = np.array([[0.0, -0.8, -0.8], [0, 0.8, -0.8], [0, 0.8, 0.8], [0, -0.8, 0.8]])  # a square seen from +x
SQUARE = UvMesh(FACING, np.array([[0, 1, 2], [0, 2, 3]]), np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]),
                np.array([[0, 1, 2], [0, 2, 3]]), HERE)  # fmt: skip


def bumpy() -> Mesh:
    """A ball with another one stuck in its side, and a big triangle behind: many sizes of faces, much occlusion."""
    ball, side = trimesh.creation.icosphere(3, 0.6), trimesh.creation.icosphere(2, 0.3)
    behind = [[-0.7, -2, -2], [-0.7, 2, -2], [-0.7, 0, 3]]
    vertices = np.concatenate([ball.vertices, side.vertices + [0.5, 0.3, 0.2], behind])
    n = len(ball.vertices)
    last = n + len(side.vertices)
    faces = np.concatenate([ball.faces, side.faces + n, [[last, last + 1, last + 2]]])
    return Mesh(vertices, faces.astype(np.int64))


@pytest.mark.parametrize("pairs_at_once", [2**22, 500])
def test_the_z_buffer_shows_what_rays_meet(pairs_at_once):
    mesh, cameras = bumpy(), orbit_cameras(ring(3, 20.0), 48, 64)
    vertices, faces = torch.from_numpy(mesh.vertices).float(), torch.from_numpy(mesh.faces)
    found = rasterise(vertices, faces, cameras, pairs_at_once)
    hits = Raycaster(mesh).cast(*(values.numpy() for values in rays(cameras)))
    face = np.where(hits.mask, hits.face.astype(int), -1)
    same = found.face.numpy() == face
    assert same.mean() > 0.998  # rays through an edge may take either side
    covered = same & (face >= 0)
    assert covered.sum() > 1500
    assert abs(found.barycentric.numpy()[covered] - hits.barycentric[covered]).max() < 2e-3
    assert torch.allclose(found.barycentric.sum(-1), (found.face >= 0).float(), atol=1e-5)


def test_the_z_buffer_leaves_out_what_is_behind_the_camera_and_shows_nothing_of_nothing():
    cameras = orbit_cameras(ring(1), 8, 8)
    behind = torch.tensor([[5.0, -1, -1], [5, 1, -1], [5, 0, 1]])
    found = rasterise(behind, torch.tensor([[0, 1, 2]]), cameras)
    assert (found.face == -1).all() and (found.barycentric == 0).all()


@pytest.mark.gpu
def test_the_z_buffer_is_the_same_on_the_gpu():
    mesh, cameras = bumpy(), orbit_cameras(ring(3, 20.0), 48, 64)
    vertices, faces = torch.from_numpy(mesh.vertices).float(), torch.from_numpy(mesh.faces)
    here, there = rasterise(vertices, faces, cameras), rasterise(vertices.cuda(), faces.cuda(), cameras.to("cuda"))
    assert (here.face == there.face.cpu()).float().mean() > 0.999


@pytest.fixture(scope="module")
def chequered() -> tuple[UvMesh, np.ndarray]:
    ball = trimesh.creation.icosphere(2, 0.7)
    mesh, _, _ = ensure_uv(GivenMesh(np.asarray(ball.vertices), np.asarray(ball.faces, dtype=np.int64)), HERE, 64)
    return mesh, np.random.default_rng(0).random((64, 64, 3))


def test_pictures_are_those_of_the_other_renderer(chequered):
    mesh, texture = chequered
    cameras = orbit_cameras(ring(2, 10.0), 32, 32)
    seen = Surface(mesh, "cpu").texel_weights(cameras, 64, 2)
    expected = render_mesh(mesh.split(mesh.world_vertices(), texture), cameras, background=0.0)
    assert np.allclose(seen.coverage.numpy(), expected.mask, atol=1e-6)
    assert abs(seen.render(torch.from_numpy(texture).float()).numpy() - expected.rgb).max() < 2e-3


def test_the_z_buffer_paints_the_same(chequered):
    mesh, texture = chequered
    cameras = orbit_cameras(ring(2, 10.0), 32, 32)
    surface = Surface(mesh, "cpu")
    cast = surface.texel_weights(cameras, 64, 2).render(torch.from_numpy(texture).float())
    surface._caster = None
    drawn = surface.texel_weights(cameras, 64, 2).render(torch.from_numpy(texture).float())
    assert ((cast - drawn).abs().amax(-1) < 5e-3).float().mean() > 0.995


def test_gradients_reach_exactly_the_texels_that_are_seen():
    surface = Surface(SQUARE, "cpu")
    texture = torch.zeros(8, 8, 3, requires_grad=True)
    seen = surface.texel_weights(orbit_cameras(ring(1, 0.0), 32, 32), 8, 2)
    seen.render(texture).sum().backward()
    assert (texture.grad > 0).all()
    assert texture.grad[..., 0].sum().item() == pytest.approx(seen.coverage.sum().item(), rel=1e-5)
    assert seen.cos_theta.max().item() > 0.999 and seen.cos_theta.min().item() > 0.9


def test_up_in_the_picture_is_up_in_the_texture_and_right_is_right():
    texture = torch.zeros(4, 4, 1)
    texture[0, :, 0], texture[:, 3, 0] = 1.0, 0.5  # the top row, and the right column
    seen = Surface(SQUARE, "cpu").texel_weights(orbit_cameras(ring(1, 0.0), 16, 16), 4, 1, nearest=True)
    picture = seen.render(texture)[0, ..., 0]
    rows, columns = (seen.coverage[0] > 0).nonzero().T
    assert picture[rows.min(), columns.min()] == 1 and picture[rows.max(), columns.min()] == 0
    assert picture[rows.max(), columns.max()] == 0.5


def test_fitting_a_texture_to_pictures_finds_it():
    wanted = torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(0))
    seen = Surface(SQUARE, "cpu").texel_weights(orbit_cameras(ring(1, 0.0), 48, 48), 8, 2)
    target = seen.colours(wanted)
    texture = torch.full((8, 8, 3), 0.5, requires_grad=True)
    optimiser = torch.optim.Adam([texture], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        weighted_huber(seen.colours(texture), target, seen.weights.sum(1)).backward()
        optimiser.step()
    assert (texture - wanted).abs().max() < 0.05


def test_losses_by_hand():
    found, wanted = torch.tensor([[0.05, 0.05, 0.05], [1.0, 1, 1]]), torch.zeros(2, 3)
    assert weighted_huber(found, wanted, torch.tensor([1.0, 0])).item() == pytest.approx(0.5 * 0.05**2 / 0.1)
    assert weighted_huber(found, wanted, torch.tensor([0.0, 2])).item() == pytest.approx(1 - 0.05)
    flat = torch.full((4, 4, 3), 0.3)
    assert texture_total_variation(flat).item() == pytest.approx(0, abs=1e-6)
    flat[:, 2:] += 1
    assert texture_total_variation(flat).item() == pytest.approx(3**0.5 / 3 / 2, abs=1e-3)


def test_targets_are_kept_by_view_and_by_checkpoints():
    targets = TextureTargets([2, 3], "cpu")
    targets.put(1, torch.ones(3, 3), torch.full((3,), 0.5))
    assert targets.of(0)[0].sum() == 0 and targets.of(1)[0].sum() == 9 and targets.of(1)[1].sum() == 1.5
    assert {name: tuple(t.shape) for name, t in targets.state_dict().items()} == {"colours": (5, 3), "trust": (5,)}


def test_evidence_is_the_greatest_weight_near_a_texel():
    seen = Surface(SQUARE, "cpu").texel_weights(orbit_cameras(ring(1, 0.0), 16, 16), 32, 1)
    weights = [torch.full((len(seen.pixels),), w) for w in (0.25, 0.75)]
    assert (texel_evidence([seen, seen], weights, 32) == 0.75).all()
    one = torch.zeros(len(seen.pixels))
    one[0] = 1.0  # the pixel at the top left
    found = texel_evidence([seen], [one], 32)
    assert found[:5, :5].max() == 1 and found[10:].max() == 0


def test_the_finished_texture_fills_what_was_not_seen_from_near_by_and_grows_over_seams(chequered):
    mesh, _ = chequered
    texture = torch.zeros(64, 64, 3)
    seen = torch.zeros(64, 64, dtype=torch.bool)
    flat = mesh.split(mesh.world_vertices(), np.zeros((1, 1, 3)))
    row, column = (63 - (flat.uv[:, 1] * 63).astype(int)), (flat.uv[:, 0] * 63).astype(int)
    top = flat.vertices[:, 2] > 0
    texture[row[top], column[top]] = torch.tensor([1.0, 0, 0])
    texture[row[~top], column[~top]] = torch.tensor([0.0, 0, 1])
    seen[row, column] = True
    painted, share = fill_unseen_texels(mesh, texture, seen)
    assert painted.shape == (64, 64, 3) and 0 < share < 1
    picture = render_mesh(
        mesh.split(mesh.world_vertices(), painted), orbit_cameras(ring(4, 0.0), 24, 24), background=0.0
    )
    inside = picture.mask > 0.99
    assert (picture.rgb[inside].sum(-1) > 0.9).all()  # no black seam anywhere
    assert picture.rgb[0, 7, 12, 0] > 0.9 and picture.rgb[0, 16, 12, 2] > 0.9
