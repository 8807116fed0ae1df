"""What stands behind an object while it is optimised: flat colours that the prompt names, or a learned sky."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.diffusion.text_to_image import TextToImagePrior

NAMED_BACKGROUNDS: dict[str, float] = {"white": 1.0, "grey": 0.5, "black": 0.0}  # level of R, G and B


def flat_images(levels: list[float], size: int, device: torch.device) -> Float[Tensor, "levels 3 size size"]:
    """Grey images of given levels: [levels, 3, size, size]."""
    return torch.tensor(levels, device=device).view(-1, 1, 1, 1).expand(-1, 3, size, size)


@torch.no_grad()
def encoded_backgrounds(prior: TextToImagePrior) -> Float[Tensor, "backgrounds height width channels"]:
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
