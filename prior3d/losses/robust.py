"""Losses of rays' colours; most count large errors linearly, so that a few wrong pixels do not outweigh all others."""

import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

KNEE = 0.1  # error at which the losses turn from quadratic to linear, in units of colour


def charbonnier(error: Float[Tensor, "*values"], knee: float = KNEE) -> Float[Tensor, "*values"]:
    """Charbonnier's smooth loss of each error e: knee (√(1 + (e / knee)²) - 1); slope 1 far above the knee."""
    return ((1 + (error / knee).square()).sqrt() - 1) * knee


def charbonnier_loss(
    rendered: Float[Tensor, "rays channels"], target: Float[Tensor, "rays channels"], weights: Float[Tensor, "rays"]
) -> Float[Tensor, ""]:
    """Mean over rays of weight times Charbonnier's loss of the colours."""
    return (weights * charbonnier(rendered - target).mean(-1)).mean()


def huber_loss(
    rendered: Float[Tensor, "rays channels"], target: Float[Tensor, "rays channels"], weights: Float[Tensor, "rays"]
) -> Float[Tensor, ""]:
    """Mean of Huber's loss of the weighted errors, divided by the knee: slope 1 above it."""
    scale = weights[:, None]
    return functional.huber_loss(rendered * scale, target * scale, delta=KNEE) / KNEE


def squared_loss(
    rendered: Float[Tensor, "rays channels"], target: Float[Tensor, "rays channels"], weights: Float[Tensor, "rays"]
) -> Float[Tensor, ""]:
    """Mean over rays of weight times the squared error of the colours."""
    return (weights * (rendered - target).square().mean(-1)).mean()


def absolute_loss(
    rendered: Float[Tensor, "rays channels"], target: Float[Tensor, "rays channels"], weights: Float[Tensor, "rays"]
) -> Float[Tensor, ""]:
    """Mean over rays of weight times the absolute error of the colours."""
    return (weights * (rendered - target).abs().mean(-1)).mean()
