"""The losses of splats that are fitted to whole images, one a step."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.captures.posed import MaskMeaning
from prior3d.captures.whole_images import WholeImages
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.settings.splats import SplatDensityControl
from prior3d.splats.model import Splats
from prior3d.splats.optimising import control_density
from prior3d.splats.render import render_splats

ABSOLUTE, SQUARED = 0.5, 2.0  # weights of the two means of colour differences
Losses = Callable[[int], dict[str, Float[Tensor, ""]]]


def image_losses(
    splats: Splats,
    images: WholeImages,
    meaning: MaskMeaning,
    optimiser: torch.optim.Optimizer,
    control: SplatDensityControl,
    n_steps: int,
    seeds: Seeds,
) -> Losses:
    """The weighted terms of a step, one of `n_steps` of a phase; `meaning` is of the images' masks.

    Before the step the splats change in place: they walk, and from time to time some are moved. The optimiser's first
    group is that of their centres.
    """
    device = splats.means.device

    def terms(step: int) -> dict[str, Tensor]:
        control_density(splats, optimiser, control, step, n_steps, seeds)
        view = int(torch.randint(len(images), (), generator=seeds.generator("views")))
        camera, image, mask = images[view]
        image, mask = sent(image, device), sent(mask, device)[..., None]
        behind = sent(torch.rand(3, generator=seeds.generator("behind")), device)
        wanted = image + (1 - mask) * behind if meaning == "object" else image
        difference = render_splats(splats, camera.to(device), behind).colours - wanted
        if meaning == "ignore":
            difference = difference * mask
        return {
            "colour": ABSOLUTE * difference.abs().mean() + SQUARED * difference.square().mean(),
            "opacity": control.opacity_weight * splats.opacities.sigmoid().mean(),
            "scale": control.scale_weight * splats.scales.exp().mean(),
        }

    return terms
