"""A LoRA on the attention of a frozen U-Net that is there only while it is asked for (Hu et al. 2022).

A frozen weight W becomes W + B A with A: rank x in, B: out x rank, B = 0 at the start. Nothing of the U-Net is changed
or copied: hooks add B A x behind the layers of its attention, and are taken off again, so one network in memory is both
the prior and what learns beside it. Where the U-Net knows no cameras, a layer adds a camera to its time embedding.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.diffusion.camera_embedding import CAMERA_DIM
from prior3d.errors import Prior3dError

ADAPTED = ("to_q", "to_k", "to_v", "to_out.0")  # the linear layers of diffusers' attention


class LowRank(nn.Module):
    """Low-rank changes of a U-Net's attention, in float32 whatever the U-Net's precision is.

    Args:
        unet: a diffusers U-Net; it stays as it is.
        rank: of the changes.
        generator: starts them, on the CPU.
        poses: add cameras to the time embedding.

    Raises:
        Prior3dError: the U-Net has no attention.
    """

    def __init__(self, unet: Any, rank: int, generator: torch.Generator, poses: bool) -> None:
        super().__init__()
        layers = [m for name, m in unet.named_modules() if name.endswith(ADAPTED) and isinstance(m, nn.Linear)]
        if not layers:
            raise Prior3dError(
                "loss vsd: this prior's U-Net has no attention whose layers a LoRA could change; take another loss"
            )
        self._layers, device = [(layer,) for layer in layers], layers[0].weight.device  # tuples: not submodules
        self.down = nn.ParameterList(
            (torch.randn(rank, layer.in_features, generator=generator) / rank).to(device) for layer in layers
        )
        self.up = nn.ParameterList(torch.zeros(layer.out_features, rank, device=device) for layer in layers)
        self._time = (unet.time_embedding,)
        width = unet.time_embedding.linear_2.out_features
        self.pose = nn.Parameter(torch.zeros(width, CAMERA_DIM, device=device)) if poses else None

    @contextlib.contextmanager
    def active(self, pose: Float[Tensor, "views 16"]) -> Iterator[None]:
        """The U-Net is the adapted one within this context; `pose` are the cameras of the views in its batch."""
        hooks = [
            layer.register_forward_hook(_added(down, up))
            for (layer,), down, up in zip(self._layers, self.down, self.up, strict=True)
        ]
        if self.pose is not None:
            hooks.append(self._time[0].register_forward_hook(_shifted(pose.to(self.pose.device) @ self.pose.T)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _added(down: Tensor, up: Tensor) -> Any:
    """A hook that adds up(down(x)) to a layer's output."""

    def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        change: Tensor = inputs[0].float() @ down.T @ up.T
        return output + change.to(output.dtype)

    return hook


def _shifted(by: Tensor) -> Any:
    """A hook that adds a vector for each view to an output."""

    def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return output + by.to(output.dtype)

    return hook
