"""Posed images that a field is fitted to: which rays to look at, and how far the render is from what should be there.

One container serves all uses: the image of an object and its mirror image, views that a prior refreshes, the inputs of
a sparse-view method and the prior's views between them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.fields import RadianceField
from prior3d.losses.robust import absolute_loss, huber_loss, squared_loss
from prior3d.rendering import Rendering, rays, render_rays
from prior3d.seeds import Seeds
from prior3d.sending import sent

ColourLoss = Callable[[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"], Float[Tensor, "rays"]], Float[Tensor, ""]]

COLOUR_LOSSES: dict[str, ColourLoss] = {"huber": huber_loss, "squared": squared_loss, "absolute": absolute_loss}


@dataclass(frozen=True)
class RayBatch:
    """Rays and what they should show.

    Attributes:
        origins: world units.
        directions: unit.
        colours: premultiplied by the masks.
        masks: in [0, 1]; all 1 where the views have none.
        weights: how much each ray counts.
    """

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    colours: Float[Tensor, "rays 3"]
    masks: Float[Tensor, "rays"]
    weights: Float[Tensor, "rays"]


class ViewTargets(nn.Module):
    """Posed images, which may be replaced while a field is fitted to them; a module, so that checkpoints hold them.

    Args:
        cameras: of the views; their images are black and have no weight until they are put.
        masked: whether masks say where the object is; if not, images are whole, with what lies behind the object.
        background_ray_fraction: how often a ray far from the masks is drawn, relative to one on or near them.

    Attributes:
        colours: premultiplied by the masks.
        masks: in [0, 1]; all 1 where there are none.
        weights: 0 where a pixel does not count.
    """

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    colours: Float[Tensor, "views height width 3"]
    masks: Float[Tensor, "views height width"]
    weights: Float[Tensor, "views height width"]
    near: Bool[Tensor, "views height width"]

    def __init__(self, cameras: Cameras, masked: bool = True, background_ray_fraction: float = 0.1) -> None:
        super().__init__()
        self.cameras, self.masked, self.background_ray_fraction = cameras, masked, background_ray_fraction
        origins, directions = rays(cameras)
        shape, device = origins.shape[:-1], origins.device
        self.register_buffer("origins", origins.reshape(-1, 3), persistent=False)
        self.register_buffer("directions", directions.reshape(-1, 3), persistent=False)
        self.register_buffer("colours", torch.zeros(*shape, 3, device=device))
        self.register_buffer("masks", torch.ones(shape, device=device))
        self.register_buffer("weights", torch.zeros(shape, device=device))
        self.register_buffer("near", torch.ones(shape, dtype=torch.bool, device=device))

    def put(
        self,
        index: Int[Tensor, "chosen"] | slice,
        images: Float[Tensor, "chosen 3 height width"],
        masks: Float[Tensor, "chosen height width"] | None,
        weights: Float[Tensor, "#chosen #height #width"] | float = 1.0,
    ) -> None:
        """Replace some views.

        Args:
            index: their numbers; `slice(None)` replaces all.
            images: premultiplied where there are masks, see `premultiplied`.
            masks: None where there are none.
            weights: one number, one per view or one per pixel.
        """
        device = self.colours.device
        self.colours[index] = images.movedim(1, -1).to(device)
        if masks is not None:
            masks = masks.to(device)
            self.masks[index] = masks
            reach = 2 * max(1, masks.shape[1] // 24) + 1  # pixels
            self.near[index] = functional.max_pool2d(masks[:, None], reach, stride=1, padding=reach // 2)[:, 0] > 0.1
        self.weights[index] = torch.as_tensor(weights, dtype=torch.float32, device=device)

    def draw(self, n_rays: int, generator: torch.Generator, *, by_weight: bool = False) -> RayBatch:
        """Draw rays, most of them on and near masks; none of weight 0 (all of weight 0: any, which then count 0).

        Args:
            n_rays: how many.
            generator: of the choice, on the CPU.
            by_weight: draw in proportion to the weights, and count all rays alike; else draw those of all weights
                alike, and give their weights.
        """
        interest = self.weights.double() if by_weight else (self.weights > 0).double()
        interest = interest * torch.where(self.near, 1.0, self.background_ray_fraction).double()
        cumulative = interest.view(-1).cumsum(0)
        places = torch.rand(n_rays, dtype=torch.float64, generator=generator)
        places = sent(places, cumulative.device) * cumulative[-1]
        i = torch.searchsorted(cumulative, places, right=True).clamp_max(len(cumulative) - 1)
        weights = self.weights.view(-1)[i]
        weights = (weights > 0).to(weights) if by_weight else weights
        return RayBatch(
            self.origins[i], self.directions[i], self.colours.view(-1, 3)[i], self.masks.view(-1)[i], weights
        )


def premultiplied(
    images: Float[Tensor, "views 3 height width"], masks: Float[Tensor, "views height width"], level: float
) -> Float[Tensor, "views 3 height width"]:
    """Images over a flat grey background of that level without it: colours times masks."""
    masks = masks[:, None]
    return torch.minimum((images - (1 - masks) * level).clamp_min(0), masks)


def view_losses(
    rendering: Rendering,
    batch: RayBatch,
    backgrounds: Float[Tensor, "rays 3"],
    colour_loss: ColourLoss,
    masked: bool = True,
    squared_mask: bool = False,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """How far rendered rays are from what they should show: a loss of the colours, and the mean error of the opacity.

    Args:
        rendering: of the rays, without a background.
        batch: what they should show.
        backgrounds: put behind both where there are masks, else behind the render alone; random ones make transparent
            colours impossible to mistake for opaque.
        colour_loss: of rendered colours, target colours and weights; see `prior3d.losses.robust`.
        masked: whether the batch's masks count; without them the second loss is 0.
        squared_mask: the opacity's squared error in place of the absolute one.
    """
    rendered = rendering.features + (1 - rendering.opacity)[:, None] * backgrounds
    target = batch.colours + (1 - batch.masks)[:, None] * backgrounds if masked else batch.colours
    colour = colour_loss(rendered, target, batch.weights)
    if not masked:
        return colour, colour.new_zeros(())
    error = (rendering.opacity - batch.masks).abs()
    return colour, (batch.weights * (error.square() if squared_mask else error)).mean()


def fit_losses(
    field: RadianceField,
    targets: ViewTargets,
    n_rays: int,
    n_samples: int,
    seeds: Seeds,
    generator: str,
    loss: Literal["huber", "squared", "absolute"] = "huber",
) -> tuple[Rendering, Float[Tensor, ""], Float[Tensor, ""]]:
    """Draw rays of masked views and render them: the rendering, and how far colours and opacity are off.

    Args:
        field: what is fitted.
        targets: the views.
        n_rays: how many rays.
        n_samples: intervals along each.
        seeds: "samples", "behind" and the named generator are drawn from.
        generator: name of the generator that chooses rays.
        loss: of the colours; the opacity's is the absolute error, or with `squared` its square.
    """
    batch = targets.draw(n_rays, seeds.generator(generator))
    rendering = render_rays(
        field, batch.origins, batch.directions, n_samples, seeds.generator("samples", batch.origins.device)
    )
    backgrounds = sent(torch.rand(batch.colours.shape, generator=seeds.generator("behind")), batch.colours)
    return rendering, *view_losses(rendering, batch, backgrounds, COLOUR_LOSSES[loss], squared_mask=loss == "squared")
