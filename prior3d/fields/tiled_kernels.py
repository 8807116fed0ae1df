"""Lookup in a tiled grid as Triton kernels: one program a block of points and a level.

Only `prior3d.fields.tiled` imports this, where Triton is. Tables are parameters of their own, so a kernel gets their
addresses. A table has a row for every node of its level, or a power of two of them: then the lowest bits of a node's
number are its row, which saves a division of 64 bits.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

BLOCK = 256
EVERY_NODE = 2**62 - 1  # a mask that changes no number of a node


def fits(tables: Sequence[Float[Tensor, "_ features"]], cells: Sequence[int]) -> bool:
    """Whether the kernels can read these tables."""
    return all(
        table.dtype == torch.float32
        and table.is_contiguous()
        and table.shape[1] == 2
        and (len(table) == (n + 1) ** 3 or (len(table) < (n + 1) ** 3 and len(table).bit_count() == 1))
        for table, n in zip(tables, cells, strict=True)
    )


@triton.jit
def _place(points, at, inside, n_cells):
    """Lowest node and the distance to it along one axis, in cells."""
    x = tl.load(points + at, mask=inside, other=0.0)
    x = (x + 1.0) * (0.5 * n_cells)
    x = tl.minimum(tl.maximum(x, 0.0), n_cells * 1.0)
    low = tl.minimum(tl.floor(x), n_cells - 1.0)
    return low.to(tl.int64), x - low


@triton.jit
def _look_up(points, addresses, cells, masks, out, n_points, n_channels, BLOCK: tl.constexpr):
    """Sum of the eight corners' values times their weights."""
    level = tl.program_id(1)
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = point < n_points
    n_cells, mask = tl.load(cells + level), tl.load(masks + level)
    table = tl.load(addresses + level).to(tl.pointer_type(tl.float32))
    x, x_high = _place(points, 3 * point, inside, n_cells)
    y, y_high = _place(points, 3 * point + 1, inside, n_cells)
    z, z_high = _place(points, 3 * point + 2, inside, n_cells)
    first = tl.zeros([BLOCK], tl.float32)
    second = tl.zeros([BLOCK], tl.float32)
    for corner in tl.static_range(8):
        dx, dy, dz = corner % 2, corner // 2 % 2, corner // 4
        node = ((z + dz) * (n_cells + 1) + y + dy) * (n_cells + 1) + x + dx
        row = 2 * (node & mask)
        weight = tl.where(dx == 1, x_high, 1.0 - x_high) * tl.where(dy == 1, y_high, 1.0 - y_high)
        weight = weight * tl.where(dz == 1, z_high, 1.0 - z_high)
        first += weight * tl.load(table + row, mask=inside, other=0.0)
        second += weight * tl.load(table + row + 1, mask=inside, other=0.0)
    place = out + point * n_channels + 2 * level
    tl.store(place, first, mask=inside)
    tl.store(place + 1, second, mask=inside)


@triton.jit
def _add(points, addresses, cells, masks, gradient, n_points, n_channels, BLOCK: tl.constexpr):
    """Add the gradient times the weights to the eight corners' rows."""
    level = tl.program_id(1)
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = point < n_points
    n_cells, mask = tl.load(cells + level), tl.load(masks + level)
    table = tl.load(addresses + level).to(tl.pointer_type(tl.float32))
    x, x_high = _place(points, 3 * point, inside, n_cells)
    y, y_high = _place(points, 3 * point + 1, inside, n_cells)
    z, z_high = _place(points, 3 * point + 2, inside, n_cells)
    place = gradient + point * n_channels + 2 * level
    first = tl.load(place, mask=inside, other=0.0)
    second = tl.load(place + 1, mask=inside, other=0.0)
    for corner in tl.static_range(8):
        dx, dy, dz = corner % 2, corner // 2 % 2, corner // 4
        node = ((z + dz) * (n_cells + 1) + y + dy) * (n_cells + 1) + x + dx
        row = 2 * (node & mask)
        weight = tl.where(dx == 1, x_high, 1.0 - x_high) * tl.where(dy == 1, y_high, 1.0 - y_high)
        weight = weight * tl.where(dz == 1, z_high, 1.0 - z_high)
        tl.atomic_add(table + row, weight * first, mask=inside)
        tl.atomic_add(table + row + 1, weight * second, mask=inside)


def forward(
    points: Float[Tensor, "n 3"], tables: Sequence[Float[Tensor, "_ 2"]], cells: Sequence[int]
) -> Float[Tensor, "n features"]:
    """Features [n, 2 levels] of points [n, 3] in [-1, 1]; tables [rows, 2], float32 and contiguous."""
    out = points.new_empty(len(points), 2 * len(tables))
    _launch(_look_up, points, tables, cells, out)
    return out


def backward(
    points: Float[Tensor, "n 3"],
    gradient: Float[Tensor, "n features"],
    sums: Sequence[Float[Tensor, "_ 2"]],
    cells: Sequence[int],
) -> None:
    """Add a gradient [n, 2 levels] to what the tables' rows get."""
    _launch(_add, points, sums, cells, gradient)


def _launch(kernel: Any, points: Tensor, tables: Sequence[Tensor], cells: Sequence[int], values: Tensor) -> None:
    if len(points) == 0:
        return
    masks = [
        len(table) - 1 if len(table) < (n + 1) ** 3 else EVERY_NODE for table, n in zip(tables, cells, strict=True)
    ]
    facts = [[table.data_ptr() for table in tables], list(cells), masks]
    addresses, n_cells, nodes = torch.tensor(facts, dtype=torch.int64).to(points.device, non_blocking=True)
    grid = (triton.cdiv(len(points), BLOCK), len(tables))
    kernel[grid](points, addresses, n_cells, nodes, values, len(points), values.shape[1], BLOCK=BLOCK)
