"""The `consistency` mode of texture_refinement: views that a prior makes of a painted mesh, and the fit to them."""

import torch
from torch import Tensor

from prior3d.cameras import orbit_cameras
from prior3d.images.backgrounds import NAMED_BACKGROUNDS, encoded_backgrounds
from prior3d.images.colours import difference_mask, most_distinct_background
from prior3d.meshes.painting import Footprints, Surface, Targets, texel_evidence, texel_variation, weighted_huber
from prior3d.seeds import Seeds
from stages.guided_views import GuidedViews, spiral
from stages.texture_refinement import Params

# Twice this is how far a pixel must be from the background to be believed: soft edges of the prior's object are not.
BACKGROUND_TOLERANCE = 0.15


class RepaintedViews:
    """Fits a texture to views that the prior made of it, and has them made anew now and then.

    Attributes:
        targets: a module that holds the views' colours, so that checkpoints do.
    """

    def __init__(
        self,
        surface: Surface,
        latents: Tensor | None,
        texture: Tensor,
        views: GuidedViews,
        seeds: Seeds,
        params: Params,
    ) -> None:
        """Choose the cameras, find what they see, and the background that the object stands out from.

        The first views are rendered from `latents` if there are any, all others from the texture.
        """
        self.surface, self.latents, self.texture = surface, latents, texture
        self.views, self.seeds, self.params, self.prior = views, seeds, params, views.prior
        self.orbit = spiral(params, params.n_views)
        self.cameras = orbit_cameras(self.orbit, self.prior.image_size, self.prior.image_size).to(self.prior.device)
        self.seen = [self._footprints(view, self.prior.image_size, params.resolution) for view in range(params.n_views)]
        self.targets = Targets([len(seen.pixels) for seen in self.seen], self.prior.device)
        levels = list(NAMED_BACKGROUNDS.values())
        with torch.no_grad():
            colours = torch.cat([seen.colours(texture)[seen.weights.sum(1) > 0.99] for seen in self.seen])
        self.place = most_distinct_background(colours, levels, but=0.02)
        self.level = levels[self.place]
        self.latents_behind = encoded_backgrounds(self.prior)[self.place]

    def losses(self, step: int) -> dict[str, Tensor]:
        """Of some views, drawn at random; at evenly spread steps all views are made anew before."""
        p = self.params
        for turn, noise_level in enumerate(p.noise_levels):
            if step == turn * p.steps // len(p.noise_levels):
                self.make_views(noise_level, from_latents=turn == 0 and self.latents is not None)
        drawn = torch.randperm(p.n_views, generator=self.seeds.generator("views"))[: p.views_per_step]
        return {
            "colour": torch.stack([self.difference(view) for view in drawn.tolist()]).mean(),
            "smoothness": p.smoothness_weight * texel_variation(self.texture),
        }

    def difference(self, view: int) -> Tensor:
        """Between a view as it is and as it should be, where it is to be trusted."""
        wanted, _ = self.targets.of(view)
        return weighted_huber(self.seen[view].colours(self.texture), wanted, self.weights(view))

    def weights(self, view: int) -> Tensor:
        """Of a view's pixels that show the mesh [n]: where it is looked at squarely and the prior drew something.

        Where the prior left the background, its object is slimmer than the mesh, and says nothing about its colour.
        """
        seen = self.seen[view]
        return seen.weights.sum(1) * seen.facing**self.params.squareness * self.targets.of(view)[1]

    def seen_texels(self, least: float = 0.1) -> Tensor:
        """Texels that some view was trusted about: [resolution, resolution] bool."""
        weights = [self.weights(view) for view in range(self.params.n_views)]
        return texel_evidence(self.seen, weights, self.params.resolution) > least

    def make_views(self, noise_level: float, *, from_latents: bool, at_once: int = 8) -> None:
        """Render all views, take them to the noise level and back, and put them in the place of the old ones."""
        with torch.no_grad():
            for first in range(0, self.orbit.views, at_once):
                places = range(first, min(first + at_once, self.orbit.views))
                latents = torch.cat([self.rendered_latents(view, from_latents) for view in places])
                orbit = self.orbit[slice(first, first + at_once)]
                n_steps = self.params.denoising_steps
                remade = self.views.remade(latents, orbit, self.place, noise_level, n_steps, self.seeds)
                images = self.prior.decode(remade)
                drawn = difference_mask(images, self.level, BACKGROUND_TOLERANCE)
                for view, image, mask in zip(places, images, drawn, strict=True):
                    seen = self.seen[view]
                    covered = seen.weights.sum(1, keepdim=True)
                    pixels = image.movedim(0, -1).reshape(-1, 3)[seen.pixels]
                    colours = torch.minimum((pixels - (1 - covered) * self.level).clamp_min(0), covered)
                    self.targets.put(view, colours, mask.flatten()[seen.pixels])

    def rendered_latents(self, view: int, from_latents: bool) -> Tensor:
        """A view as the texture shows it now, over the chosen background: [1, channels, h, w]."""
        if from_latents and self.latents is not None:
            seen = self._footprints(view, self.prior.latent_size, self.latents.shape[0])
            pixels = seen.paint(self.latents) + (1 - seen.coverage)[..., None] * self.latents_behind
            return pixels.movedim(-1, 1)
        seen = self.seen[view]
        image = seen.paint(self.texture.clamp(0, 1)) + (1 - seen.coverage)[..., None] * self.level
        return self.prior.encode(image.movedim(-1, 1))

    def _footprints(self, view: int, size: int, resolution: int) -> Footprints:
        cameras = self.cameras[view].resized(size, size)
        return self.surface.footprints(cameras, resolution, self.params.supersampling)
