"""A texture's grain smoothed over the surface, edges between colours kept."""

import numpy as np
import torch

from prior3d.meshes.mesh import HERE, UvMesh
from prior3d.meshes.texture_smoothing import smooth_texture

SQUARE = UvMesh(
    np.array([[0, -1, -1], [0, 1, -1], [0, 1, 1], [0, -1, 1.0]]),
    np.array([[0, 1, 2], [0, 2, 3]]),
    np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]),
    np.array([[0, 1, 2], [0, 2, 3]]),
    HERE,
)


def grainy(size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """A left half of one colour beside a right half of another; clean, and with grain."""
    clean = torch.zeros(size, size, 3)
    clean[:, : size // 2, 0], clean[:, size // 2 :, 2] = 0.8, 0.8
    noise = torch.randn(size, size, 3, generator=torch.Generator().manual_seed(0))
    return clean, (clean + 0.05 * noise).clamp(0, 1)


def test_the_grain_goes_and_the_edge_stays():
    clean, texture = grainy()
    smooth = smooth_texture(SQUARE, texture, radius=0.1, edge=0.2)
    before, after = (((t - clean) ** 2).mean().sqrt() for t in (texture, smooth))
    assert after < 0.5 * before
    middle = texture.shape[1] // 2
    across = (smooth[:, middle - 1, 0] - smooth[:, middle, 0]).mean()
    assert across > 0.75  # of 0.8


def test_a_wide_edge_mixes_the_colours():
    _, texture = grainy()
    smooth = smooth_texture(SQUARE, texture, radius=0.1, edge=5.0)
    middle = texture.shape[1] // 2
    assert (smooth[:, middle - 1, 0] - smooth[:, middle, 0]).mean() < 0.4


def test_no_radius_changes_nothing():
    _, texture = grainy()
    assert torch.equal(smooth_texture(SQUARE, texture, radius=0.0, edge=0.2), texture)


def test_a_larger_texture_keeps_detail_that_is_finer_than_the_filter_sees():
    checks = torch.zeros(512, 512, 3)
    checks[::2, ::2] = 0.1
    checks[1::2, 1::2] = 0.1
    smooth = smooth_texture(SQUARE, checks, radius=0.1, edge=0.2)
    assert torch.allclose(smooth, checks, atol=0.01)
