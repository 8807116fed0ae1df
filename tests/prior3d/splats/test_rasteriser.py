"""Splats are drawn as a dense loop draws them, by each of the ways, and their gradients are those of differences."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.splats import kernels
from prior3d.splats.kernels import composite_loops, median_depth_loops
from prior3d.splats.model import NAMES, real_harmonics
from prior3d.splats.pairs import composite_pairs, median_depth_pairs
from prior3d.splats.projection import project
from prior3d.splats.projection_loops import project_loops
from prior3d.splats.render import render_splats
from tests.gaussian_splats import draw_densely, some_splats

HEIGHT, WIDTH = 40, 56
WAYS = [pytest.param(composite_loops, marks=pytest.mark.skipif(not kernels.available(), reason="needs numba")),
        composite_pairs]  # fmt: skip


def camera(height=HEIGHT, width=WIDTH):
    return orbit_cameras(ring(1, elevation_deg=20.0), height, width)


def weighed(splats, composite, projected=project):
    """An image, its opacity, and the gradients of a random sum of both."""
    splats.zero_grad()
    colours, opacity = composite(projected(splats, camera()), HEIGHT, WIDTH)
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(HEIGHT, WIDTH, 4, generator=generator)
    (colours * weights[..., :3]).sum().add((opacity * weights[..., 3]).sum()).backward()
    return colours.detach(), opacity.detach(), {name: getattr(splats, name).grad.clone() for name in NAMES}


@pytest.mark.parametrize("composite", WAYS)
@pytest.mark.parametrize("size", [0.02, 0.1, 0.4])
def test_every_way_draws_what_the_dense_loop_draws(composite, size):
    splats = some_splats(size=size)
    colours, opacity, gradients = weighed(splats, composite)
    dense_colours, dense_opacity, dense_gradients = weighed(splats, draw_densely)
    assert (opacity > 0.05).any(), "something is seen"
    assert (colours - dense_colours).abs().max() < 1e-5 and (opacity - dense_opacity).abs().max() < 1e-5
    for name in NAMES:
        largest = dense_gradients[name].abs().max()
        assert largest > 0 and (gradients[name] - dense_gradients[name]).abs().max() < 1e-4 * largest, name


@pytest.mark.skipif(not kernels.available(), reason="needs numba")
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_the_loops_project_as_torch_does(degree):
    """Values and gradients, also beyond the image's edge and behind the camera."""
    splats, view, found = some_splats(n=200, degree=degree), camera(), []
    with torch.no_grad():
        splats.means[:30] = view.positions[0] * torch.linspace(0.6, 3.0, 30)[:, None]
        splats.means[:30] += 0.2 * torch.randn(30, 3, generator=torch.Generator().manual_seed(2))
        splats.means[30:60] *= 3
    for way in (project, project_loops):
        splats.zero_grad()
        seen, generator, total = way(splats, view), torch.Generator().manual_seed(1), 0.0
        shown = seen.opacities > 0
        for values in (seen.centres, seen.conics, seen.opacities, seen.colours):
            total = total + (values * torch.randn(values.shape, generator=generator))[shown].sum()
        total.backward()
        parts = [
            getattr(seen, name)[shown].detach() for name in ("centres", "conics", "variances", "opacities", "colours")
        ]
        trained = [name for name in NAMES if getattr(splats, name).requires_grad]
        assert (set(NAMES) - set(trained)) == (set() if degree else {"shN"})
        found.append((seen.depths.detach(), parts, [getattr(splats, name).grad.clone() for name in trained], shown))
    (depths, values, gradients, shown), (depths_too, values_too, gradients_too, shown_too) = found
    assert torch.equal(shown, shown_too) and 0 < int((~shown).sum()) < 30
    assert torch.allclose(depths, depths_too, atol=1e-6)
    for one, other in zip(values, values_too, strict=True):
        assert ((one - other).abs() / (one.abs() + 0.01)).max() < 1e-4
    for one, other in zip(gradients, gradients_too, strict=True):
        assert (one - other).abs().max() < 1e-5 * one.abs().max()


