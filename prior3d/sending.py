"""Tensors on their way to a GPU, which must not stop for them."""

import torch
from jaxtyping import Shaped
from torch import Tensor


def sent(values: Shaped[Tensor, "*shape"], to: torch.device | str | Shaped[Tensor, "..."]) -> Shaped[Tensor, "*shape"]:
    """`values.to(to)` without waiting for a GPU to finish its work before them.

    Only towards a GPU: pageable memory is copied aside before this returns, so that it may change afterwards.
    """
    return values.to(to, non_blocking=True)
