"""Trilinear lookup in grids and tables: readable references, and a path that is faster on the CPU."""

from typing import Any

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor


def sample_grid(
    grid: Float[Tensor, "z y x channels"], points: Float[Tensor, "points 3"]
) -> Float[Tensor, "points channels"]:
    """Interpolate a grid whose corner nodes lie on the corners of [-1, 1]^3; points outside are clamped to it.

    Args:
        grid: [z, y, x, channels], the same resolution along each axis.
        points: [n, 3] as (x, y, z).

    Returns:
        [n, channels], differentiable to the grid, and to the points where they require a gradient.
    """
    if grid.device.type == "cpu" and not points.requires_grad:
        resolution = grid.shape[0]
        rows, weights = corners((points + 1) * (0.5 * (resolution - 1)), resolution)
        return weighted_rows(grid.view(-1, grid.shape[3]), rows, weights)
    return sample_grid_reference(grid, points)


def sample_grid_reference(
    grid: Float[Tensor, "z y x channels"], points: Float[Tensor, "points 3"]
) -> Float[Tensor, "points channels"]:
    """`sample_grid` by torch's grid_sample: the path of every other device, and what the fast one is tested against."""
    volume = grid.permute(3, 0, 1, 2)[None]
    found = functional.grid_sample(
        volume, points.view(1, 1, 1, -1, 3), mode="bilinear", padding_mode="border", align_corners=True
    )
    return found.view(grid.shape[3], -1).T


def corners(
    places: Float[Tensor, "points 3"], resolution: int
) -> tuple[Int[Tensor, "points 8"], Float[Tensor, "points 8"]]:
    """The eight nodes round each point.

    Args:
        places: [n, 3] as (x, y, z) in units of cells, clamped to [0, resolution - 1].
        resolution: nodes along each axis.

    Returns:
        row (z resolution + y) resolution + x of each node, [n, 8] int64, and trilinear weights [n, 8], differentiable.
    """
    places = places.T.clamp(0, resolution - 1)
    low = places.detach().floor().clamp(max=resolution - 2)
    x, y, z = low.long()
    first = (z * resolution + y) * resolution + x
    plane, line = resolution * resolution, resolution
    steps = [0, 1, line, line + 1, plane, plane + 1, plane + line, plane + line + 1]
    rows = first[:, None] + torch.tensor(steps, device=places.device)
    (x_high, y_high, z_high), (x_low, y_low, z_low) = places - low, 1 - (places - low)
    yz = torch.stack([z_low * y_low, z_low * y_high, z_high * y_low, z_high * y_high])
    return rows, torch.stack([yz * x_low, yz * x_high], 1).view(8, -1).T.contiguous()  # faster than row by row


def weighted_rows(
    table: Float[Tensor, "entries channels"], rows: Int[Tensor, "points rows"], weights: Float[Tensor, "points rows"]
) -> Float[Tensor, "points channels"]:
    """Sum of rows of a table times weights.

    Args:
        table: [entries, channels].
        rows: [n, 8] int64.
        weights: [n, 8].

    Returns:
        [n, channels], differentiable to the table, and to the weights where they require a gradient.
    """
    if table.device.type == "cpu" and not weights.requires_grad:
        found: Tensor = _WeightedRowsOnCpu.apply(table, rows, weights)
        return found
    return weighted_rows_reference(table, rows, weights)


def weighted_rows_reference(
    table: Float[Tensor, "entries channels"], rows: Int[Tensor, "points rows"], weights: Float[Tensor, "points rows"]
) -> Float[Tensor, "points channels"]:
    """`weighted_rows` written out."""
    return (table[rows] * weights[..., None]).sum(1)


class _WeightedRowsOnCpu(torch.autograd.Function):
    """Bags of rows forward; backward scatters one channel at a time, some ten times faster than scattering rows."""

    @staticmethod
    def forward(
        ctx: Any,
        table: Float[Tensor, "entries channels"],
        rows: Int[Tensor, "points rows"],
        weights: Float[Tensor, "points rows"],
    ) -> Float[Tensor, "points channels"]:
        ctx.save_for_backward(rows, weights)
        ctx.entries = table.shape[0]
        return functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    def backward(
        ctx: Any, gradient: Float[Tensor, "points channels"]
    ) -> tuple[Float[Tensor, "entries channels"], None, None]:
        rows, weights = ctx.saved_tensors
        flat_rows = rows.flatten()
        columns = []
        for column in gradient.T.contiguous():
            parts = (weights * column[:, None]).flatten()
            columns.append(parts.new_zeros(ctx.entries).scatter_add_(0, flat_rows, parts))
        return torch.stack(columns, -1), None, None
