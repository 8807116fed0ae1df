"""What the autoencoder is trained on."""

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from stages.training.vae import Params


def reconstruction_loss(vae: Any, images: Tensor, params: Params, generator: torch.Generator) -> Tensor:
    """L1 on pixels, twice L1 on 4x4 averages, L1 on image gradients and on chroma, squares, and the pull of the mean.

    Without the chroma term the model stays grey for a long time: most of the error is brightness.
    """
    mean = vae.encode(images).latent_dist.mean
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    decoded = vae.decode(mean + params.latent_noise * noise).sample
    error = decoded - images
    loss = error.abs().mean() + 2 * functional.avg_pool2d(error, 4).abs().mean()
    loss = loss + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    chroma = functional.avg_pool2d(torch.stack([error[:, 0] - error[:, 1], error[:, 2] - error[:, 1]], dim=1), 4)
    loss = loss + params.chroma_weight * chroma.abs().mean() + params.squared_weight * error.square().mean()
    return loss + params.mean_pull * mean.square().mean()
