"""Views that a prior makes from a field, to which the field is then fitted.

Views are rendered over the flat background that the object stands out from, noised to a level, and denoised with their
camera and prompt (SDEdit, Meng et al. 2022); they replace the old ones (the dataset update of Instruct-NeRF2NeRF, Haque
et al. 2023). As the background is known, each view also gives a mask.
"""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.distillation.backgrounds import FlatBackground
from prior3d.distillation.view_sampler import ViewSampler, spiral
from prior3d.fields import ObjectField
from prior3d.fields.protocol import DrawsItself
from prior3d.images.colours import clean_mask, difference_mask, estimate_alpha
from prior3d.reconstruction.view_targets import ViewTargets, premultiplied
from prior3d.rendering import render_without_gradient
from prior3d.seeds import Seeds
from prior3d.settings.refresh import RefreshSettings

VIEWS_AT_ONCE = 8


class RefreshedViews:
    """Views all around a field that the prior refreshes now and then.

    Args:
        field: what is fitted, and what later refreshes render: a field, or splats.
        sampler: the prior, its prompts and the cameras' ranges.
        seeds: "noise" is drawn here.
        settings: how many views, and how they are denoised.
        n_samples: intervals along a ray of a field.
        background: flat, behind all views.
        latent_field: what the first refresh renders instead, as latents; None: the field.

    Attributes:
        targets: the views; a module, so that checkpoints hold them.
    """

    def __init__(
        self,
        field: ObjectField | DrawsItself,
        sampler: ViewSampler,
        seeds: Seeds,
        settings: RefreshSettings,
        n_samples: int,
        background: FlatBackground,
        latent_field: ObjectField | None = None,
    ) -> None:
        self.field, self.latent_field, self.sampler, self.seeds = field, latent_field, sampler, seeds
        self.settings, self.n_samples, self.background = settings, n_samples, background
        self.prior = sampler.prior
        self.orbit = spiral(sampler.views, settings.n_views)
        size = self.prior.image_size
        self.targets = ViewTargets(orbit_cameras(self.orbit, size, size).to(self.prior.device))
        self.background_latents = background.latents(self.prior)

    @torch.no_grad()
    def refresh(self, number: int, strength: float) -> None:
        """Render all views, take them to the noise level and back, and replace the old ones.

        Args:
            number: of the refresh, from 0; the first renders the latent field, where there is one.
            strength: noise level, as a fraction of the prior's.
        """
        source = self.latent_field if number == 0 else None
        images, opacities = [], []
        for first in range(0, self.orbit.views, VIEWS_AT_ONCE):
            orbit = self.orbit[slice(first, first + VIEWS_AT_ONCE)]
            latents = self._rendered_latents(orbit, source)
            refreshed = self.sampler.sdedit(
                latents, orbit, self.background.index, strength, self.settings.num_inference_steps, self.seeds
            )
            images.append(self.prior.decode(refreshed))
            opacities.append(self._opacity(orbit, source))
        colours, level = torch.cat(images), self.background.level
        masks = estimate_alpha(colours, clean_mask(difference_mask(colours, level), torch.cat(opacities)), level)
        self.targets.put(slice(None), premultiplied(colours, masks, level), masks)

    def _rendered_latents(self, orbit: Orbit, source: ObjectField | None) -> Float[Tensor, "views channels h w"]:
        """The views as they are now over the background: the latent field's own latents, or the field's encoded."""
        size = self.prior.image_size if source is None else self.prior.latent_size
        cameras = orbit_cameras(orbit, size, size).to(self.prior.device)
        if source is not None:
            features, opacity, _ = render_without_gradient(source, cameras, self.n_samples)
            return (features + (1 - opacity)[..., None] * self.background_latents).movedim(-1, 1)
        behind = torch.full((3,), self.background.level, device=self.prior.device)
        images, _ = seen(self.field, cameras, self.n_samples, behind)
        return self.prior.encode(images.movedim(-1, 1))

    def _opacity(self, orbit: Orbit, source: ObjectField | None) -> Float[Tensor, "views h w"]:
        """The opacity now, at the size of the images, from renders of half that size."""
        size = self.prior.image_size
        cameras = orbit_cameras(orbit, size // 2, size // 2).to(self.prior.device)
        _, opacity = seen(source or self.field, cameras, self.n_samples)
        return functional.interpolate(opacity[:, None], (size, size), mode="bilinear", align_corners=False)[:, 0]


def seen(
    field: ObjectField | DrawsItself,
    cameras: Cameras,
    n_samples: int,
    background: Float[Tensor, "3"] | None = None,
) -> tuple[Float[Tensor, "views height width channels"], Float[Tensor, "views height width"]]:
    """Images and opacity of a field or of splats, without gradient; premultiplied where there is no background."""
    if isinstance(field, DrawsItself):
        behind = torch.zeros(3, device=cameras.c2w.device) if background is None else background
        return field.render_views(cameras, behind)
    features, opacity, _ = render_without_gradient(field, cameras, n_samples, background)
    return features, opacity
