"""What a prior is asked for and how strongly: texts, perpendicular negatives, outputs whose contrast is taken back.

Both forms of guidance here take a network's own outputs, noise or velocities, as diffusers does.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.cameras import Orbit


@dataclass(frozen=True)
class Conditioning:
    """What a prior with a text side is asked for, and how strongly to follow it.

    Attributes:
        text: embedded, one a view, or one for all views.
        null_text: embedded negative (or empty) prompt, what guidance moves away from.
        guidance_scale: of classifier-free guidance on the text; 1 is none.
        camera: of `camera_embedding`; None: "no camera". Only for a prior that takes it.
        negatives: embedded prompts that Perp-Neg moves away from, some for each view.
        negative_weights: how strongly.
        rescale: how far the guided output's contrast is taken back to the unguided one's, see `rescaled`.
        orbit: the views, for a prior that draws them together.
    """

    text: Float[Tensor, "prompts tokens width"]
    null_text: Float[Tensor, "#prompts tokens width"]
    guidance_scale: float
    camera: Float[Tensor, "views 16"] | None = None
    negatives: Float[Tensor, "negatives prompts tokens width"] | None = None
    negative_weights: Float[Tensor, "negatives prompts"] | None = None
    rescale: float = 0.0
    orbit: Orbit | None = None

    def of_views(self, chosen: Bool[Tensor, " views"]) -> "Conditioning":
        """What is asked of some of the views; each has a text of its own."""

        def some(values: Tensor, axis: int) -> Tensor:
            return (
                values
                if values.shape[axis] == 1
                else values.index_select(axis, chosen.nonzero()[:, 0].to(values.device))
            )

        return replace(
            self,
            text=some(self.text, 0),
            null_text=some(self.null_text, 0),
            camera=None if self.camera is None else some(self.camera, 0),
            orbit=None if self.orbit is None else self.orbit[chosen.cpu()],
            negatives=None if self.negatives is None else some(self.negatives, 1),
            negative_weights=None if self.negative_weights is None else some(self.negative_weights, 1),
        )


@dataclass(frozen=True)
class Prediction:
    """What a prior says of noisy latents, as noise: guided, for the prompt alone, and without a prompt."""

    guided: Float[Tensor, "views channels h w"]
    conditional: Float[Tensor, "views channels h w"]
    unconditional: Float[Tensor, "views channels h w"]


def perpendicular(
    direction: Float[Tensor, "*negatives views channels h w"], to: Float[Tensor, "views channels h w"]
) -> Float[Tensor, "*negatives views channels h w"]:
    """The part of a direction that is perpendicular to another, view by view; all of it where the other is zero."""
    inner, squared = ((direction * to).flatten(-3).sum(-1), (to * to).flatten(-3).sum(-1))
    share = inner / squared.clamp_min(torch.finfo(squared.dtype).tiny)
    return direction - share[..., None, None, None] * to


def perp_neg(
    without: Float[Tensor, "views channels h w"],
    with_text: Float[Tensor, "views channels h w"],
    negatives: Float[Tensor, "negatives views channels h w"],
    weights: Float[Tensor, "negatives views"],
    scale: float,
) -> Float[Tensor, "views channels h w"]:
    """Perp-Neg (Armandpour et al. 2023, eq. 7): e_0 + s (d - sum_i w_i perp(d_i, d)) with d = e - e_0.

    A negative prompt can then take nothing away from what the prompt asks for.

    Args:
        without: outputs for the empty prompt.
        with_text: for the prompts.
        negatives: for each negative prompt.
        weights: of the negative prompts, at least 0.
        scale: of guidance.
    """
    positive = with_text - without
    away = perpendicular(negatives - without, positive)
    return without + scale * (positive - (weights[..., None, None, None] * away).sum(0))


def rescaled(
    guided: Float[Tensor, "views channels h w"], conditional: Float[Tensor, "views channels h w"], amount: float
) -> Float[Tensor, "views channels h w"]:
    """Draw each guided output's standard deviation towards the unguided one's (Lin et al. 2024, eqs. 15 and 16).

    Args:
        guided: outputs with guidance, whose contrast is too high.
        conditional: outputs for the prompt without guidance.
        amount: 0 leaves them as they are, 1 gives them the unguided standard deviation.
    """
    wanted, found = (x.flatten(1).std(dim=1)[:, None, None, None] for x in (conditional, guided))
    return amount * (guided * (wanted / found.clamp_min(1e-8))) + (1 - amount) * guided
