"""Regularisers against numbers computed by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prior3d.losses.regularisers import (
    distortion,
    normal_smoothness,
    opacity_entropy_bits,
    opacity_sparsity,
    orientation,
    ramp,
    total_variation,
)


def test_entropy_of_known_opacities():
    assert opacity_entropy_bits(torch.tensor([0.5, 0.5])).item() == pytest.approx(1.0)
    assert opacity_entropy_bits(torch.tensor(0.25)).item() == pytest.approx(0.25 * 2 + 0.75 * math.log2(4 / 3))
    assert opacity_entropy_bits(torch.tensor([0.0, 1.0])).item() == pytest.approx(0, abs=3e-4)


def test_entropy_pushes_both_ways_and_is_finite_at_the_ends():
    opacity = torch.tensor([0.0, 0.3, 0.7, 1.0], requires_grad=True)
    opacity_entropy_bits(opacity).backward()
    assert opacity.grad.isfinite().all() and opacity.grad[1] > 0 > opacity.grad[2]


def test_sparsity_of_known_opacities():
    assert opacity_sparsity(torch.tensor([0.0, 1.0])).item() == pytest.approx((0.1 + math.sqrt(1.01)) / 2)


def test_distortion_of_two_samples():
    """w = (.5, .25) in [0, 1] and [1, 3]: 2 * .125 * 1.5 between, (.25 * 1 + .0625 * 2) / 3 within."""
    weights, edges = torch.tensor([[0.5, 0.25]]), torch.tensor([[0.0, 1.0, 3.0]])
    assert distortion(weights, edges[..., :-1], edges[..., 1:]).item() == pytest.approx(0.375 + 0.125)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 1000))
@settings(deadline=None)
def test_distortion_is_the_double_sum(weights, seed):
    weights = torch.tensor(weights, dtype=torch.float64)
    edges = torch.rand(len(weights) + 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).cumsum(0)
    middles, widths = (edges[1:] + edges[:-1]) / 2, edges.diff()
    expected = (weights[:, None] * weights * (middles[:, None] - middles).abs()).sum() + (weights**2 * widths).sum() / 3
    torch.testing.assert_close(distortion(weights, edges[..., :-1], edges[..., 1:]), expected)


def test_orientation_counts_only_visible_normals_that_face_away():
    directions = torch.tensor([[0.0, 0, -1]]).expand(3, 3)
    normals = torch.tensor([[0.0, 0, 1], [0, 0.6, -0.8], [0, 0, -1]])
    loss = orientation(torch.tensor([1.0, 0.5, 0.0]), normals, directions)
    assert loss.item() == pytest.approx(0.5 * 0.64 / 3)


def test_flat_normals_are_smooth_and_an_edge_is_not():
    flat = torch.tensor([0.0, 0, 1]).expand(1, 12, 12, 3)
    assert normal_smoothness(flat).item() == pytest.approx(0, abs=1e-10)
    edge = flat.clone()
    edge[:, :, 6:] = torch.tensor([1.0, 0, 0])
    assert normal_smoothness(edge) > normal_smoothness(edge * 0.5) > 0.001


def test_ramp():
    assert [ramp(p, 0.5) for p in (0, 0.5, 0.75, 1)] == pytest.approx([0, 0, 0.5, 1])
    assert (ramp(0.49, 0.5, 0.5), ramp(0.5, 0.5, 0.5)) == (0, 1)


def test_total_variation_counts_crossings_of_the_surface_and_changes_of_colour():
    def half_space(points):
        """Dense for x < 0, and there red for y < 0 and green for y >= 0."""
        red = (points[:, 1] < 0).float()
        return 1e3 * (points[:, 0] < 0), torch.stack([red, 1 - red, torch.zeros_like(red)], -1)

    points = torch.tensor([[-0.05, 1.0, 0], [0.5, 0.05, 0], [-0.5, 0.05, 0], [-0.5, 0.5, 0]])
    offsets = torch.tensor([[0.1, 0, 0], [0, -0.1, 0], [0, -0.1, 0], [0, -0.1, 0]])
    each = [total_variation(half_space, p[None], o[None], 0.1).item() for p, o in zip(points, offsets, strict=True)]
    assert each == pytest.approx([1, 0, 2 / 3, 0])
    assert total_variation(half_space, points, offsets, 0.1).item() == pytest.approx(5 / 12)
