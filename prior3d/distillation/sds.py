"""Score distillation: a frozen prior's prediction about a render, as a loss whose gradient is that prediction.

DreamFusion (Poole et al. 2022, eq. 3): grad = w(t) (eps_hat(z_t; y, t) - eps). It is not the gradient of a useful
scalar, so it is applied as 0.5 |z - stopgrad(z - grad)|^2, divided by the number of elements. The papers *sum* over the
4 x 64 x 64 elements of one view instead, which is 16,384 times more beside the same regularisers: a regulariser's
weight that was tuned beside a summed loss is divided by that number here (`stages.contract.presets.PAPER_WEIGHTS`).

Everything that distils a prior takes the one step at the end of this file: a field of latents or of colours, a latent
or an RGB texture, a captured scene. What differs is where views come from (`Views`) and how they are rendered (a
callback).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.settings.distillation import SdsSettings

Weighting = Literal["one_minus_alpha", "sqrt_alpha_one_minus_alpha", "constant"]
Batch = TypeVar("Batch")


def draw_timesteps(
    n_views: int, n_timesteps: int, limits: tuple[float, float], generator: torch.Generator, shared: bool = False
) -> Int[Tensor, " {n_views}"]:
    """Draw timesteps evenly from limits (fractions of n_timesteps, both ends included).

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


def sds_weight(alphas: Float[Tensor, "*shape"], weighting: Weighting) -> Float[Tensor, "*shape"]:
    """w(t) of alpha_bar: 1 - a (DreamFusion), sqrt(a) (1 - a) (Latent-NeRF's code), or 1."""
    match weighting:
        case "one_minus_alpha":
            return 1 - alphas
        case "sqrt_alpha_one_minus_alpha":
            return alphas.sqrt() * (1 - alphas)
        case "constant":
            return torch.ones_like(alphas)


@torch.no_grad()
def sds_target(
    latents: Float[Tensor, "views channels h w"],
    noise: Float[Tensor, "views channels h w"],
    predict: Callable[[Float[Tensor, "views channels h w"]], Float[Tensor, "views channels h w"]],
    add_noise: Callable[
        [Float[Tensor, "views channels h w"], Float[Tensor, "views channels h w"]], Float[Tensor, "views channels h w"]
    ],
    alphas: Float[Tensor, " views"],
    weighting: Weighting,
) -> Float[Tensor, "views channels h w"]:
    """Where score distillation draws latents to: z - w(t) (eps_hat - eps).

    Args:
        latents: rendered (or encoded) at the prior's scaled level.
        noise: standard normal.
        predict: the frozen prior's guided noise for noisy latents, at the drawn timesteps.
        add_noise: latents and noise to noisy latents, at the drawn timesteps.
        alphas: alpha_bar of the drawn timesteps.
        weighting: w(t), see `sds_weight`.
    """
    predicted = predict(add_noise(latents, noise))
    weights = sds_weight(alphas, weighting).view(-1, 1, 1, 1)
    return latents - weights * (predicted - noise)


def sds_loss(
    latents: Float[Tensor, "views channels h w"], target: Float[Tensor, "views channels h w"]
) -> Float[Tensor, ""]:
    """A scalar whose gradient to the latents is that of score distillation, divided by the number of elements."""
    return 0.5 * torch.mean((latents - target) ** 2)


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
        target: where the latents are drawn to.
        weight: of the loss.
    """

    loss: Float[Tensor, ""]
    batch: Batch
    cameras: Cameras
    prior_images: Float[Tensor, "views channels height width"]
    latents: Float[Tensor, "views channels_of_latents h w"]
    timesteps: Int[Tensor, " views"]
    noise: Float[Tensor, "views channels_of_latents h w"]
    target: Float[Tensor, "views channels_of_latents h w"]
    weight: float = 1.0

    def loss_of(self, views: Bool[Tensor, " views"]) -> Float[Tensor, ""]:
        """The loss of some of the views alone; the others count as views without a gradient."""
        kept = sent(views, self.latents.device).view(-1, 1, 1, 1)
        return self.weight * sds_loss(self.latents * kept, self.target * kept)


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
        if space == "image" and settings.views_at_once:
            prior.diffusion.recompute_encoder()

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
        latents = images if self.space == "latent" else self._encoded(images)
        limits = settings.timestep_min, annealed(settings.timestep_max, settings.timestep_max_end, progress)
        timesteps = draw_timesteps(cameras.views, prior.n_timesteps, limits, seeds.generator("timesteps"))
        timesteps = sent(timesteps, prior.device)
        noise = sent(torch.randn(latents.shape, generator=seeds.generator("noise")), prior.device)
        target = sds_target(
            latents,
            noise,
            predict=lambda noisy: views.predict(batch, noisy, timesteps),
            add_noise=lambda clean, noise: prior.add_noise(clean, noise, timesteps),
            alphas=prior.alphas_cumprod[timesteps],
            weighting=settings.weighting,
        )
        weight = settings.weight if progress >= settings.starts_at else 0.0
        loss = weight * sds_loss(latents, target)
        return Distilled(loss, batch, cameras, images, latents, timesteps, noise, target, weight)

    def _encoded(self, images: Tensor) -> Tensor:
        """Latents of images, a few views at once where the settings say so."""
        prior, at_once = self.views.prior, self.settings.views_at_once
        if at_once == 0:
            return prior.encode(images)
        return torch.cat([prior.encode(part) for part in images.split(at_once)])

    def _at_prior_size(self, images: Tensor) -> Tensor:
        """RGB renders of a size of their own, resized to the prior's."""
        size = self.views.prior.image_size
        if not self.settings.image_size or min(images.shape[-2:]) == size:
            return images
        return functional.interpolate(images, (size, size), mode="bilinear", align_corners=False)
