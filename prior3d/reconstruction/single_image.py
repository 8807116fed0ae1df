"""The losses that hold a field to one image: the image from its camera, its mirror image, its depth, and normals."""

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.fields import ObjectField
from prior3d.images.files import resample
from prior3d.images.object_image import ObjectImage
from prior3d.losses.images import pearson_depth
from prior3d.losses.regularisers import normal_smoothness, opacity_entropy_bits, orientation
from prior3d.losses.robust import charbonnier_loss
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.mirrored_image import MirroredImage
from prior3d.reconstruction.view_targets import ViewTargets, fit_losses, premultiplied, view_losses
from prior3d.rendering import Rendering, rays, render, render_rays
from prior3d.seeds import Seeds
from prior3d.sending import sent
from prior3d.settings.single_image import MirrorSettings, NormalSettings, ReferenceSettings, UnseenSettings

PAPER_BLUR, PAPER_SIZE = 1.7, 96  # pixels: blur of RealFusion's normals, and the side of its renders

Terms = dict[str, Float[Tensor, ""]]


class ReferenceTerms:
    """Colour and outline of the image's rays, and its depth where that has a weight.

    Args:
        field: what is fitted.
        image: with its camera.
        size: side at which the image is fitted, in pixels.
        seeds: "reference", "samples" and "behind" are drawn here.
        settings: weights and rays.
        n_samples: intervals along a ray.
        entropy_weight: of the rays' opacity entropy in bits.
        depth_size: side of the renders whose depth is compared, in pixels.
    """

    def __init__(
        self,
        field: ObjectField,
        image: ObjectImage,
        size: int,
        seeds: Seeds,
        settings: ReferenceSettings,
        n_samples: int,
        entropy_weight: float,
        depth_size: int,
    ) -> None:
        self.field, self.image, self.seeds, self.settings = field, image, seeds, settings
        self.n_samples, self.entropy_weight, self.depth_size = n_samples, entropy_weight, depth_size
        self.device = next(field.parameters()).device
        self.targets = ViewTargets(image.viewpoint.cameras(size).to(self.device), background_ray_fraction=0.5)
        _, mask = image.premultiplied(size)
        colours = premultiplied(image.over(1.0, size)[None], mask[None], 1.0)
        self.targets.put(slice(None), colours, mask[None])

    def __call__(self) -> Terms:
        """The weighted terms of a step."""
        settings = self.settings
        rendering, colour, mask = fit_losses(
            self.field, self.targets, settings.rays_per_step, self.n_samples, self.seeds, "reference", settings.loss
        )
        terms = {"reference": settings.weight * colour, "reference_mask": settings.mask_weight * mask}
        if settings.entropy:
            terms["reference_entropy"] = self.entropy_weight * opacity_entropy_bits(rendering.opacity)
        if settings.depth_weight > 0 and self.image.depth is not None:
            terms["depth"] = settings.depth_weight * self._depth(self.image.depth)
        return terms

    def _depth(self, depth: Float[np.ndarray, "h w"]) -> Float[Tensor, ""]:
        """1 - Pearson's correlation of the rendered depth with the image's, where both see the object."""
        size = self.depth_size
        cameras = self.image.viewpoint.cameras(size).to(self.device)
        rendering = render(self.field, cameras, self.n_samples, self.seeds.generator("samples", self.device))
        given = torch.from_numpy(resample(depth[..., None], size, size)[..., 0]).to(self.device)
        _, mask = self.image.premultiplied(size)
        counted = (mask.to(given) > 0.9) & (rendering.opacity[0].detach() > 0.5)
        return pearson_depth(rendering.depth[0].flatten(), given.flatten(), counted.flatten().to(given))


