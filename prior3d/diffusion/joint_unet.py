"""The network of joint-view priors: diffusers' UNet2DConditionModel, whose self-attention spans the frames of a set.

A set is frames drawn together: posed views of one object. Attention over all of a set's frames is MVDream's (Shi et
al. 2023, section 3.1); given frames among them, and a ray a pixel as input, are CAT3D's (Gao et al. 2024, section 3).
"""

import functools
from typing import Any

import torch
import torch.nn.functional as functional
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.errors import Prior3dError

HEAD_WIDTH = 16  # of the joint blocks: attention pads what is no multiple of 8

UNET: Any = UNet2DConditionModel  # what diffusers tells type checkers is a stand-in without its methods
Sizes = tuple[tuple[int, int], ...]  # (sets, frames of each), in the order of the frames in a batch


class Layout:
    """How the frames of the batch that a network is computing fall into sets; shared by the parts of one network."""

    def __init__(self) -> None:
        """Know no sets yet."""
        self.sizes: Sizes = ()

    def hold(self, sizes: Sizes, frames: int) -> None:
        """Take the sets of a batch.

        Raises:
            Prior3dError: they are not the batch's frames.
        """
        wanted = sum(sets * each for sets, each in sizes)
        if wanted != frames:
            raise Prior3dError(f"joint views: the sets {sizes} hold {wanted} frames, but the batch has {frames}")
        self.sizes = sizes

    def together(self, frames: Float[Tensor, "frames tokens width"]) -> list[Float[Tensor, "_ _ width"]]:
        """The tokens of each set's frames in one row; a tensor for each group of sets of one size."""
        rows = frames.split([sets * each for sets, each in self.sizes])
        return [row.reshape(sets, -1, row.shape[-1]) for row, (sets, _) in zip(rows, self.sizes, strict=True)]

    def apart(self, rows: list[Float[Tensor, "_ _ width"]], tokens: int) -> Float[Tensor, "frames {tokens} width"]:
        """The inverse of `together`."""
        return torch.cat([row.reshape(-1, tokens, row.shape[-1]) for row in rows])


class JointAttention(AttnProcessor2_0):
    """Self-attention over the frames of each set, in place of each frame by itself."""

    def __init__(self, layout: Layout) -> None:
        """Take the layout that the network writes to."""
        super().__init__()
        self.layout = layout

    def __call__(
        self, attn: Any, hidden_states: Float[Tensor, "frames tokens width"], *rest: Any, **further: Any
    ) -> Float[Tensor, "frames tokens width"]:
        """As diffusers calls it."""
        own = super().__call__
        rows = [own(attn, row, *rest, **further) for row in self.layout.together(hidden_states)]
        return self.layout.apart(rows, hidden_states.shape[1])


class JointBlock(nn.Module):
    """Attention over all pixels of a set's frames, added to what it sees; it begins as nothing."""

    def __init__(self, width: int, groups: int, layout: Layout) -> None:
        """Make it for features [frames, width, h, w]."""
        super().__init__()
        self.layout, self.heads = layout, max(1, width // HEAD_WIDTH)
        self.norm = nn.GroupNorm(groups, width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Float[Tensor, "frames width h w"]) -> Float[Tensor, "frames width h w"]:
        """Add what the frames of each set tell each other."""
        tokens = self.qkv(self.norm(features).flatten(2).transpose(1, 2))
        rows = []
        for row in self.layout.together(tokens):
            query, key, value = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in row.chunk(3, dim=-1))
            rows.append(functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        told: Tensor = self.out(self.layout.apart(rows, tokens.shape[1]))
        return features + told.transpose(1, 2).reshape(features.shape)


class SetUNet(UNET):  # type: ignore[misc]
    """A UNet2DConditionModel whose self-attention spans the frames of each set; the weights' names are diffusers'."""

    # diffusers reads the names of a configuration's entries from this signature, which `wraps` passes on
    @functools.wraps(UNET.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.layout = Layout()
        shared = JointAttention(self.layout)
        self.set_attn_processor(
            {name: shared if ".attn1." in name else own for name, own in self.attn_processors.items()}
        )

    def forward(
        self, sample: Float[Tensor, "frames channels h w"], *args: Any, layout: Sizes | None = None, **kwargs: Any
    ) -> Any:
        """As in diffusers, but told which frames are of one set.

        Args:
            sample: [frames, channels, h, w], set by set.
            args: as diffusers' forward takes them.
            layout: (sets, frames of each), in the order of the frames; None: every frame is a set.
            kwargs: as diffusers' forward takes them.

        Raises:
            Prior3dError: the layout is of another number of frames.
        """
        self.layout.hold(layout or ((len(sample), 1),), len(sample))
        return super().forward(sample, *args, **kwargs)


class JointUNet(SetUNet):
    """A SetUNet with two joint blocks at the resolution of the latents, which begin as nothing."""

    @functools.wraps(UNET.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        width, groups = self.config.block_out_channels[0], self.config.norm_num_groups
        self.joint = nn.ModuleList([JointBlock(width, groups, self.layout) for _ in range(2)])
        self.down_blocks[0].resnets[-1].register_forward_hook(self._first)
        self.up_blocks[-1].register_forward_hook(self._last)

    def _first(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        """Behind the first level's convolutions: a hook, as diffusers' blocks take no further ones."""
        features: Tensor = self.joint[0](output)
        return features

    def _last(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        """Before the last convolution."""
        features: Tensor = self.joint[1](output)
        return features
