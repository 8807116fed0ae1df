"""The losses of splats that are fitted to whole images, one a step, and what is done to the splats between steps."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.captures.posed import MaskMeaning
from prior3d.captures.whole_images import WholeImages
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.settings.splats import SplatDensityControl, SplatRates
from prior3d.splats.density_control import relocate, walk
from prior3d.splats.model import NAMES, Splats
from prior3d.splats.render import render_splats

Losses = Callable[[int], dict[str, Float[Tensor, ""]]]


def rate_groups(splats: Splats, rates: SplatRates) -> list[dict[str, Any]]:
    """The parameter groups of an optimiser, each kind of tensor with its learning rate."""
    return [{"params": [getattr(splats, name)], "lr": getattr(rates, name)} for name in NAMES]


def image_losses(
    splats: Splats,
    images: WholeImages,
    meaning: MaskMeaning,
    optimiser: torch.optim.Optimizer,
    control: SplatDensityControl,
    n_steps: int,
    seeds: Seeds,
) -> Losses:
    """The weighted terms of a step; before the step, splats walk, and from time to time they are moved.

    Args:
        splats: what is fitted; changed in place.
        images: to which.
        meaning: of the images' masks.
        optimiser: over the splats, whose first group is that of the centres.
        control: how Gaussians move.
        n_steps: of this phase.
        seeds: the generators `views`, `behind`, `places` and `walk`.
    """

    def terms(step: int) -> dict[str, Tensor]:
        if step and step <= control.until * n_steps:
            if step % control.every == 0:
                relocate(splats, optimiser, control.min_opacity, seeds.generator("places"))
            rate = optimiser.param_groups[0]["lr"]
            walk(splats, control.noise * rate, seeds.generator("walk"))
        view = int(torch.randint(len(images), (), generator=seeds.generator("views")))
        camera, image, mask = (
            sent(part, splats.means.device) if isinstance(part, Tensor) else part for part in images[view]
        )
        behind = sent(torch.rand(3, generator=seeds.generator("behind")), splats.means.device)
        if meaning == "object":
            image = image + (1 - mask)[..., None] * behind
        rendered = render_splats(splats, camera.to(splats.means.device), behind)
        difference = rendered.colours - image
        if meaning == "ignore":
            difference = difference * mask[..., None]
        return {
            "colour": 0.5 * difference.abs().mean() + 2 * difference.square().mean(),
            "opacity": control.opacity_weight * splats.opacities.sigmoid().mean(),
            "scale": control.scale_weight * splats.scales.exp().mean(),
        }

    return terms
