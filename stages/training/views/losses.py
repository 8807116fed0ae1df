"""What the views prior is trained on: the diffusion model's velocity, and the transformer's own image."""

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.diffusion.scheduling import Schedule, stratified_timesteps
from stages.training.datasets.latents import Latents
from stages.training.datasets.posed import PosedDataset, SceneBatch
from stages.training.diffusion_loss import N_TIMESTEPS, noised
from stages.training.trainer import lower_precision
from stages.training.views import Params


def both_losses(
    models: dict[str, Any],
    dataset: PosedDataset,
    latents: Latents,
    batch: SceneBatch,
    params: Params,
    schedule: Schedule,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The diffusion model's loss on the queries' latents, and the robust loss of the transformer's own images."""
    device = str(generator.device)
    queries, cameras = batch.queries.flatten(), [dataset.cameras[i.flatten()] for i in (batch.contexts, batch.queries)]
    truth = dataset.images(queries, batch.query_background)
    with lower_precision(device, params.precision):
        features, images = (part.float() for part in models["epipolar"](batch.context_images(dataset), *cameras))
    with torch.no_grad():
        regressed = latents.vae.encode(images.detach() * 2 - 1).latent_dist.mean
    condition = torch.cat([features, regressed], dim=1)  # no gradient of this loss makes the image anything but true
    clean, many = latents[queries, batch.query_background], params.noises
    with lower_precision(device, params.precision):
        v = v_loss(
            models["unet"],
            clean.repeat(many, 1, 1, 1),
            condition.repeat(many, 1, 1, 1),
            params.drop_condition,
            schedule,
            generator,
        )
    return v, charbonnier(images - truth).mean()


def v_loss(
    unet: Any, latents: Tensor, condition: Tensor, drop: float, schedule: Schedule, generator: torch.Generator
) -> Tensor:
    """Mean squared error of the predicted velocity v = √ᾱ ε - √(1-ᾱ) x (Salimans and Ho 2022).

    Args:
        unet: called with noisy latents and condition, and timesteps.
        latents: [n, 4, h, w].
        condition: [n, channels, h, w].
        drop: fraction of samples without condition.
        schedule: of the noise, for a network that predicts v.
        generator: draws timesteps, noise and the samples without condition.
    """
    n, device = len(latents), condition.device
    t = stratified_timesteps(n, N_TIMESTEPS, generator, shuffled=True)
    noisy, target = noised(latents, schedule, t, generator)
    keep = (torch.rand(n, 1, 1, 1, generator=generator, device=device) >= drop).float()
    seen = torch.cat([noisy, condition * keep], dim=1)
    predicted = unet(seen.contiguous(memory_format=torch.channels_last), t).sample
    return functional.mse_loss(predicted.float(), target)


def charbonnier(error: Tensor, knee: float = 0.1) -> Tensor:
    """Quadratic below the knee and linear above: knee (√(1 + (e / knee)²) - 1) (Charbonnier et al. 1994)."""
    return ((1 + (error / knee).square()).sqrt() - 1) * knee
