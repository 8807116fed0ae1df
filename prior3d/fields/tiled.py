"""Lookup in all levels of a tiled grid at once: a readable reference, and a path that keeps only the points.

The reference keeps rows and weights of every level for the backward pass, 2 kB a point. The other path finds them again
there: 12 bytes a point. On CUDA each of its passes is one kernel (`prior3d.fields.tiled_kernels`), whose floor is
memory: a point reads 8 corners x 16 levels x 2 numbers, 1 kB forward, and adds as many backward. On the CPU the
reference stays: it does not find rows again.
"""

import functools
import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.fields.trilinear import corners, weighted_rows


def tiled_lookup(
    points: Float[Tensor, "points 3"], tables: Sequence[Float[Tensor, "_ features"]], cells: Sequence[int]
) -> Float[Tensor, "points channels"]:
    """Features of points, level after level; differentiable to tables, and to points where they require a gradient.

    Args:
        points: [n, 3] in [-1, 1], clamped to it.
        tables: of each level, [rows, features]; node number k of a level has row k modulo its rows.
        cells: along an axis, of each level.
    """
    if points.requires_grad or points.device.type != "cuda":
        return tiled_lookup_reference(points, tables, cells)
    found: Tensor = TiledLookup.apply(points, tuple(cells), *tables)
    return found


def tiled_lookup_reference(
    points: Float[Tensor, "points 3"], tables: Sequence[Float[Tensor, "_ features"]], cells: Sequence[int]
) -> Float[Tensor, "points channels"]:
    """`tiled_lookup` written out."""
    features = []
    for n_cells, table in zip(cells, tables, strict=True):
        rows, weights = corners((points + 1) * (0.5 * n_cells), n_cells + 1)
        features.append(weighted_rows(table, rows % table.shape[0], weights))
    return torch.cat(features, -1)


class TiledLookup(torch.autograd.Function):
    """The path that keeps only the points, on any device."""

    @staticmethod
    def forward(
        ctx: Any, points: Float[Tensor, "points 3"], cells: tuple[int, ...], *tables: Float[Tensor, "_ features"]
    ) -> Float[Tensor, "points channels"]:
        """The features; by one kernel where there is one."""
        ctx.save_for_backward(points)
        kernels = fused_kernels() if points.device.type == "cuda" else None
        ctx.kernels = kernels if kernels is not None and kernels.fits(tables, cells) else None
        ctx.cells, ctx.shapes = cells, [table.shape for table in tables]
        if ctx.kernels is None:
            return tiled_lookup_reference(points, tables, cells)
        looked_up: Tensor = ctx.kernels.forward(points.contiguous(), tables, cells)
        return looked_up

    @staticmethod
    def backward(
        ctx: Any, gradient: Float[Tensor, "points channels"]
    ) -> tuple[Float[Tensor, "rows features"] | None, ...]:
        """What each table's rows get: rows and weights are found again."""
        (points,) = ctx.saved_tensors
        sums = [gradient.new_zeros(shape) for shape in ctx.shapes]
        if ctx.kernels is not None:
            ctx.kernels.backward(points.contiguous(), gradient.contiguous(), sums, ctx.cells)
            return None, None, *sums
        first = 0
        for n_cells, total in zip(ctx.cells, sums, strict=True):
            rows, weights = corners((points + 1) * (0.5 * n_cells), n_cells + 1)
            rows = (rows % len(total)).flatten()
            for channel in range(total.shape[1]):  # far faster on the CPU than scattering rows
                parts = (weights * gradient[:, first + channel, None]).flatten()
                total[:, channel] = torch.zeros_like(total[:, channel]).scatter_add_(0, rows, parts)
            first += total.shape[1]
        return None, None, *sums


@functools.cache
def fused_kernels() -> Any:
    """The module with the kernels; None without Triton, which comes with PyTorch's wheels for CUDA."""
    if importlib.util.find_spec("triton") is None:
        return None
    return importlib.import_module("prior3d.fields.tiled_kernels")
