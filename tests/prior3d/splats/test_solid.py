"""The surface of splats as that of a solid: where it lies, that it is closed, and which threshold it has."""

import numpy as np
import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.meshes.mesh import measure
from prior3d.splats.ball import ball_splats, cameras_all_round
from prior3d.splats.field import SplatsField
from prior3d.splats.model import Splats, SplatsConfig
from prior3d.splats.solid import THRESHOLDS, chosen_threshold, density_grid, highest_along_rays, solid_surface
from tests.gaussian_splats import ball_of_splats, some_splats


def one_gaussian(mean, opacity=0.5):
    splats = Splats(SplatsConfig(1, 0))
    with torch.no_grad():
        splats.means.copy_(torch.tensor([mean]))
        splats.opacities.fill_(torch.tensor(opacity).logit())
        splats.scales.copy_(torch.tensor([[0.2, 0.1, 0.05]]).log())
    return splats


def test_the_density_is_the_sum_of_all_gaussians():
    splats, resolution = some_splats(n=20, degree=0, size=0.15), 21
    axis = torch.linspace(-1, 1, resolution)
    nodes = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], -1)  # [z, y, x] -> (x, y, z)
    expected = torch.zeros(resolution, resolution, resolution)
    with torch.no_grad():
        for i in range(20):
            inverse = torch.linalg.inv(
                splats.rotations()[i] @ (2 * splats.scales[i]).exp().diag() @ splats.rotations()[i].T
            )
            offset = nodes - splats.means[i]
            distance = torch.einsum("zyxi,ij,zyxj->zyx", offset, inverse, offset)
            expected += torch.where(distance <= 9, splats.opacities[i].sigmoid() * (-0.5 * distance).exp(), 0.0)
    torch.testing.assert_close(density_grid(splats, 1.0, resolution), expected, atol=1e-4, rtol=1e-3)


def test_rays_find_the_highest_density_where_it_is():
    """Seen from the front, what lies to the object's left is right in the image (z up, the front along x)."""
    grid = density_grid(one_gaussian((0.0, 0.4, 0.3)), 1.0, 41)
    seen = highest_along_rays(orbit_cameras(ring(1, 0.0), 40, 40), grid, 1.0)[0]
    row, column = divmod(int(seen.argmax()), 40)
    assert 0.35 < float(seen.max()) <= 0.5 and row < 18 and column > 22


def test_a_ball_of_gaussians_is_closed_and_as_large_as_its_images_show():
    splats = ball_of_splats(600, 0.6)
    mesh = solid_surface(splats, cameras_all_round(12, 64, 3.2, 40.0), 48)
    assert measure(mesh).watertight
    outside = np.linalg.norm(mesh.vertices, axis=-1).max()
    assert 0.7 < outside < 0.9  # their standard deviation is 0.1


def test_the_lowest_of_nearly_equal_thresholds_is_taken():
    splats, cameras = ball_of_splats(600, 0.6), cameras_all_round(6, 64, 3.2, 40.0)
    sharp = 100.0 * (density_grid(splats, 1.0, 48) > 0.3)  # all thresholds have the same silhouettes
    assert chosen_threshold(splats, cameras, sharp) == THRESHOLDS[0]
    assert chosen_threshold(splats, cameras, density_grid(splats, 1.0, 48)) > THRESHOLDS[0]


def test_splats_say_how_their_mesh_is_made():
    cameras, config = cameras_all_round(24, 64, 3.2, 40.0), SplatsConfig(600, 0, meshed_by="density")
    splats = Splats(config)
    splats.load_state_dict(ball_of_splats(600, 0.6).state_dict())
    field = SplatsField(splats, cameras)
    vertices, faces = field.surface(48)
    other, _ = SplatsField(ball_of_splats(600, 0.6), cameras).surface(48)
    assert vertices.shape != other.shape
    normals = torch.nn.functional.normalize(torch.from_numpy(vertices).float(), dim=-1)
    colours = field.surface_colours(torch.from_numpy(vertices).float(), normals)
    assert len(faces) and float((colours - torch.tensor([0.78, 0.16, 0.16])).abs().max()) < 0.1


def test_splats_without_density_get_one_line():
    with pytest.raises(Prior3dError, match="density in the unit box is 0.010 at most, so there is no surface"):
        solid_surface(one_gaussian((0.0, 0.0, 0.0), 0.01), cameras_all_round(4, 32, 3.2, 40.0), 17)


def test_splats_begin_evenly_in_a_ball():
    config, generator = SplatsConfig(2000, 0), torch.Generator().manual_seed(0)
    splats = ball_splats(config, 0.5, 0.1, generator)
    distances = splats.means.detach().norm(dim=-1)
    assert float(distances.max()) <= 0.5 and float((distances < 0.25).float().mean()) == pytest.approx(1 / 8, abs=0.02)
    assert torch.allclose(splats.opacities.sigmoid(), torch.tensor(0.1))
