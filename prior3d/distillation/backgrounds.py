"""What stands behind an object while it is optimised: flat colours that the prompt names, or a learned sky."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.images.colours import fit_latent_to_rgb, most_distinct_background
from prior3d.rendering import rays
from prior3d.seeds import Seeds
from prior3d.sending import sent

NAMED_BACKGROUNDS: dict[str, float] = {"white": 1.0, "grey": 0.5, "black": 0.0}  # level of R, G and B


def flat_images(levels: list[float], size: int, device: torch.device) -> Float[Tensor, "levels 3 {size} {size}"]:
    """Grey images of given levels: [levels, 3, size, size]."""
    return torch.tensor(levels, device=device).view(-1, 1, 1, 1).expand(-1, 3, size, size)


@torch.no_grad()
def encoded_backgrounds(prior: TextToImagePrior) -> Float[Tensor, "backgrounds h w channels"]:
    """Flat images of the named backgrounds as the prior's latents: [names, h, w, channels], border effects included."""
    images = flat_images(list(NAMED_BACKGROUNDS.values()), prior.image_size, prior.device)
    return torch.cat([prior.encode(image[None]) for image in images]).movedim(1, -1)


class LearnedBackground(nn.Module):
    """A value for every direction of view: frequency encoding (6 octaves and the direction), two layers of 64.

    It is Latent-NeRF's background, which takes up what should not become part of the object.
    """

    n_octaves = 6

    def __init__(self, channels: int, generator: torch.Generator | None = None):
        """Start from `generator` (on the CPU) with PyTorch's default law."""
        super().__init__()
        inputs = 3 + 3 * 2 * self.n_octaves
        self.first, self.last = nn.Linear(inputs, 64), nn.Linear(64, channels)
        with torch.no_grad():
            for layer in (self.first, self.last):
                limit = layer.in_features**-0.5
                for parameter in layer.parameters():
                    parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * limit)

    def forward(self, directions: Float[Tensor, "*rays 3"]) -> Float[Tensor, "*rays channels"]:
        """Unit directions [..., 3] to raw values [..., channels]."""
        octaves = [f(2.0**k * directions) for k in range(self.n_octaves) for f in (torch.sin, torch.cos)]
        hidden = torch.relu(self.first(torch.cat([directions, *octaves], -1)))
        values: Tensor = self.last(hidden)
        return values


@dataclass(frozen=True)
class FlatBackground:
    """One of the named backgrounds.

    Attributes:
        index: in NAMED_BACKGROUNDS.
        name: as prompts call it.
        level: of R, G and B, in [0, 1].
    """

    index: int
    name: str
    level: float

    def latents(self, prior: TextToImagePrior) -> Float[Tensor, "h w channels"]:
        """The background as the prior encodes it, border effects included."""
        return encoded_backgrounds(prior)[self.index]


def choose_background(colours: Float[Tensor, "n 3"], but: float = 0.1) -> FlatBackground:
    """The named background that an object's colours stand out from most.

    Args:
        colours: of the object, in [0, 1].
        but: fraction of the colours that may be nearer to it.
    """
    index = most_distinct_background(colours, list(NAMED_BACKGROUNDS.values()), but)
    name, level = list(NAMED_BACKGROUNDS.items())[index]
    return FlatBackground(index, name, level)


@torch.no_grad()
def fit_latent_to_rgb_of_views(
    prior: TextToImagePrior,
    premultiplied: Float[Tensor, "views h w channels"],
    opacity: Float[Tensor, "views h w"],
) -> tuple[Float[Tensor, "channels 3"], Float[Tensor, " 3"]]:
    """Matrix and offset that map latents to colours as the prior's decoder does, fitted to views of an object.

    Args:
        prior: whose decoder is imitated.
        premultiplied: latents of the views, without a background; the named backgrounds are put behind them in turn.
        opacity: of the views.
    """
    backgrounds = encoded_backgrounds(prior)
    behind = backgrounds[torch.arange(len(premultiplied), device=backgrounds.device) % len(backgrounds)]
    latents = (premultiplied + (1 - opacity)[..., None] * behind).movedim(-1, 1)
    return fit_latent_to_rgb(latents, torch.cat([prior.decode(view[None]) for view in latents]))


class LatentBackdrop:
    """The latents behind an object in each view: the named background that was drawn, or a learned one.

    Args:
        prior: encodes the named backgrounds.
        learned: what stands behind everything instead; None: the named ones.
    """

    def __init__(self, prior: TextToImagePrior, learned: LearnedBackground | None) -> None:
        self.named, self.learned = encoded_backgrounds(prior), learned

    def __call__(self, cameras: Cameras, backgrounds: list[int] | None) -> Float[Tensor, "views h w channels"]:
        """Latents for every pixel; `backgrounds` are the indices that were drawn, None with a learned one."""
        if self.learned is None:
            return self.named[sent(torch.tensor(backgrounds), self.named.device)]
        behind: Tensor = self.learned(rays(cameras)[1])
        return behind

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is optimised, by the name that checkpoints use."""
        return {} if self.learned is None else {"background": self.learned}

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for an optimiser."""
        return [] if self.learned is None else [{"params": list(self.learned.parameters()), "lr": learning_rate}]


class RgbBackdrop:
    """The colours behind an object in each view: the flat background that was drawn, or a learned one.

    Args:
        learned: raw values for each direction, which a sigmoid makes colours; None: flat backgrounds.
        device: of the views.
    """

    def __init__(self, learned: LearnedBackground | None, device: torch.device) -> None:
        self.learned, self.device = learned, device

    def __call__(self, cameras: Cameras, backgrounds: list[int] | None) -> Float[Tensor, "views #h #w 3"]:
        """Colours for every pixel; `backgrounds` are the indices that were drawn, None with a learned one."""
        if self.learned is None:
            return grey_levels(backgrounds, self.device).expand(-1, 1, 1, 3)
        behind: Tensor = self.learned(rays(cameras)[1])
        return behind.sigmoid()

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is optimised, by the name that checkpoints use."""
        return {} if self.learned is None else {"background": self.learned}

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for an optimiser."""
        return [] if self.learned is None else [{"params": list(self.learned.parameters()), "lr": learning_rate}]


def rgb_backdrop(kind: str, seeds: Seeds, device: torch.device) -> RgbBackdrop:
    """What stands behind RGB views: `named` flat backgrounds, or `learned`, which begins from "background"."""
    learned = LearnedBackground(3, seeds.generator("background")).to(device) if kind == "learned" else None
    return RgbBackdrop(learned, device)


def grey_levels(backgrounds: list[int] | None, device: torch.device) -> Float[Tensor, "views 1 1 1"]:
    """The level of each view's named background, shaped to go behind [views, height, width, 3]."""
    levels = torch.tensor(list(NAMED_BACKGROUNDS.values()))
    return sent(levels[backgrounds], device)[:, None, None, None]
