"""The `consistency` mode of rgb_refinement: views that a prior makes from a field, and to which the field is fitted.

Views are rendered over the flat background that the object stands out from, noised to a level, and denoised with their
camera and text (SDEdit, Meng et al. 2022); they take the place of the old ones (the dataset update of
Instruct-NeRF2NeRF, Haque et al. 2023). As the background is known, each view also gives a mask.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.cameras import Orbit, orbit_cameras
from prior3d.fields import ObjectField
from prior3d.images.backgrounds import NAMED_BACKGROUNDS, encoded_backgrounds
from prior3d.images.colours import difference_mask, matted, most_distinct_background, solid
from prior3d.reconstruction.view_targets import MaskedViews, view_losses
from prior3d.rendering import Rendering, render_rays, render_without_gradient
from prior3d.seeds import Seeds
from stages.guided_views import GuidedViews, ring_views, spiral
from stages.image_nerf import Params as ImageParams
from stages.rgb_refinement import Params


class RemadeViews:
    """Fits the field to views that the prior made from it, and has them made anew now and then."""

    def __init__(
        self,
        latent_field: "ObjectField",
        field: "ObjectField",
        views: GuidedViews,
        seeds: Seeds,
        params: Params | ImageParams,
        regularisers: Callable[[Rendering, float], dict[str, Tensor]],
    ) -> None:
        """Choose the cameras, and the background that the object stands out from."""
        self.latent_field, self.field, self.views, self.seeds, self.params = latent_field, field, views, seeds, params
        self.regularisers = regularisers
        self.prior = views.prior
        self.orbit = spiral(params, params.n_views)
        size = self.prior.image_size
        self.targets = MaskedViews(orbit_cameras(self.orbit, size, size).to(self.prior.device))
        colours, opacity = ring_views(field, params, params.n_samples, self.prior.latent_size)
        seen = opacity > 0.5
        self.place = most_distinct_background(colours[seen] / opacity[seen][:, None], list(NAMED_BACKGROUNDS.values()))
        self.level = list(NAMED_BACKGROUNDS.values())[self.place]
        self.latents_behind = encoded_backgrounds(self.prior)[self.place]

    def losses(self, step: int) -> dict[str, Tensor]:
        """Of rays of the views; at evenly spread steps the views are made anew before."""
        p = self.params
        for turn, noise_level in enumerate(p.noise_levels):
            if step == turn * p.steps // len(p.noise_levels):
                self.make_views(noise_level, from_latents=turn == 0)
        origins, directions, colours, masks = self.targets.draw(p.rays_per_step, self.seeds.generator("rays"))
        rendering = render_rays(self.field, origins, directions, p.n_samples, self.seeds.generator("samples"))
        backgrounds = torch.rand(colours.shape, generator=self.seeds.generator("behind")).to(colours)
        colour, mask = view_losses(rendering, colours, masks, backgrounds)
        return {"colour": colour, "mask": p.mask_weight * mask} | self.regularisers(rendering, step / p.steps)

    def make_views(self, noise_level: float, *, from_latents: bool, at_once: int = 8) -> None:
        """Render all views, take them to the noise level and back, and put them in the place of the old ones."""
        made, known = [], []
        with torch.no_grad():
            for first in range(0, self.orbit.views, at_once):
                orbit = self.orbit[slice(first, first + at_once)]
                latents = self.rendered_latents(orbit, from_latents)
                remade = self.views.remade(
                    latents, orbit, self.place, noise_level, self.params.denoising_steps, self.seeds
                )
                made.append(self.prior.decode(remade))
                known.append(self.opacity(orbit, from_latents))
            images = torch.cat(made)
            masks = solid(difference_mask(images, self.level), torch.cat(known))
            self.targets.put(images, matted(images, masks, self.level), self.level)

    def rendered_latents(self, orbit: Orbit, from_latents: bool) -> Tensor:
        """The views as the field shows them now, over the chosen background: [views, channels, h, w]."""
        size = self.prior.latent_size if from_latents else self.prior.image_size
        cameras = orbit_cameras(orbit, size, size).to(self.prior.device)
        if from_latents:
            found, opacity, _ = render_without_gradient(self.latent_field, cameras, self.params.n_samples)
            return (found + (1 - opacity)[..., None] * self.latents_behind).movedim(-1, 1)
        behind = torch.full((3,), self.level, device=self.prior.device)
        images, _, _ = render_without_gradient(self.field, cameras, self.params.n_samples, behind)
        return self.prior.encode(images.movedim(-1, 1))

    def opacity(self, orbit: Orbit, from_latents: bool) -> Tensor:
        """The field's opacity now, at the size of the images [views, h, w], from renders of half that size."""
        size = self.prior.image_size
        cameras = orbit_cameras(orbit, size // 2, size // 2).to(self.prior.device)
        field = self.latent_field if from_latents else self.field
        _, opacity, _ = render_without_gradient(field, cameras, self.params.n_samples)
        return functional.interpolate(opacity[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]