def test_gradients_are_those_of_differences():
    """Of the whole chain, in double precision; no pixel lies at a cut."""
    splats = some_splats(n=5, size=0.3).double()
    given = [getattr(splats, name).detach().clone().requires_grad_() for name in NAMES]
    view = camera(6, 8)
    view = type(view)(view.c2w.double(), view.fov_deg.double(), 6, 8)

    def drawn(*tensors):
        found = torch.func.functional_call(
            _Drawn(splats, view), {f"splats.{n}": t for n, t in zip(NAMES, tensors, strict=True)}
        )
        return torch.cat([part.flatten() for part in found])

    assert torch.autograd.gradcheck(drawn, given, eps=1e-7, atol=1e-5)


class _Drawn(torch.nn.Module):
    def __init__(self, splats, view):
        super().__init__()
        self.splats, self.view = splats, view

    def forward(self):
        return composite_pairs(project(self.splats, self.view), self.view.height, self.view.width)


def test_what_is_nearer_hides_what_is_behind():
    splats = some_splats(n=2, degree=0, size=0.3)
    with torch.no_grad():
        toward = torch.nn.functional.normalize(camera().positions[0], dim=0)
        splats.means[0], splats.means[1] = 0.0, 0.5 * toward
        splats.scales.fill_(-1.0)
        splats.opacities.fill_(8.0)
        splats.sh0[0], splats.sh0[1] = torch.tensor([1.7, -1.7, -1.7]), torch.tensor([-1.7, -1.7, 1.7])
    seen = render_splats(splats, camera()).colours[HEIGHT // 2, WIDTH // 2]
    assert seen[2] > 0.9 and seen[0] < 0.05


def test_a_background_is_seen_where_nothing_is():
    splats, behind = some_splats(), torch.tensor([0.2, 0.4, 0.6])
    bare, over = render_splats(splats, camera()), render_splats(splats, camera(), behind)
    assert torch.allclose(over.colours, bare.colours + (1 - bare.opacity)[..., None] * behind)
    assert torch.allclose(over.colours[0, 0], behind, atol=1e-3)


@pytest.mark.parametrize("composite", WAYS)
def test_what_is_behind_the_camera_is_not_drawn_and_breaks_no_gradient(composite):
    splats = some_splats()
    with torch.no_grad():
        splats.means[:20] = camera().positions[0] * torch.linspace(1.0, 3.0, 20)[:, None]
        splats.quats[0] = 0
    _, _, gradients = weighed(splats, composite)
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert (gradients["sh0"][:20] == 0).all() and (gradients["sh0"][20:] != 0).any()


@pytest.mark.skipif(not kernels.available(), reason="needs numba")
def test_median_depths_of_both_ways_are_the_same():
    seen = project(some_splats(n=200, size=0.15), camera())
    by_loops, by_pairs = median_depth_loops(seen, HEIGHT, WIDTH), median_depth_pairs(seen, HEIGHT, WIDTH)
    assert torch.equal(by_loops, by_pairs) and (by_loops > 0).any() and (by_loops == 0).any()
    assert set(by_loops.unique().tolist()) <= {0.0, *seen.depths.tolist()}


def test_the_loops_give_the_same_bits_again():
    if not kernels.available():
        pytest.skip("needs numba")
    first, second = (weighed(some_splats(), composite_loops, project_loops) for _ in range(2))
    assert torch.equal(first[0], second[0]) and all(torch.equal(first[2][n], second[2][n]) for n in NAMES)


def test_harmonics_are_orthonormal():
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(200_000, 3, generator=generator), dim=-1)
    values = real_harmonics(directions, 3)
    products = 4 * torch.pi * values.T @ values / len(values)
    assert (products - torch.eye(16)).abs().max() < 0.03


def test_loops_refuse_what_they_cannot_draw(monkeypatch):
    seen = project(some_splats().to("meta"), camera().to("meta"))
    if kernels.available():
        with pytest.raises(Prior3dError, match="for the CPU, found splats on meta"):
            composite_loops(seen, HEIGHT, WIDTH)
    monkeypatch.setattr(kernels, "numba", None)
    with pytest.raises(Prior3dError, match="needs numba: pip install"):
        composite_loops(seen, HEIGHT, WIDTH)
