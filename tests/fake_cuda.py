"""A stand-in for CUDA graphs on the CPU: what is captured is a tape of operations on tensors at fixed places."""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


class Tape(TorchDispatchMode):
    """Records operations with their tensors, as a CUDA graph records kernels with their addresses."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result


class FakeGraph:
    """torch.cuda.CUDAGraph: `replay` runs the tape again, on the same tensors."""

    n_captured = 0

    def __init__(self):
        self.tape = Tape()
        self.n_replays = 0

    def pool(self):
        return "pool"

    @torch.no_grad()
    def replay(self):
        self.n_replays += 1
        for func, args, kwargs, result in self.tape.operations:
            again = func(*args, **kwargs)
            for place, value in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                if isinstance(place, torch.Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)


class OnePass(torch.autograd.Function):
    """A graphed callable: one place for its input, so a second pass before the backward pass of the first spoils it."""

    @staticmethod
    def forward(ctx, images, owner):
        ctx.owner = owner
        owner["input"].copy_(images)
        with torch.no_grad():
            owner["output"].copy_(owner["call"](owner["input"]))
        return owner["output"].detach()

    @staticmethod
    def backward(ctx, gradient):
        images = ctx.owner["input"].detach().clone().requires_grad_()
        with torch.enable_grad():
            (found,) = torch.autograd.grad(ctx.owner["call"](images), images, gradient)
        return found, None


def graphed(call, sample):
    with torch.no_grad():
        owner = {"call": call, "input": sample[0].detach().clone(), "output": call(sample[0]).detach().clone()}
    return lambda images: OnePass.apply(images, owner)


class FakeStream:
    def wait_stream(self, other):
        assert isinstance(other, FakeStream)


@contextlib.contextmanager
def fake_capture(graph, pool=None):
    FakeGraph.n_captured += 1
    with graph.tape:
        yield


def fake_graphs(monkeypatch):
    """Let torch.cuda's graphs, streams and graphed callables work without CUDA."""
    monkeypatch.setattr(FakeGraph, "n_captured", 0)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", fake_capture)
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
