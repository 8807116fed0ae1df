"""What a generator learns from: renders of its fields, and what they should look like."""

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Orbit
from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.joint_text import JointTextPrior
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.distillation.x0 import clean_residual
from prior3d.fields.object_field import ObjectField
from prior3d.rendering.rays import rays
from prior3d.rendering.volume import render_rays


@torch.no_grad()
def clean_views(
    prior: JointTextPrior,
    images: Float[Tensor, "views 3 height width"],
    asked: Conditioning,
    timestep: int,
    rescale: float,
    generator: torch.Generator,
) -> Float[Tensor, "views 3 height width"]:
    """The clean images that a joint-view prior sees in noisy renders of one object.

    Renders are drawn to these by `image_loss`: the residual of `prior3d.distillation.x0`, but taken in images, not in
    latents, so that no gradient passes through the encoder.

    Args:
        prior: frozen.
        images: renders in [0, 1], of the prior's size.
        asked: text and cameras, from `asked_of`.
        timestep: of the noise that is added to them.
        rescale: 0 leaves the contrast that guidance gives, 1 takes it back to the unguided one.
        generator: draws the noise.
    """
    latents, noise = prior.encode(images), prior.diffusion.draw_noise(len(images), generator)
    at = torch.full((len(images),), timestep, device=prior.device)
    noisy = prior.add_noise(latents, noise, at)
    residual = clean_residual(latents, noisy, prior.parts(noisy, at, asked), prior.schedule, at, rescale)
    return prior.decode(latents - residual).clamp(0, 1)


def asked_of(prior: JointTextPrior, text: str, orbit: Orbit, guidance_scale: float) -> Conditioning:
    """A text seen from an orbit's cameras, with guidance on the text."""
    return Conditioning(prior.embed([text]), prior.embed([""]), guidance_scale, orbit=orbit)


def image_loss(
    field: ObjectField,
    pixels: tuple[Float[Tensor, "pixels 3"], Float[Tensor, "pixels 3"]],
    wanted: Float[Tensor, "pixels 3"],
    background: Float[Tensor, "1 3"],
    n_samples: int,
    opacity_weight: float,
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Mean squared error of the colours of rays, and the entropy of their opacity: 0 where that is all or none."""
    origins, directions = pixels
    shown = render_rays(field, origins, directions, n_samples, generator, background)
    opacity = shown.opacity.clamp(1e-4, 1 - 1e-4)
    entropy = -(opacity * opacity.log() + (1 - opacity) * (1 - opacity).log()).mean()
    return (shown.features - wanted).square().mean() + opacity_weight * entropy


def pixel_rays(prior: JointViewsPrior, orbit: Orbit) -> tuple[Float[Tensor, "pixels 3"], Float[Tensor, "pixels 3"]]:
    """Origins and unit directions of all pixels of the prior's images."""
    origins, directions = rays(prior.cameras(orbit))
    return origins.reshape(-1, 3).to(prior.device), directions.reshape(-1, 3).to(prior.device)
