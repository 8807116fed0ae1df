import math
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prior3d.cameras import OrbitRange, orbit_cameras, ring, sample_orbit
from prior3d.fields import FieldConfig, ObjectField
from prior3d.rendering import composite, near_far, over, rays, render, render_without_gradient, sample_distances
from prior3d.rendering.volume import composite_reference


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Fog:
    """Constant density and colour in a ball of radius 0.5."""

    sigma: float
    config: FieldConfig = field(default_factory=lambda: FieldConfig(ball_radius=0.5))

    def __call__(self, points):
        inside = points.square().sum(-1) <= 0.25 + 1e-6
        return self.sigma * inside, torch.tensor([1.0, 0.5, 0.0]).expand(len(points), 3)

    def density(self, points):
        return self(points)[0]

    def parameters(self):
        return iter(())


def test_rays_of_one_pixel_and_of_the_top_left_corner():
    cameras = orbit_cameras(ring(1, 0, 2, 90), 1, 1)
    origins, directions = rays(cameras)
    torch.testing.assert_close(origins[0, 0, 0], torch.tensor([2.0, 0, 0]))
    torch.testing.assert_close(directions[0, 0, 0], torch.tensor([-1.0, 0, 0]), atol=1e-6, rtol=0)
    # 2x2 pixels, 90 degrees: focal 1 pixel, centres half a pixel off; the left of a camera on +x is world -y.
    _, directions = rays(cameras.resized(2, 2))
    expected = torch.tensor([-1.0, -0.5, 0.5]) / math.sqrt(1.5)
    torch.testing.assert_close(directions[0, 0, 0], expected, atol=1e-6, rtol=0)


def test_near_and_far_of_box_ball_inside_and_miss():
    origins = torch.tensor([[3.0, 0, 0], [3.0, 0, 0], [0.0, 0, 0], [3.0, 2, 0], [3.0, 0, 0]])
    directions = torch.tensor([[-1.0, 0, 0], [-1.0, 0, 0], [0.0, 0, 1], [-1.0, 0, 0], [1.0, 0, 0]])
    near, far = near_far(origins, directions, bound=1.0, ball_radius=5.0)
    torch.testing.assert_close(near, torch.tensor([2.0, 2, 0, 0, 0]))
    torch.testing.assert_close(far, torch.tensor([4.0, 4, 1, 0, 0]))
    near, far = near_far(origins[:1], directions[:1], bound=1.0, ball_radius=0.5)
    assert (near.item(), far.item()) == (2.5, 3.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(0, 1000), st.booleans())
def test_samples_tile_the_ray(n_samples, seed, stratified):
    near, far = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 3.0])
    starts, ends = sample_distances(near, far, n_samples, generator(seed) if stratified else None)
    assert (ends >= starts).all()
    assert torch.equal(starts[:, 1:], ends[:, :-1])
    assert torch.equal(starts[:, 0], near) and torch.equal(ends[:, -1], far)


def test_two_samples_by_hand():
    starts, ends = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 2.0]])
    density = torch.tensor([[math.log(2), math.log(4)]])  # lets 1/2, then 1/4 through
    features = torch.tensor([[[1.0], [10.0]]])
    found = composite(starts, ends, density, features, background=torch.tensor([[100.0]]))
    torch.testing.assert_close(found.weights, torch.tensor([[0.5, 0.375]]))
    assert found.opacity.item() == pytest.approx(0.875)
    assert found.features.item() == pytest.approx(0.5 + 3.75 + 12.5)
    assert found.depth.item() == pytest.approx((0.5 * 0.5 + 0.375 * 1.5) / 0.875)


def test_nerfacc_and_reference_agree_in_values_and_gradients():
    starts, ends = sample_distances(torch.rand(20, generator=generator()), torch.full((20,), 3.0), 16, generator(1))
    density = torch.rand(20, 16, generator=generator(2)) * 5
    features, background = torch.rand(20, 16, 4, generator=generator(3)), torch.rand(20, 4, generator=generator(4))
    results = []
    for function in (composite, composite_reference):
        inputs = [density.clone().requires_grad_(), features.clone().requires_grad_()]
        found = function(starts, ends, *inputs, background)
        (found.features.square().sum() + found.depth.sum() + found.opacity.square().sum()).backward()
        results.append([found.features, found.depth, found.opacity, found.weights, *(x.grad for x in inputs)])
    for fast, slow in zip(*results, strict=True):
        torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1e4))
def test_weights_are_shares_of_the_light(seed, scale):
    density = torch.rand(4, 12, generator=generator(seed)) * scale
    starts, ends = sample_distances(torch.zeros(4), torch.ones(4), 12, generator(seed))
    found = composite(starts, ends, density, torch.rand(4, 12, 3, generator=generator(seed)))
    assert (found.weights >= 0).all()
    assert (found.opacity <= 1 + 1e-5).all()
    through = torch.exp(-(density * (ends - starts)).sum(-1))  # Beer-Lambert, whatever the cutting
    torch.testing.assert_close(1 - found.opacity, through, atol=1e-5, rtol=1e-4)


def test_fog_follows_beer_lambert_and_is_centred():
    cameras = orbit_cameras(ring(1, 0, 2), 1, 1)
    found = render(Fog(2.0), cameras, 64)
    assert found.opacity.item() == pytest.approx(1 - math.exp(-2.0), rel=1e-4)
    torch.testing.assert_close(found.features[0, 0, 0], torch.tensor([1.0, 0.5, 0]) * found.opacity.item())
    assert 1.5 < found.depth.item() < 2.0


def test_background_shows_where_there_is_nothing():
    cameras = orbit_cameras(ring(2), 9, 9)
    background = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    found = render(Fog(50.0), cameras, 32, background=background)
    torch.testing.assert_close(found.features[:, 0, 0], background)
    assert found.opacity[0, 0, 0] == 0 and found.depth[0, 0, 0] == 0
    torch.testing.assert_close(found.features[:, 4, 4], torch.tensor([[1.0, 0.5, 0]]).repeat(2, 1))
    picture = background[:, None, None].expand(2, 9, 9, 3)
    torch.testing.assert_close(over(render(Fog(50.0), cameras, 32), picture).features, found.features)


def test_pictures_in_pieces_are_the_same_pictures():
    field = ObjectField(FieldConfig(), generator())
    cameras = orbit_cameras(ring(2), 12, 10)
    features, opacity, depth = render_without_gradient(field, cameras, 16, torch.ones(4), rays_at_once=77)
    whole = render(field, cameras, 16, background=torch.ones(2, 4))
    torch.testing.assert_close(features, whole.features)
    torch.testing.assert_close(opacity, whole.opacity)
    torch.testing.assert_close(depth, whole.depth)


def test_stratified_rendering_depends_on_its_generator_only_and_gives_gradients():
    cameras = orbit_cameras(sample_orbit(OrbitRange(), 2, generator()), 6, 6)
    gradients = []
    for _ in range(2):
        field = ObjectField(FieldConfig(), generator())
        render(field, cameras, 12, generator(9)).features.square().sum().backward()
        gradients.append([grid.grad for grid in field.encoding.grids])
    assert all(torch.equal(*pair) and pair[0].abs().sum() > 0 for pair in zip(*gradients, strict=True))
