"""Lookup in a tiled grid: the path that keeps only points, and the Triton kernels in Triton's interpreter."""

import importlib
import subprocess
import sys

import pytest
import torch

from prior3d.fields.grids import TiledGrid
from prior3d.fields.tiled import TiledLookup, tiled_lookup, tiled_lookup_reference

GRID = TiledGrid(levels=5, base=4, finest=64, log2_entries=10)  # two levels with a row a node, three with fewer
KERNELS = """
import torch
from prior3d.fields import tiled_kernels
from tests.prior3d.fields.test_tiled import GRID, drawn, reference
points, tables, gradient = drawn(300)
assert tiled_kernels.fits(tables, GRID.cells)
assert not tiled_kernels.fits([table[:-1] for table in tables], GRID.cells)
wanted, sums = reference(points, tables, gradient)
torch.testing.assert_close(tiled_kernels.forward(points, tables, GRID.cells), wanted, rtol=1e-5, atol=1e-6)
found = [torch.zeros_like(table) for table in tables]
tiled_kernels.backward(points, gradient, found, GRID.cells)
for one, other in zip(found, sums, strict=True):
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
print("same")
"""
COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from prior3d.fields import tiled_kernels as kernels
for kernel, last in ((kernels._look_up, "out"), (kernels._add, "gradient")):
    kinds = dict.fromkeys(("addresses", "cells", "masks"), "*i64") | {"points": "*fp32", last: "*fp32"}
    kinds |= {"n_points": "i32", "n_channels": "i32", "BLOCK": "constexpr"}
    order = {name: kinds[name] for name in kernel.arg_names}
    made = triton.compile(ASTSource(kernel, order, {"BLOCK": kernels.BLOCK}), target=GPUTarget("cuda", 80, 32))
    assert made.asm["cubin"]
print("compiled")
"""


def drawn(n):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand((n, 3), generator=generator) * 2.4 - 1.2  # some are outside, and clamped
    points[:2] = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    tables = [torch.rand((rows, GRID.features), generator=generator) for rows in GRID.rows]
    return points, tables, torch.randn((n, GRID.levels * GRID.features), generator=generator)


def reference(points, tables, gradient):
    leaves = [table.clone().requires_grad_() for table in tables]
    found = tiled_lookup_reference(points, leaves, GRID.cells)
    found.backward(gradient)
    return found.detach(), [leaf.grad for leaf in leaves]


def test_keeping_only_points_gives_the_same_values_and_gradients():
    points, tables, gradient = drawn(500)
    wanted, sums = reference(points, tables, gradient)
    leaves, kept = [table.clone().requires_grad_() for table in tables], []

    def pack(tensor):
        kept.append(tensor.untyped_storage().nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = TiledLookup.apply(points, tuple(GRID.cells), *leaves)
    assert sum(kept) == 12 * len(points)
    found.backward(gradient)
    assert torch.equal(found, wanted)
    for leaf, total in zip(leaves, sums, strict=True):
        torch.testing.assert_close(leaf.grad, total, rtol=1e-5, atol=1e-6)


def test_points_with_a_gradient_take_the_reference():
    points, tables, gradient = drawn(20)
    points.requires_grad_()
    tiled_lookup(points, tables, GRID.cells).backward(gradient)
    assert points.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("script", "said"), [(KERNELS, "same"), (COMPILE, "compiled")], ids=["interpreted", "compiled"]
)
def test_triton_kernels(script, said, monkeypatch):
    """In a process of its own: Triton decides at its import whether it interprets."""
    pytest.importorskip("triton")
    if said == "same":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.split() == [said], done.stderr[-2000:]


def test_kernels_are_asked_for_only_where_triton_is(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    module = importlib.import_module("prior3d.fields.tiled")
    module.fused_kernels.cache_clear()
    assert module.fused_kernels() is None
    module.fused_kernels.cache_clear()
