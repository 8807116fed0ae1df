"""Score distillation by the loss that the settings name: SDS, or one of the later ones beside this file."""

from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from prior3d.distillation.csd import classifier_residual
from prior3d.distillation.ism import interval, interval_residual
from prior3d.distillation.protocol import Batch, PromptedViews, Views
from prior3d.distillation.sds import Distilled, Render, ScoreDistillation
from prior3d.distillation.vsd import ParticleScore
from prior3d.distillation.x0 import clean_residual
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import CsdLoss, IsmLoss, SdsLoss, SdsSettings, VsdLoss, X0Loss


class Distillation(ScoreDistillation[Batch]):
    """Score distillation by any loss.

    Args:
        views: where views come from.
        seeds: as `ScoreDistillation`, and what the loss draws.
        settings: loss, guidance, noise levels, weighting.
        space: as `ScoreDistillation`.

    Attributes:
        particle: which of several objects the step is of; the renderer may ask. 0 with all losses but VSD.

    Raises:
        Prior3dError: the loss asks the prior without a prompt, and these views cannot; or VSD is asked of joint views.
    """

    def __init__(
        self, views: Views[Batch], seeds: Seeds, settings: SdsSettings, space: Literal["latent", "image"]
    ) -> None:
        super().__init__(views, seeds, settings, space)
        self.one_timestep |= isinstance(settings.loss, IsmLoss | X0Loss)
        self.particle = 0
        self.particles: ParticleScore[Batch] | None = None
        if not isinstance(settings.loss, SdsLoss):
            self._prompted()
        if isinstance(settings.loss, VsdLoss) and views.prior.joint:
            raise Prior3dError("loss vsd: its LoRA learns single views, not joint ones; set sds.loss.kind=x0")
        if isinstance(settings.loss, VsdLoss):
            self.particles = ParticleScore(self._prompted(), settings.loss, seeds)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What learns beside the object, by the name that checkpoints use."""
        return {} if self.particles is None else self.particles.modules

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for an optimiser of what learns beside the object."""
        return [] if self.particles is None else self.particles.parameter_groups()

    def __call__(self, render: Render[Batch], progress: float) -> Distilled[Batch]:
        """Take one step, of the object whose turn it is; see `ScoreDistillation`."""
        self.particle = 0 if self.particles is None else self.particles.turn()
        return super().__call__(render, progress)

    def residual(
        self,
        batch: Batch,
        latents: Float[Tensor, "views channels h w"],
        noise: Float[Tensor, "views channels h w"],
        timesteps: Int[Tensor, " views"],
        progress: float,
    ) -> Float[Tensor, "views channels h w"]:
        """The loss's gradient before its weight w(t)."""
        views, prior, loss = self.views, self.views.prior, self.settings.loss
        match loss:
            case SdsLoss():
                return super().residual(batch, latents, noise, timesteps, progress)
            case IsmLoss():
                return self._interval_residual(loss, batch, latents, int(timesteps[0]), progress)
        noisy = prior.add_noise(latents, noise, timesteps)
        match loss:
            case CsdLoss():
                return classifier_residual(self._prompted().parts(batch, noisy, timesteps))
            case VsdLoss():
                assert self.particles is not None, "made with the settings"
                return views.predict(batch, noisy, timesteps) - self.particles.predict(batch, noisy, timesteps)
            case X0Loss():
                parts = self._prompted().parts(batch, noisy, timesteps)
                return clean_residual(latents, noisy, parts, prior.schedule, timesteps, loss.rescale)

    def further(self, batch: Batch, latents: Float[Tensor, "views channels h w"]) -> dict[str, Float[Tensor, ""]]:
        """The loss of VSD's LoRA."""
        return {} if self.particles is None else {"lora": self.particles.loss(batch, latents)}

    def _interval_residual(
        self, loss: IsmLoss, batch: Batch, latents: Float[Tensor, "views channels h w"], timestep: int, progress: float
    ) -> Float[Tensor, "views channels h w"]:
        """The residual of interval score matching, which uses no random noise."""
        views, prior, n = self._prompted(), self.views.prior, self.views.prior.n_timesteps
        return interval_residual(
            latents,
            timestep,
            max(1, round(interval(loss, progress) * n)),
            max(1, round(loss.inversion_step * n)),
            prior.schedule,
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


def distillation_of_one(
    views: Views[Batch], seeds: Seeds, settings: SdsSettings, space: Literal["latent", "image"]
) -> Distillation[Batch]:
    """Score distillation for a stage whose object is already begun, so that there is one (raises Prior3dError)."""
    if isinstance(settings.loss, VsdLoss) and settings.loss.particles > 1:
        raise Prior3dError(
            f"sds.loss.particles: found {settings.loss.particles}, but this stage goes on with one object; set it to 1 "
            "here, and more in coarse_nerf or latent_paint"
        )
    return Distillation(views, seeds, settings, space)
