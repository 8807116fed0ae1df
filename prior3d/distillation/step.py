"""One step of score distillation: draw views, render them, ask the frozen prior, return the loss.

Everything that distils a prior goes through here: a field of latents or of colours, a latent or an RGB texture, a
captured scene. What differs is where views come from (`Views`) and how they are rendered (a callback).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.distillation.sds import annealed, draw_timesteps, sds_loss
from prior3d.seeds import Seeds
from prior3d.settings.distillation import SdsSettings

Batch = TypeVar("Batch")


@runtime_checkable
class Views(Protocol[Batch]):
    """Where the views of a step come from, and what the prior predicts for them."""

    @property
    def prior(self) -> DiffusionPrior:
        """The frozen prior, of any role."""
        ...

    def sample(self, seeds: Seeds) -> Batch:
        """Draw the views of one step."""
        ...

    def cameras(self, batch: Batch, size: int) -> Cameras:
        """Their cameras, with `size` pixels along the shorter side, on the prior's device."""
        ...

    def predict(
        self, batch: Batch, noisy: Float[Tensor, "views channels h w"], timesteps: Int[Tensor, "views"]
    ) -> Float[Tensor, "views channels h w"]:
        """The prior's guided noise."""
        ...


@dataclass(frozen=True)
class Distilled(Generic[Batch]):
    """A step's loss, and what it was made of: further losses of the same views may use it.

    Attributes:
        loss: weighted.
        batch: the views that were drawn.
        cameras: theirs.
        prior_images: RGB renders at the prior's size, or the latents themselves where these are rendered.
        latents: what was noised; the gradient passes through them.
        timesteps: of the noise.
        noise: that was added.
    """

    loss: Float[Tensor, ""]
    batch: Batch
    cameras: Cameras
    prior_images: Float[Tensor, "views channels height width"]
    latents: Float[Tensor, "views channels_of_latents h w"]
    timesteps: Int[Tensor, " views"]
    noise: Float[Tensor, "views channels_of_latents h w"]


class ScoreDistillation(Generic[Batch]):
    """Score distillation of drawn views (Poole et al. 2022, eq. 3).

    Args:
        views: where views come from.
        seeds: "timesteps" and "noise" are drawn here, and what `views` and the renderer draw.
        settings: guidance, noise levels, weighting.
        space: what the renderer returns: `latent`, at the prior's latent size, or `image`, RGB that is resized to the
            prior's size and encoded with gradient.
    """

    def __init__(
        self, views: Views[Batch], seeds: Seeds, settings: SdsSettings, space: Literal["latent", "image"]
    ) -> None:
        self.views, self.seeds, self.settings, self.space = views, seeds, settings, space
        prior = views.prior
        self.size = prior.latent_size if space == "latent" else settings.image_size or prior.image_size

    def __call__(
        self,
        render: Callable[[Cameras, Batch], Float[Tensor, "views channels height width"]],
        progress: float,
    ) -> Distilled[Batch]:
        """Take one step.

        Args:
            render: cameras and batch to images or latents, differentiable.
            progress: fraction of the steps done, in [0, 1].
        """
        views, prior, settings, seeds = self.views, self.views.prior, self.settings, self.seeds
        batch = views.sample(seeds)
        cameras = views.cameras(batch, self.size)
        images = render(cameras, batch)
        if self.space == "image":
            images = self._at_prior_size(images)
        latents = images if self.space == "latent" else prior.encode(images)
        limits = settings.timestep_min, annealed(settings.timestep_max, settings.timestep_max_end, progress)
        timesteps = draw_timesteps(cameras.views, prior.n_timesteps, limits, seeds.generator("timesteps"))
        timesteps = timesteps.to(prior.device)
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(prior.device)
        loss = sds_loss(
            latents,
            noise,
            predict=lambda noisy: views.predict(batch, noisy, timesteps),
            add_noise=lambda clean, noise: prior.add_noise(clean, noise, timesteps),
            alphas=prior.alphas_cumprod[timesteps],
            weighting=settings.weighting,
        )
        return Distilled(settings.weight * loss, batch, cameras, images, latents, timesteps, noise)

    def _at_prior_size(self, images: Tensor) -> Tensor:
        """RGB renders of a size of their own, resized to the prior's."""
        size = self.views.prior.image_size
        if not self.settings.image_size or min(images.shape[-2:]) == size:
            return images
        return functional.interpolate(images, (size, size), mode="bilinear", align_corners=False)
