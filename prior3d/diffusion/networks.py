"""Frozen networks: load one from local safetensors files, refuse what is not whole, pass through one in 16 bits.

A gradient of score distillation is so small that float16 would round most of it to zero on its way through an encoder.
`GradientScale` therefore carries it through the network at a scale of its own, as loss scaling does for a training
(Micikevicius et al. 2018, section 3.2), and divides it out behind the network in float32.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.diffusion.folders import weight_files
from prior3d.errors import Prior3dError
from prior3d.settings import Precision

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def load_network(network_class: Any, folder: Path, component: str, dtype: torch.dtype) -> Any:
    """Load, freeze and check one network; diffusers would fill missing weights with random ones, we refuse."""
    _, variant = weight_files(folder, component)
    options = {"dtype": dtype} if component == "text_encoder" else {"torch_dtype": dtype}
    try:
        with without_progress_bars():
            network, report = network_class.from_pretrained(
                str(folder),
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except Exception as error:  # diffusers and transformers raise many kinds on damaged files
        raise Prior3dError(f"prior component {folder}: cannot be loaded: {one_line(error)}") from error
    missing = sorted(name for name in report["missing_keys"] if not name.endswith("position_ids"))
    unexpected = sorted(name for name in report["unexpected_keys"] if not name.endswith("position_ids"))
    for problem, names in (("lack", missing), ("do not belong to it:", unexpected)):
        if names:
            raise Prior3dError(
                f"prior component {folder}: weights {problem} {names[0]} ({len(names)} such); config.json and the "
                "weights are from different models"
            )
    for name, tensor in network.named_parameters():
        if not torch.isfinite(tensor).all():
            raise Prior3dError(
                f"prior component {folder}: {name} holds values that are not finite; fetch or train it again"
            )
    return network.requires_grad_(False).eval()


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Transformers draws one for each network, which is over before it can be read."""
    from transformers.utils import logging  # seconds to import, and only loading needs it

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def one_line(error: Exception) -> str:
    """The first line of an error's text, for use inside another message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def dtype_of(precision: Precision) -> torch.dtype:
    """The type of a network's weights."""
    return DTYPES[precision]


class GradientScale:
    """Joins the way into a network of 16 bits with the way out of it: the gradient between them has the length 1.

    Use one object for one pass: `out_of(network(into(x)))`. In float32 and bfloat16, whose range is float32's, it
    changes types alone.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """Take the network's type."""
        self.dtype = dtype
        self.scale: Float[Tensor, ""] | None = None

    def into(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """float32 to the network's type; the gradient is divided by the scale on its way back."""
        if self.dtype is not torch.float16:
            return values.to(self.dtype)
        entered: Tensor = _Into.apply(values, self)
        return entered

    def out_of(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The network's type to float32; the gradient is multiplied by a scale that makes its largest entry 1."""
        if self.dtype is not torch.float16:
            return values.float()
        left: Tensor = _OutOf.apply(values, self)
        return left


class _Into(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, owner: GradientScale) -> Tensor:
        ctx.owner = owner
        return values.to(owner.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        assert ctx.owner.scale is not None, "into and out_of belong to one pass"
        return gradients[0].float() / ctx.owner.scale, None


class _OutOf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, owner: GradientScale) -> Tensor:
        ctx.owner = owner
        return values.float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ctx.owner.scale = 1 / gradients[0].abs().amax().clamp_min(1e-30)
        return (gradients[0] * ctx.owner.scale).to(ctx.owner.dtype), None
