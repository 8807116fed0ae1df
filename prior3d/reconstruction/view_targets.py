"""Fit a field to masked views: which rays to look at, and how far the render is from what should be there."""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.fields import RadianceField
from prior3d.rendering import Rendering, rays, render_rays
from prior3d.seeds import Seeds


class ViewTargets(nn.Module):
    """Views with masks, which may be replaced while a field is fitted to them; a module, so that checkpoints hold them.

    Attributes:
        colours: [views, height, width, 3] premultiplied by the masks.
        masks: [views, height, width] in [0, 1].
    """

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    colours: Float[Tensor, "views height width 3"]
    masks: Float[Tensor, "views height width"]
    interest: Float[Tensor, "rays"]

    def __init__(self, cameras: Cameras):
        """Begin with empty views of the given cameras."""
        super().__init__()
        self.cameras = cameras
        origins, directions = rays(cameras)
        shape = origins.shape[:-1]
        self.register_buffer("origins", origins.reshape(-1, 3), persistent=False)
        self.register_buffer("directions", directions.reshape(-1, 3), persistent=False)
        self.register_buffer("colours", torch.zeros(*shape, 3, device=origins.device))
        self.register_buffer("masks", torch.zeros(shape, device=origins.device))
        self.register_buffer("interest", torch.ones(shape.numel(), dtype=torch.float64, device=origins.device))

    def put(
        self,
        images: Float[Tensor, "views 3 height width"],
        masks: Float[Tensor, "views height width"],
        level: float,
        idle_interest: float = 0.1,
    ) -> None:
        """Replace all views.

        Args:
            images: [views, 3, height, width] in [0, 1], over a flat grey background.
            masks: [views, height, width] in [0, 1].
            level: of the background.
            idle_interest: how often rays far from the masks are drawn, relative to rays on and near them.
        """
        images = images.movedim(1, -1)
        self.masks.copy_(masks)
        premultiplied = images - (1 - masks[..., None]) * level
        self.colours.copy_(torch.minimum(premultiplied.clamp_min(0), masks[..., None]))
        reach = 2 * max(1, images.shape[1] // 24) + 1
        near = functional.max_pool2d(masks[:, None], reach, stride=1, padding=reach // 2)[:, 0] > 0.1
        self.interest.copy_(torch.where(near, 1.0, idle_interest).view(-1))

    def draw(
        self, n_rays: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"], Float[Tensor, "rays 3"], Float[Tensor, "rays"]]:
        """Draw rays, most on and near masks: origins, directions, colours (each [n_rays, 3]) and masks [n_rays]."""
        cumulative = self.interest.cumsum(0)
        places = torch.rand(n_rays, dtype=torch.float64, generator=generator).to(cumulative.device) * cumulative[-1]
        index = torch.searchsorted(cumulative, places, right=True).clamp_max(len(cumulative) - 1)
        colours, masks = self.colours.view(-1, 3)[index], self.masks.view(-1)[index]
        return self.origins[index], self.directions[index], colours, masks


def view_losses(
    rendering: Rendering,
    colours: Float[Tensor, "rays 3"],
    masks: Float[Tensor, "rays"],
    backgrounds: Float[Tensor, "rays 3"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """How far rendered rays are from the views: Huber's loss of the colours, and the mean difference to the masks.

    Args:
        rendering: of rays, without a background.
        colours: [rays, 3] premultiplied.
        masks: [rays].
        backgrounds: [rays, 3] put behind both; random ones make transparent colours impossible to mistake for opaque.
    """
    rendered = rendering.features + (1 - rendering.opacity)[:, None] * backgrounds
    wanted = colours + (1 - masks)[:, None] * backgrounds
    return functional.huber_loss(rendered, wanted, delta=0.1) / 0.1, (rendering.opacity - masks).abs().mean()


def fit_losses(
    field: RadianceField, targets: ViewTargets, n_rays: int, n_samples: int, seeds: Seeds, generator: str
) -> tuple[Rendering, Float[Tensor, ""], Float[Tensor, ""]]:
    """Draw rays of targets and render them: the rendering, and how far colours and opacity are off (`view_losses`).

    Args:
        field: what is fitted.
        targets: the views.
        n_rays: how many rays.
        n_samples: intervals along each.
        seeds: "samples", "behind" and the named generator are drawn from.
        generator: name of the generator that chooses rays.
    """
    origins, directions, colours, masks = targets.draw(n_rays, seeds.generator(generator))
    rendering = render_rays(field, origins, directions, n_samples, seeds.generator("samples"))
    backgrounds = torch.rand(colours.shape, generator=seeds.generator("behind")).to(colours)
    return rendering, *view_losses(rendering, colours, masks, backgrounds)
