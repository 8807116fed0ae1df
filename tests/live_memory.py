"""Bytes that a computation holds at most, counted on the meta device, which has no memory of its own."""

import weakref

import torch
import torch.nn.functional as functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Counts the storages that operations make while they are alive, as an allocator would.

    Attributes:
        now: bytes alive.
        peak: the most there were.
    """

    def __init__(self):
        super().__init__()
        self.now, self.peak, self.known = 0, 0, weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage() not in self.known:
                storage = tensor.untyped_storage()
                self.known.add(storage)
                weakref.finalize(storage, self.freed, storage.nbytes())
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
        return out

    def freed(self, n_bytes):
        self.now -= n_bytes


class FlashAttention(torch.autograd.Function):
    """What attention keeps on a GPU: queries, keys, values, the result; no matrix of all pairs."""

    @staticmethod
    def forward(ctx, q, k, v):
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, out, torch.empty(q.shape[:3], dtype=torch.float32, device=q.device))
        return out

    @staticmethod
    def backward(ctx, gradient):
        q, k, v, *_ = ctx.saved_tensors
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def flash_attention(monkeypatch):
    """Let every attention on the meta device keep as much as on a GPU."""
    monkeypatch.setattr(
        functional,
        "scaled_dot_product_attention",
        lambda query, key, value, **_: FlashAttention.apply(query, key, value),
    )
