"""Score distillation: a frozen prior's opinion of a render, as a loss whose gradient is that opinion.

DreamFusion (Poole et al. 2022, eq. 3): grad = w(t) (eps_hat(z_t; y, t) - eps). It is not the gradient of a useful
scalar, so it is applied as 0.5 |z - stopgrad(z - grad)|^2, divided by the number of elements. The papers *sum* over the
4 x 64 x 64 elements of one view instead, which is 16,384 times more beside the same regularisers: a regulariser's
weight that was tuned beside a summed loss is divided by that number here.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prior3d.diffusion.text_to_image import TextToImagePrior

Weighting = Literal["one_minus_alpha", "sqrt_alpha_one_minus_alpha", "constant"]


@dataclass(frozen=True)
class Guidance:
    """What a prior is asked for: the views' texts and cameras, and how strongly to follow them.

    Attributes:
        text: [views, tokens, width] embedded prompts.
        null_text: [1, tokens, width] embedded negative (or empty) prompt.
        scale: classifier-free guidance; 1 is none.
        camera: [views, CAMERA_DIM] or None.
    """

    text: Tensor
    null_text: Tensor
    scale: float
    camera: Tensor | None = None


def draw_timesteps(
    n_views: int, n_timesteps: int, limits: tuple[float, float], generator: torch.Generator, shared: bool = False
) -> Tensor:
    """Draw [views] timesteps evenly from limits (fractions of n_timesteps, both ends included).

    With `shared`, every view of the batch gets the same one.
    """
    first, last = (min(round(limit * n_timesteps), n_timesteps - 1) for limit in limits)
    drawn = torch.randint(
        first, max(last, first) + 1, (1 if shared else n_views,), generator=generator, device=generator.device
    )
    return drawn.expand(n_views)


def annealed(start: float, end: float, progress: float) -> float:
    """Go linearly from start to end while progress goes from 0 to 1."""
    return start + (end - start) * min(max(progress, 0.0), 1.0)


def sds_weight(alphas: Tensor, weighting: Weighting) -> Tensor:
    """w(t) of alpha_bar: 1 - a (DreamFusion), sqrt(a) (1 - a) (Latent-NeRF's code), or 1; same shape as alphas."""
    match weighting:
        case "one_minus_alpha":
            return 1 - alphas
        case "sqrt_alpha_one_minus_alpha":
            return alphas.sqrt() * (1 - alphas)
        case "constant":
            return torch.ones_like(alphas)


def sds_loss(
    latents: Tensor, prior: TextToImagePrior, guidance: Guidance, timesteps: Tensor, noise: Tensor, weighting: Weighting
) -> Tensor:
    """Score distillation of rendered latents: a scalar whose gradient is w(t) (eps_hat - eps) / number of elements.

    Args:
        latents: [views, channels, h, w] rendered (or encoded) at the prior's scaled level; the gradient goes here only.
        prior: the frozen model.
        guidance: the views' texts, cameras and guidance scale.
        timesteps: [views] drawn noise levels.
        noise: standard normal, shaped like latents.
        weighting: w(t), see `sds_weight`.
    """
    with torch.no_grad():
        noisy = prior.add_noise(latents, noise, timesteps)
        predicted = prior.predict(noisy, timesteps, guidance.text, guidance.null_text, guidance.scale, guidance.camera)
        weights = sds_weight(prior.alphas_cumprod[timesteps], weighting).view(-1, 1, 1, 1)
        target = latents - weights * (predicted - noise)
    return 0.5 * torch.mean((latents - target) ** 2)