class MirrorTerms:
    """Colour and outline of rays of the image's mirror image, as long as the field agrees with it.

    Args:
        field: what is fitted.
        image: with its camera.
        size: side at which the mirror image is fitted, in pixels.
        seeds: "mirrored", "samples" and "behind" are drawn here.
        settings: its weight, and the overlap of outlines that it needs.
        reference: the weights of the image itself.
        n_samples: intervals along a ray.
    """

    def __init__(
        self,
        field: ObjectField,
        image: ObjectImage,
        size: int,
        seeds: Seeds,
        settings: MirrorSettings,
        reference: ReferenceSettings,
        n_samples: int,
    ) -> None:
        self.field, self.seeds, self.settings, self.reference = field, seeds, settings, reference
        self.n_samples = n_samples
        self.mirrored = MirroredImage(image, size).to(next(field.parameters()).device)

    def __call__(self) -> Terms:
        """The weighted terms of a step; none where the mirror image has no weight or was left out."""
        if self.settings.weight == 0 or not self.mirrored.elsewhere or self.left_out:
            return {}
        _, colour, mask = fit_losses(
            self.field, self.mirrored, self.reference.rays_per_step, self.n_samples, self.seeds, "mirrored"
        )
        weight = self.settings.weight
        return {
            "mirrored": weight * self.reference.weight * colour,
            "mirrored_mask": weight * self.reference.mask_weight * mask,
        }

    def compare(self) -> None:
        """Measure once how far the field's outline is that of the mirror image."""
        if self.settings.weight > 0 and self.mirrored.elsewhere and self.iou < 0:
            self.mirrored.compare(self.field, self.n_samples)

    @property
    def iou(self) -> float:
        """Overlap of the outlines, in [0, 1]; -1 before it was measured."""
        return float(self.mirrored.agreement)

    @property
    def left_out(self) -> bool:
        """Whether the outlines overlap too little."""
        return 0 <= self.iou < self.settings.min_iou


class UnseenTerms:
    """Colour and outline of rays of views that a prior drew given the image.

    Args:
        field: what is fitted.
        views: with masks; views of more weight lend more rays.
        seeds: "drawn", "samples" and "behind" are drawn here.
        settings: weights and rays.
        n_samples: intervals along a ray.
    """

    def __init__(
        self, field: ObjectField, views: InputViews, seeds: Seeds, settings: UnseenSettings, n_samples: int
    ) -> None:
        self.field, self.seeds, self.settings, self.n_samples = field, seeds, settings, n_samples
        self.targets = ViewTargets(views.cameras)
        self.targets.put(slice(None), views.colours, views.masks, views.weights)

    def __call__(self) -> Terms:
        """The weighted terms of a step; none where the views have no weight."""
        settings, seeds = self.settings, self.seeds
        if settings.weight == 0:
            return {}
        batch = self.targets.draw(settings.rays_per_step, seeds.generator("drawn"), by_weight=True)
        samples = seeds.generator("samples", batch.origins.device)
        rendering = render_rays(self.field, batch.origins, batch.directions, self.n_samples, samples)
        behind = sent(torch.rand(batch.colours.shape, generator=seeds.generator("behind")), batch.colours)
        colour, mask = view_losses(rendering, batch, behind, charbonnier_loss)
        return {"drawn": settings.weight * colour, "drawn_mask": settings.weight * settings.mask_weight * mask}


def normal_terms(
    rendering: Rendering,
    normals: Float[Tensor, "views height width 3"] | None,
    cameras: Cameras,
    settings: NormalSettings,
) -> Terms:
    """Normals where the views' rays meet the surface: towards the camera, and smooth; nothing at weight 0.

    Args:
        rendering: of all pixels of the cameras.
        normals: of `surface_normals`; None where no weight needs them.
        cameras: the views.
        settings: weights.
    """
    if normals is None or (settings.orientation_weight == 0 and settings.smoothness_weight == 0):
        return {}
    _, directions = rays(cameras)
    visible = normals * rendering.opacity.detach()[..., None]
    blur = PAPER_BLUR * cameras.height / PAPER_SIZE
    return {
        "orientation": settings.orientation_weight * orientation(rendering.opacity, normals, directions),
        "normals": settings.smoothness_weight * normal_smoothness(visible, blur),
    }


def render_shaken(field: ObjectField, cameras: Cameras, n_samples: int, seeds: Seeds, sigma: float) -> Rendering:
    """Render views that are off by one random offset each, as RealFusion's released code has it.

    Args:
        field: differentiable.
        cameras: the views.
        n_samples: intervals along a ray.
        seeds: "shaking" and "samples" are drawn here.
        sigma: standard deviation of the offsets: world units for origins, relative to unit directions.
    """
    noise = seeds.generator("shaking")
    origins, directions = (
        values + sigma * sent(torch.randn((len(values), 1, 1, 3), generator=noise), values) for values in rays(cameras)
    )
    leading = origins.shape[:-1]
    directions = functional.normalize(directions, dim=-1).reshape(-1, 3)
    flat = render_rays(field, origins.reshape(-1, 3), directions, n_samples, seeds.generator("samples", origins.device))
    return flat.view(*leading)
