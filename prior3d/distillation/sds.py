"""Score distillation: a frozen prior's prediction about a render, as a loss whose gradient is that prediction.

DreamFusion (Poole et al. 2022, eq. 3): grad = w(t) (eps_hat(z_t; y, t) - eps). It is not the gradient of a useful
scalar, so it is applied as 0.5 |z - stopgrad(z - grad)|^2, divided by the number of elements. The papers *sum* over the
4 x 64 x 64 elements of one view instead, which is 16,384 times more beside the same regularisers: a regulariser's
weight that was tuned beside a summed loss is divided by that number here (`stages.contract.presets.PAPER_WEIGHTS`).

Everything that distils a prior takes the one step at the end of this file: a field of latents or of colours, a latent
or an RGB texture, a captured scene. What differs is where views come from (`Views`), how they are rendered (a
callback), and which loss the settings name: each of the later ones has its residual in a file beside this one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.distillation.csd import classifier_residual
from prior3d.distillation.ism import interval, interval_residual
from prior3d.distillation.protocol import Batch, PromptedViews, Views
from prior3d.distillation.timesteps import timesteps_of_step
from prior3d.distillation.vsd import ParticleScore
from prior3d.distillation.x0 import clean_residual
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import SdsSettings
from prior3d.settings.distillation_losses import CsdLoss, IsmLoss, SdsLoss, VsdLoss, X0Loss

Weighting = Literal["one_minus_alpha", "sqrt_alpha_one_minus_alpha", "constant", "noise_to_signal"]


def sds_weight(alphas: Float[Tensor, "*shape"], weighting: Weighting) -> Float[Tensor, "*shape"]:
    """w(t) of alpha_bar: 1 - a (DreamFusion), sqrt(a) (1 - a) (Latent-NeRF's code), 1, or sqrt((1 - a) / a) (ISM)."""
    match weighting:
        case "one_minus_alpha":
            return 1 - alphas
        case "sqrt_alpha_one_minus_alpha":
            return alphas.sqrt() * (1 - alphas)
        case "constant":
            return torch.ones_like(alphas)
        case "noise_to_signal":
            return ((1 - alphas) / alphas).sqrt()


@torch.no_grad()
def distillation_target(
    latents: Float[Tensor, "views channels h w"],
    residual: Float[Tensor, "views channels h w"],
    alphas: Float[Tensor, " views"],
    weighting: Weighting,
) -> Float[Tensor, "views channels h w"]:
    """Where score distillation draws latents to: z - w(t) r.

    Args:
        latents: rendered (or encoded) at the prior's scaled level.
        residual: r; of SDS the guided noise minus the noise that was added.
        alphas: alpha_bar of the timesteps.
        weighting: w(t), see `sds_weight`.
    """
    return latents - sds_weight(alphas, weighting).view(-1, 1, 1, 1) * residual


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

    def loss_of(self, views: Bool[Tensor, " views"]) -> Float[Tensor, ""]:
        """The loss of some of the views alone; the others count as views without a gradient."""
        kept = views.to(self.latents.device).view(-1, 1, 1, 1)
        return self.weight * sds_loss(self.latents * kept, self.target * kept)


class ScoreDistillation(Generic[Batch]):
    """Score distillation of drawn views, by the loss that the settings name.

    Args:
        views: where views come from.
        seeds: "timesteps" and "noise" are drawn here, and what `views`, the renderer and the loss draw.
        settings: loss, guidance, noise levels, weighting.
        space: what the renderer returns: `latent`, at the prior's latent size, or `image`, RGB that is resized to the
            prior's size and encoded with gradient.

    Attributes:
        particle: which of several objects the step is of; the renderer may ask. 0 with all losses but VSD.

    Raises:
        Prior3dError: the loss asks the prior without a prompt, and these views cannot.
    """

    def __init__(
        self, views: Views[Batch], seeds: Seeds, settings: SdsSettings, space: Literal["latent", "image"]
    ) -> None:
        self.views, self.seeds, self.settings, self.space = views, seeds, settings, space
        prior = views.prior
        self.size = prior.latent_size if space == "latent" else settings.image_size or prior.image_size
        if space == "image" and settings.views_at_once:
            prior.diffusion.recompute_encoder()
        if not isinstance(settings.loss, SdsLoss):
            self._prompted()
        self.particle = 0
        self.particles: ParticleScore[Batch] | None = None
        if isinstance(settings.loss, VsdLoss):
            self.particles = ParticleScore(self._prompted(), settings.loss, seeds)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What learns beside the object, by the name that checkpoints use."""
        return {} if self.particles is None else self.particles.modules

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for an optimiser of what learns beside the object."""
        return [] if self.particles is None else self.particles.parameter_groups()

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
        self.particle = 0 if self.particles is None else self.particles.turn()
        cameras = views.cameras(batch, self.size)
        images = render(cameras, batch)
        if self.space == "image":
            images = self._at_prior_size(images)
        latents = images if self.space == "latent" else self._encoded(images)
        together = isinstance(settings.loss, IsmLoss | X0Loss)  # one noise level for all views
        drawn = seeds.generator("timesteps")
        timesteps = timesteps_of_step(cameras.views, prior.alphas_cumprod, settings, progress, drawn, together)
        timesteps = timesteps.to(prior.device)
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(prior.device)
        residual = self._residual(batch, latents.detach(), noise, timesteps, progress)
        target = distillation_target(latents, residual, prior.alphas_cumprod[timesteps], settings.weighting)
        weight = settings.weight if progress >= settings.starts_at else 0.0
        loss = weight * sds_loss(latents, target)
        further = {} if self.particles is None else {"lora": self.particles.loss(batch, latents)}
        return Distilled(loss, batch, cameras, images, latents, timesteps, noise, target, weight, further)

    @torch.no_grad()
    def _residual(
        self,
        batch: Batch,
        latents: Float[Tensor, "views channels h w"],
        noise: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, " views"],
        progress: float,
    ) -> Float[Tensor, "views channels h w"]:
        """The loss's residual: the gradient before its weight w(t)."""
        views, prior, loss = self.views, self.views.prior, self.settings.loss
        if isinstance(loss, IsmLoss):
            return self._interval_residual(loss, batch, latents, int(timesteps[0]), progress)
        noisy = prior.add_noise(latents, noise, timesteps)
        match loss:
            case SdsLoss():
                return views.predict(batch, noisy, timesteps) - noise
            case CsdLoss():
                return classifier_residual(self._prompted().parts(batch, noisy, timesteps))
            case VsdLoss():
                assert self.particles is not None, "made with the settings"
                return views.predict(batch, noisy, timesteps) - self.particles.predict(batch, noisy, timesteps)
            case X0Loss():
                parts = self._prompted().parts(batch, noisy, timesteps)
                return clean_residual(latents, noisy, parts, prior.alphas_cumprod[timesteps], loss.rescale)

    def _interval_residual(
        self, loss: IsmLoss, batch: Batch, latents: Float[Tensor, "views channels h w"], timestep: int, progress: float
    ) -> Float[Tensor, "views channels h w"]:
        """The residual of interval score matching, which draws no noise."""
        views, prior, n = self._prompted(), self.views.prior, self.views.prior.n_timesteps
        return interval_residual(
            latents,
            timestep,
            max(1, round(interval(loss, progress) * n)),
            max(1, round(loss.inversion_step * n)),
            prior.alphas_cumprod,
            unprompted=lambda noisy, at: views.without_prompt(batch, noisy, at),
            prompted=lambda noisy, at: views.predict(batch, noisy, at),
        )

    def _prompted(self) -> PromptedViews[Batch]:
        """The views, which must know the prior without a prompt."""
        if not isinstance(self.views, PromptedViews):
            raise Prior3dError(
                f"loss {self.settings.loss.kind}: it asks a prior with a prompt and without, and these views ask it in "
                "one way only; set sds.loss.kind=sds"
            )
        return self.views

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


def distillation_of_one(
    views: Views[Batch], seeds: Seeds, settings: SdsSettings, space: Literal["latent", "image"]
) -> ScoreDistillation[Batch]:
    """Score distillation for a stage whose object is already begun, so that there is one (raises Prior3dError)."""
    if isinstance(settings.loss, VsdLoss) and settings.loss.particles > 1:
        raise Prior3dError(
            f"sds.loss.particles: found {settings.loss.particles}, but this stage goes on with one object; set it to 1 "
            "here, and more in coarse_nerf or latent_paint"
        )
    return ScoreDistillation(views, seeds, settings, space)
