import math

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.fields.scene_field import SceneField, SceneFieldConfig
from prior3d.rendering.rays import rays
from prior3d.rendering.scene import FARTHEST, NEAREST, _edges, occupied_cells, render_scene_rays, render_scene_view


def fog(contracted=False):
    field = SceneField(SceneFieldConfig(resolution=9, sh_degree=0, contracted=contracted))
    with torch.no_grad():
        field.density_logits[:] = math.log(math.expm1(0.5 / 40.0))  # a density of 0.5
        field.colours[1:] = torch.tensor([2.0, 0.0, -2.0])
    return field


def test_even_fog_by_hand():
    """Two units of density 0.5: opacity 1 - exp(-1); the background shows through."""
    origin, toward = torch.tensor([[3.0, 0.01, 0.01]]), torch.tensor([[-1.0, 0, 0]])
    seen = render_scene_rays(fog(), origin, toward, 16, 4, background=torch.tensor([[1.0, 1, 1]]))
    opacity = 1 - math.exp(-1)
    assert seen.opacity.item() == pytest.approx(opacity, rel=1e-4)
    expected = [opacity / (1 + math.exp(-v)) + 1 - opacity for v in (2.0, 0.0, -2.0)]
    assert seen.colours[0].tolist() == pytest.approx(expected, rel=1e-4)
    # the mean of t exp(-t / 2) / 2 over 0..2, above 1 - exp(-1), from a distance of 2
    assert seen.depth.item() == pytest.approx(2 + (2 - 4 * math.exp(-1)) / opacity, rel=1e-2)


def test_a_ray_that_misses_sees_the_background():
    origin, toward = torch.tensor([[3.0, 0, 0]]), torch.tensor([[0.0, 1, 0]])
    seen = render_scene_rays(fog(), origin, toward, 8, 4, background=torch.tensor([[0.2, 0.3, 0.4]]))
    assert seen.opacity.item() == 0 and seen.colours[0].tolist() == pytest.approx([0.2, 0.3, 0.4])


@pytest.mark.parametrize("contracted", [False, True])
def test_skipping_empty_space_changes_nothing(contracted):
    field = fog(contracted)
    centre = torch.tensor([[0.1, -0.2, 0.1]])
    field.seen[field.cells(centre)] = 1.0
    field = field.upsample(17, 0.5)
    with torch.no_grad():
        field.density_logits[0] = -40.0
    cameras = orbit_cameras(ring(3, 20.0), 12, 12)
    occupied = occupied_cells(field)
    assert occupied.float().mean() < 0.3
    whole, skipped = (render_scene_view(field, cameras, 64, o, 1.0) for o in (None, occupied))
    assert (whole[1] > 0.05).any()
    for a, b in zip(whole, skipped, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_a_contracted_ray_reaches_far_and_is_dense_near_the_origin():
    field = fog(contracted=True)
    origin, toward = torch.tensor([[3.0, 0.0, 0]]), torch.tensor([[-1.0, 0, 0]])
    edges = _edges(field, origin, toward, 100)[0]
    assert edges[0].item() == pytest.approx(NEAREST, abs=1e-4) and edges[-1].item() == pytest.approx(FARTHEST, rel=1e-4)
    widths = edges.diff()
    assert (widths > 0).all()
    assert abs(edges[widths.argmin()].item() - 3.0) < 0.2


def test_the_sky_is_behind_a_contracted_scene():
    field = fog(contracted=True)
    with torch.no_grad():
        field.density_logits[:] = -40.0
        field.sky[:, 0] = torch.tensor([1.0, 0.0, -1.0])
    seen = render_scene_rays(field, torch.zeros(1, 3), torch.tensor([[0.0, 0, 1]]), 8)
    assert seen.colours[0].tolist() == pytest.approx([1 / (1 + math.exp(-v)) for v in (1.0, 0.0, -1.0)])


def test_what_is_watched():
    field = fog()
    origin, toward = torch.tensor([[3.0, 0.01, 0.01]]), torch.tensor([[-1.0, 0, 0]])
    render_scene_rays(field, origin, toward, 16, 4, record_visibility=True)
    assert (field.seen > 0).sum() == 8  # the cells along the ray
    assert field.seen.max() < 0.05  # of a sample: 0.5 * 2 / 64 = 0.0156 at most


def test_gradients_reach_density_colour_and_sky():
    field = fog(contracted=True)
    cameras = orbit_cameras(ring(1), 6, 6)
    origins, directions = (part.reshape(-1, 3) for part in rays(cameras))
    render_scene_rays(field, origins, directions, 16).colours.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in field.parameters())
