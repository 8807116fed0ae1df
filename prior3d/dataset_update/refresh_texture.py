"""Views that a prior makes of a painted mesh, and the fit of its texture to them.

Views are rendered over the flat background that the object stands out from, noised, and denoised with their camera and
prompt (SDEdit, Meng et al. 2022); later they are made again from what was fitted (the dataset update of
Instruct-NeRF2NeRF, Haque et al. 2023). The mesh is known, so its pixels are too.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.cameras import orbit_cameras
from prior3d.dataset_update.schedule import refreshes_at
from prior3d.distillation.backgrounds import choose_background
from prior3d.distillation.view_sampler import ViewSampler, spiral
from prior3d.images.colours import difference_mask
from prior3d.meshes.painting import (
    Surface,
    TexelWeights,
    TextureTargets,
    texel_evidence,
    texture_total_variation,
    weighted_huber,
)
from prior3d.seeds import Seeds
from prior3d.settings.textures import TextureRefreshSettings

# Twice this is how far a pixel must be from the background to be believed: soft edges of the prior's object are not.
BACKGROUND_TOLERANCE = 0.15
VIEWS_AT_ONCE = 8


class RefreshedTextureViews:
    """Views of a mesh that the prior refreshes now and then, and the losses of a texture against them.

    Args:
        surface: the mesh.
        texture: [resolution, resolution, 3], what is fitted; its tensor is read at every step.
        sampler: the prior, its prompts and the cameras' ranges.
        seeds: "views" and "noise" are drawn here.
        settings: how many views, how they are denoised, how far a pixel is trusted.
        n_steps: of the fit.
        latents: [h, w, channels], a latent texture that the first refresh renders; None: the texture.

    Attributes:
        targets: a module that holds the views' colours, so that checkpoints do.
    """

    def __init__(
        self,
        surface: Surface,
        texture: Float[Tensor, "resolution resolution 3"],
        sampler: ViewSampler,
        seeds: Seeds,
        settings: TextureRefreshSettings,
        n_steps: int,
        latents: Float[Tensor, "size size channels"] | None = None,
    ) -> None:
        self.surface, self.texture, self.latents = surface, texture, latents
        self.sampler, self.seeds, self.settings, self.n_steps = sampler, seeds, settings, n_steps
        self.prior, n_views = sampler.prior, settings.n_views
        size = self.prior.image_size
        self.orbit = spiral(sampler.views, n_views)
        self.cameras = orbit_cameras(self.orbit, size, size).to(self.prior.device)
        self.texel_weights = [self._texel_weights(view, size, texture.shape[0]) for view in range(n_views)]
        self.targets = TextureTargets([len(found.pixels) for found in self.texel_weights], self.prior.device)
        with torch.no_grad():
            whole = [found.colours(texture)[found.weights.sum(1) > 0.99] for found in self.texel_weights]
        self.background = choose_background(torch.cat(whole), but=0.02)
        self.background_latents = self.background.latents(self.prior)

    def losses(self, step: int) -> dict[str, Float[Tensor, ""]]:
        """Of some views, drawn at random; evenly spread over the steps all views are refreshed before."""
        settings = self.settings
        for number, strength in refreshes_at(step, self.n_steps, settings.strengths):
            self.refresh(number, strength)
        drawn = torch.randperm(settings.n_views, generator=self.seeds.generator("views"))
        drawn = drawn[: self.sampler.views.per_step]
        return {
            "colour": torch.stack([self._difference(view) for view in drawn.tolist()]).mean(),
            "smoothness": settings.smoothness_weight * texture_total_variation(self.texture),
        }

    def trusted_texels(self, least: float = 0.1) -> Bool[Tensor, "resolution resolution"]:
        """Texels that some view was trusted about."""
        weights = [self._trust(view) for view in range(self.settings.n_views)]
        return texel_evidence(self.texel_weights, weights, self.texture.shape[0]) > least

    @torch.no_grad()
    def refresh(self, number: int, strength: float) -> None:
        """Render all views, take them to the noise level and back, and replace the old ones."""
        for first in range(0, self.orbit.views, VIEWS_AT_ONCE):
            views = range(first, min(first + VIEWS_AT_ONCE, self.orbit.views))
            latents = torch.cat([self._rendered_latents(view, from_latents=number == 0) for view in views])
            orbit = self.orbit[slice(first, first + VIEWS_AT_ONCE)]
            n_steps = self.settings.num_inference_steps
            refreshed = self.sampler.sdedit(latents, orbit, self.background.index, strength, n_steps, self.seeds)
            images = self.prior.decode(refreshed)
            masks = difference_mask(images, self.background.level, BACKGROUND_TOLERANCE)
            for view, image, mask in zip(views, images, masks, strict=True):
                self._put(view, image, mask)

    def _put(self, view: int, image: Float[Tensor, "3 h w"], mask: Float[Tensor, "h w"]) -> None:
        """Take over a refreshed view; where the prior left the background, its object is slimmer than the mesh."""
        found = self.texel_weights[view]
        covered = found.weights.sum(1, keepdim=True)
        pixels = image.movedim(0, -1).reshape(-1, 3)[found.pixels]
        colours = torch.minimum((pixels - (1 - covered) * self.background.level).clamp_min(0), covered)
        self.targets.put(view, colours, mask.flatten()[found.pixels])

    def _difference(self, view: int) -> Float[Tensor, ""]:
        """Between a view as it is and as it should be, where it is to be trusted."""
        target, _ = self.targets.of(view)
        return weighted_huber(self.texel_weights[view].colours(self.texture), target, self._trust(view))

    def _trust(self, view: int) -> Float[Tensor, " n"]:
        """Of a view's pixels that show the mesh: where it is seen squarely and the prior drew something."""
        found = self.texel_weights[view]
        return found.weights.sum(1) * found.cos_theta**self.settings.view_angle_exponent * self.targets.of(view)[1]

    def _rendered_latents(self, view: int, from_latents: bool) -> Float[Tensor, "1 channels h w"]:
        """A view as it is now, over the background."""
        if from_latents and self.latents is not None:
            found = self._texel_weights(view, self.prior.latent_size, self.latents.shape[0])
            pixels = found.render(self.latents) + (1 - found.coverage)[..., None] * self.background_latents
            return pixels.movedim(-1, 1)
        found = self.texel_weights[view]
        image = found.render(self.texture.clamp(0, 1)) + (1 - found.coverage)[..., None] * self.background.level
        return self.prior.encode(image.movedim(-1, 1))

    def _texel_weights(self, view: int, size: int, resolution: int) -> TexelWeights:
        cameras = self.cameras[view].resized(size, size)
        return self.surface.texel_weights(cameras, resolution, self.settings.supersampling)
