"""Score distillation: a frozen prior's prediction about a render, as a loss whose gradient is that prediction.

DreamFusion (Poole et al. 2022, eq. 3): grad = w(t) (eps_hat(z_t; y, t) - eps). It is not the gradient of a useful
scalar, so it is applied as 0.5 |z - stopgrad(z - grad)|^2, divided by the number of elements. The papers *sum* over the
4 x 64 x 64 elements of one view instead, which is 16,384 times more beside the same regularisers: a regulariser's
weight that was tuned beside a summed loss is divided by that number here (`stages.contract.presets.PAPER_WEIGHTS`),
and `SdsSettings.elements` keeps the sum's balance for priors with more or fewer latents.

Everything that distils a prior takes the one step at the end of this file: a field of latents or of colours, a latent
or an RGB texture, a captured scene. What differs is where views come from (`Views`) and how they are rendered (a
callback). Later losses change the residual; each has it in a file beside this one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.scheduling import Schedule
from prior3d.distillation.protocol import Batch, Views
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.settings.distillation import SdsSettings

Render = Callable[[Cameras, Batch], Float[Tensor, "views channels height width"]]
Weighting = Literal["one_minus_alpha", "sqrt_alpha_one_minus_alpha", "constant", "noise_to_signal"]
# DreamTime's values for a latent prior (m2, m1, s2, s1 of 1,000 timesteps): the flat top lies between 0.5 and 0.8 of T
DREAMTIME_TOP, DREAMTIME_SPREADS = (0.5, 0.8), (0.1, 0.3)


def draw_timesteps(
    n_views: int, n_timesteps: int, limits: tuple[float, float], generator: torch.Generator, shared: bool = False
) -> Int[Tensor, " {n_views}"]:
    """Draw timesteps evenly from limits (fractions of n_timesteps, both ends included).

    With `shared`, every view of the batch gets the same one.
    """
    first, last = ends(n_timesteps, limits)
    drawn = torch.randint(
        first, max(last, first) + 1, (1 if shared else n_views,), generator=generator, device=generator.device
    )
    return drawn.expand(n_views)


def annealed(start: float, end: float, progress: float) -> float:
    """Go linearly from start to end while progress goes from 0 to 1."""
    return start + (end - start) * min(max(progress, 0.0), 1.0)


def ends(n_timesteps: int, limits: tuple[float, float]) -> tuple[int, int]:
    """The lowest and the highest timestep of limits that are fractions of n_timesteps."""
    first, last = (min(round(limit * n_timesteps), n_timesteps - 1) for limit in limits)
    return first, last


def dreamtime_timestep(schedule: Schedule, limits: tuple[float, float], progress: float) -> int:
    """The timestep of DreamTime (Huang et al. 2023) at a fraction of the steps.

    It never rises. It stays long where W(t) = sigma_t / alpha_t W_p(t) is large: W_p is 1 on a middle range, where
    content forms, and falls off as a Gaussian on both sides. The share of W above t is the progress.

    Args:
        schedule: of the prior.
        limits: lowest and highest timestep, fractions of T.
        progress: fraction of the steps done, in [0, 1].
    """
    n = schedule.n_timesteps
    first, last = ends(n, limits)
    at = torch.arange(first, last + 1, device=schedule.signal.device)
    (low, high), (spread_low, spread_high) = DREAMTIME_TOP, DREAMTIME_SPREADS
    outside = torch.where(at / n > high, (at / n - high) / spread_high, (low - at / n).clamp_min(0) / spread_low)
    noise_to_signal = (schedule.noise[at].double() / schedule.signal[at].double()).sqrt()
    weights = noise_to_signal * torch.exp(-(outside.double() ** 2) / 2)
    above = weights.flip(0).cumsum(0).flip(0) / weights.sum()  # of t and all higher ones
    return int(at[(above - progress).abs().argmin()])


def timesteps_of_step(
    n_views: int,
    schedule: Schedule,
    settings: SdsSettings,
    progress: float,
    generator: torch.Generator,
    shared: bool,
) -> Int[Tensor, "{n_views}"]:
    """The timesteps of a step, on the generator's device.

    Args:
        n_views: of the step.
        schedule: of the prior.
        settings: limits and schedule.
        progress: fraction of the steps done.
        generator: draws those that are drawn.
        shared: one for all views; a falling schedule has one anyway.
    """
    n, lowest = schedule.n_timesteps, settings.timestep_min
    match settings.timestep_schedule:
        case "drawn":
            highest = annealed(settings.timestep_max, settings.timestep_max_end, progress)
            return draw_timesteps(n_views, n, (lowest, highest), generator, shared)
        case "linear":
            first, last = ends(n, (lowest, settings.timestep_max))
            found = round(annealed(last, first, progress))
        case "dreamtime":
            found = dreamtime_timestep(schedule, (lowest, settings.timestep_max), progress)
    return torch.full((n_views,), found, device=generator.device)


def sds_weight(schedule: Schedule, timesteps: Int[Tensor, "*views"], weighting: Weighting) -> Float[Tensor, "*views"]:
    """w(t): 1 - a (DreamFusion), sqrt(a) (1 - a) (Latent-NeRF's code), 1, or sqrt((1 - a) / a) (ISM).

    a is alpha_bar; of a flow, that of the diffusion model with the same signal-to-noise ratio.
    """
    noise = schedule.noise_share(timesteps)
    match weighting:
        case "one_minus_alpha":
            return noise
        case "sqrt_alpha_one_minus_alpha":
            return schedule.signal_share(timesteps).sqrt() * noise
        case "constant":
            return torch.ones_like(noise)
        case "noise_to_signal":
            return (noise / schedule.signal_share(timesteps)).sqrt()


@torch.no_grad()
def distillation_target(
    latents: Float[Tensor, "views channels h w"],
    residual: Float[Tensor, "views channels h w"],
    schedule: Schedule,
    timesteps: Int[Tensor, " views"],
    weighting: Weighting,
) -> Float[Tensor, "views channels h w"]:
    """Where score distillation draws latents to: z - w(t) r.

    Args:
        latents: rendered (or encoded) at the prior's scaled level.
        residual: r; of SDS the guided noise minus the noise that was added.
        schedule: of the prior.
        timesteps: of the noise.
        weighting: w(t), see `sds_weight`.
    """
    return latents - sds_weight(schedule, timesteps, weighting).view(-1, 1, 1, 1) * residual


def sds_loss(
    latents: Float[Tensor, "views channels h w"], target: Float[Tensor, "views channels h w"]
) -> Float[Tensor, ""]:
    """A scalar whose gradient to the latents is that of score distillation, divided by the number of elements."""
    return 0.5 * torch.mean((latents - target) ** 2)


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
        further: losses of what learns beside the object, by name; a step's sum must hold them.
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
    further: dict[str, Float[Tensor, ""]] = field(default_factory=dict)

    @property
    def terms(self) -> dict[str, Float[Tensor, ""]]:
        """The losses of a step, by name."""
        return {"sds": self.loss} | self.further

    def loss_of(self, views: Bool[Tensor, " views"]) -> Float[Tensor, ""]:
        """The loss of some of the views alone; the others count as views without a gradient."""
        kept = sent(views, self.latents.device).view(-1, 1, 1, 1)
        return self.weight * sds_loss(self.latents * kept, self.target * kept)


class ScoreDistillation(Generic[Batch]):
    """Score distillation of drawn views by SDS; `prior3d.distillation.losses` has the other losses.

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
        self.one_timestep = prior.joint  # for all views of a step

    def __call__(self, render: Render[Batch], progress: float) -> Distilled[Batch]:
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
        drawn = seeds.generator("timesteps")
        timesteps = timesteps_of_step(cameras.views, prior.schedule, settings, progress, drawn, self.one_timestep)
        timesteps = sent(timesteps, prior.device)
        noise = sent(torch.randn(latents.shape, generator=seeds.generator("noise")), prior.device)
        with torch.no_grad():
            residual = self.residual(batch, latents.detach(), noise, timesteps, progress)
        target = distillation_target(latents, residual, prior.schedule, timesteps, settings.weighting)
        weight = self.weight(latents) if progress >= settings.starts_at else 0.0
        loss = weight * sds_loss(latents, target)
        further = self.further(batch, latents)
        return Distilled(loss, batch, cameras, images, latents, timesteps, noise, target, weight, further)

    def weight(self, latents: Float[Tensor, "views channels h w"]) -> float:
        """Of the loss, which is a mean over the latents of each view."""
        settings = self.settings
        return settings.weight * (latents[0].numel() / settings.elements if settings.elements else 1.0)

    def residual(
        self,
        batch: Batch,
        latents: Float[Tensor, "views channels h w"],
        noise: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, " views"],
        progress: float,
    ) -> Float[Tensor, "views channels h w"]:
        """The gradient before its weight w(t): of SDS eps_hat - eps."""
        noisy = self.views.prior.add_noise(latents, noise, timesteps)
        return self.views.predict(batch, noisy, timesteps) - noise

    def further(self, batch: Batch, latents: Float[Tensor, "views channels h w"]) -> dict[str, Float[Tensor, ""]]:
        """Losses of what learns beside the object; SDS has none."""
        return {}

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
