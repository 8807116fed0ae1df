"""Light on distilled views, cameras on the hemisphere, and what stands behind RGB views."""

import math

import pytest
import torch

from prior3d.cameras import Orbit, orbit_cameras, ring
from prior3d.distillation.backgrounds import NAMED_BACKGROUNDS, rgb_backdrop
from prior3d.distillation.view_sampler import with_hemisphere
from prior3d.fields import FieldConfig, ObjectField
from prior3d.reconstruction.shading import draw_shading, shaded, surface_normals
from prior3d.rendering import render
from prior3d.seeds import Seeds
from prior3d.settings.single_image import ShadingSettings

SOME = ShadingSettings(starts_at=0.2, textureless=0.4, lambertian=0.4)


def ball() -> ObjectField:
    """The start's blob, dense enough to be opaque."""
    config = FieldConfig(head="rgb", channels=3, density_bias=-3.0, blob_density=9.0, blob_radius=0.4)
    return ObjectField(config, torch.Generator().manual_seed(0))


def test_shading_is_drawn_in_its_shares_once_it_has_begun():
    generator = Seeds(0).generator
    drawn = [draw_shading(SOME, 0.5, generator) for _ in range(1000)]
    for kind, share in (("textureless", 0.4), ("lambertian", 0.4), ("albedo", 0.2)):
        assert drawn.count(kind) / 1000 == pytest.approx(share, abs=0.05)
    before = Seeds(0)
    assert (
        draw_shading(SOME, 0.1, before.generator) == draw_shading(ShadingSettings(), 0.5, before.generator) == "albedo"
    )
    assert before.state() == {}  # nothing was drawn


def test_normals_of_a_ball_look_outward_and_move_the_field():
    field, cameras = ball(), orbit_cameras(ring(2), 9, 9)
    rendering = render(field, cameras, 64)
    normals = surface_normals(field, rendering, cameras)
    toward = torch.nn.functional.normalize(cameras.positions, dim=-1)
    assert ((normals[:, 4, 4] * toward).sum(-1) > 0.95).all()
    normals.square().mul(torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert field.encoding.grids[0].grad.abs().sum() > 0


def test_the_side_towards_the_light_is_bright_and_the_rest_has_the_ambient_light():
    field, cameras = ball(), orbit_cameras(ring(1, 0.0), 15, 15)
    rendering = render(field, cameras, 64)
    normals = torch.zeros(1, 15, 15, 3)
    normals[..., 0] = 1  # the camera stands on +x
    generator = Seeds(3).generator
    white = shaded(rendering, normals, cameras, "textureless", 0.1, generator)
    light = torch.nn.functional.normalize(
        cameras.positions + torch.randn(1, 3, generator=Seeds(3).generator("light")), dim=-1
    )
    expected = 0.1 + 0.9 * max(light[0, 0].item(), 0)
    torch.testing.assert_close(white[0, 7, 7], rendering.opacity[0, 7, 7] * torch.full((3,), expected))
    away = shaded(rendering, -normals, cameras, "lambertian", 0.1, Seeds(3).generator)
    assert light[0, 0] > 0
    torch.testing.assert_close(away, 0.1 * rendering.features)


def test_hemisphere_views_come_from_above_the_horizon_and_leave_the_rest():
    n = 400
    orbit = Orbit(torch.full((n,), 400.0), torch.full((n,), -90.0), torch.full((n,), 1.5), torch.full((n,), 50.0))
    found = with_hemisphere(orbit, 0.5, torch.Generator().manual_seed(0))
    moved = found.elevation_deg >= 0
    assert moved.float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert (found.azimuth_deg[moved] < 360).all() and (found.azimuth_deg[~moved] == 400).all()
    assert found.elevation_deg[moved].max() > 60 and torch.equal(found.radius, orbit.radius)
    quarters = torch.histc(found.azimuth_deg[moved], 4, 0, 360) / moved.sum()
    assert (quarters - 0.25).abs().max() < 0.1


def test_a_learned_background_is_a_colour_and_is_optimised_and_a_named_one_is_flat():
    cameras, seeds = orbit_cameras(ring(2), 4, 4), Seeds(0)
    learned = rgb_backdrop("learned", seeds, torch.device("cpu"))
    colours = learned(cameras, None)
    assert colours.shape == (2, 4, 4, 3) and colours.min() > 0 and colours.max() < 1 and colours.std() > 0
    assert set(learned.modules) == {"background"} and len(learned.parameter_groups(0.1)) == 1
    named = rgb_backdrop("named", seeds, torch.device("cpu"))
    assert named.modules == {} and named.parameter_groups(0.1) == []
    levels = list(NAMED_BACKGROUNDS.values())
    assert named(cameras, [0, 2])[:, 0, 0].tolist() == [[levels[0]] * 3, [levels[2]] * 3]
    assert math.isclose(levels[0], 1)
