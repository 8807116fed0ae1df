"""The losses of image_nerf: the picture from its camera, the prior from all round, and what keeps a field an object."""

from dataclasses import replace

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.distillation.sds import Guidance, draw_timesteps, sds_loss
from prior3d.fields import ObjectField
from prior3d.fields.grids import DenseEncoding
from prior3d.images.backgrounds import NAMED_BACKGROUNDS, encoded_backgrounds
from prior3d.images.colours import most_distinct_background
from prior3d.images.object_image import ObjectImage
from prior3d.images.photographs import resample
from prior3d.losses.images import pearson_depth
from prior3d.losses.regularisers import (
    distortion,
    normal_smoothness,
    opacity_entropy_bits,
    orientation,
    ramp,
    total_variation,
)
from prior3d.reconstruction.mirrored_image import MirroredPicture
from prior3d.reconstruction.view_targets import MaskedViews, view_losses
from prior3d.rendering import Rendering, over, rays, render, render_rays
from prior3d.seeds import Seeds
from stages.guided_views import DrawnViews, GuidedViews
from stages.image_nerf import Params
from stages.image_opinion import Opinion
from stages.remade_views import RemadeViews

SHAKEN_BY = 0.02  # world units, and of a direction of length 1
N_NEIGHBOURS, NEIGHBOUR_DISTANCE = 8192, 0.04  # points a step, and how far their neighbours are in world units


class Reconstruction:
    """All that one step asks of the field."""

    def __init__(
        self,
        field: "ObjectField",
        picture: ObjectImage,
        views: GuidedViews,
        seeds: Seeds,
        params: Params,
        opinion: Opinion | None = None,
    ) -> None:
        """Lay the picture out as rays with colours."""
        self.field, self.views, self.seeds, self.params, self.prior = field, views, seeds, params, views.prior
        self.picture, self.opinion = picture, opinion
        size = self.prior.image_size
        cameras = picture.viewpoint.cameras(size).to(self.prior.device)
        self.reference = MaskedViews(cameras)
        _, mask = picture.premultiplied(size)
        image = picture.over(1.0, size)[None].to(self.prior.device)
        self.reference.put(image, mask[None].to(self.prior.device), 1.0, idle_interest=0.5)
        self.remade = RemadeViews(field, field, views, seeds, params, self._surface)
        self.mirrored = MirroredPicture(picture, size).to(self.prior.device)
        self._choose_background(picture)
        self.fine = _finer_half(field)

    def losses(self, step: int) -> dict[str, Tensor]:
        """The weighted terms of a step: picture and distillation, later picture and re-made views."""
        p = self.params
        for parameter in self.fine:
            parameter.requires_grad_(step >= p.fine_from * p.steps)
        terms = self.reference_terms() | self.mirrored_terms(step)
        if step < p.steps:
            return terms | (self.distillation_terms(step) if p.sds_weight > 0 else {}) | self._smooth()
        return terms | self.remade_terms(step - p.steps)

    def reference_terms(self) -> dict[str, Tensor]:
        """Colour and outline of rays of the picture, and its depth where that has a weight."""
        p = self.params
        rendering, colour, mask = self._rays(self.reference, p.reference_rays, "reference")
        entropy = opacity_entropy_bits(rendering.opacity)
        terms = {
            "reference": p.reference_weight * colour,
            "reference_mask": p.mask_weight * mask,
            "reference_entropy": p.entropy_weight * entropy,
        }
        if p.depth_weight > 0 and self.picture.depth is not None:
            terms["depth"] = p.depth_weight * self._depth()
        return terms

    def mirrored_terms(self, step: int) -> dict[str, Tensor]:
        """Colour and outline of rays of the picture's mirror image; beside re-made views only if the field agrees."""
        p, mirrored = self.params, self.mirrored
        if p.mirror_weight == 0 or not mirrored.elsewhere:
            return {}
        if step == p.steps and mirrored.agreement < 0:
            mirrored.compare(self.field, p.n_samples)
        if 0 <= mirrored.agreement < p.mirror_agreement:
            return {}
        _, colour, mask = self._rays(mirrored, p.reference_rays, "mirrored")
        weight = p.mirror_weight
        return {"mirrored": weight * p.reference_weight * colour, "mirrored_mask": weight * p.mask_weight * mask}

    def distillation_terms(self, step: int) -> dict[str, Tensor]:
        """Score distillation of drawn views through the prior's encoder, and the regularisers of those views."""
        p, prior, seeds = self.params, self.prior, self.seeds
        drawn = self.views.draw(seeds, self._azimuths(step))
        shaken = p.as_released and step % 10 != 0
        guidance = self._named_front(drawn) if shaken else drawn.guidance
        cameras = orbit_cameras(drawn.orbit, p.sds_size, p.sds_size).to(prior.device)
        levels = torch.tensor(list(NAMED_BACKGROUNDS.values()), device=prior.device)
        rendering = self._seen(cameras, shaken)
        behind = levels[drawn.backgrounds].view(-1, 1, 1, 1).expand(-1, 1, 1, 3)
        images = over(rendering, behind).features.movedim(-1, 1)
        if p.sds_size != prior.image_size:
            images = functional.interpolate(images, (prior.image_size,) * 2, mode="bilinear", align_corners=False)
        latents = prior.encode(images)
        limits = self.views.timestep_limits(step / max(p.steps, 1))
        timesteps = draw_timesteps(cameras.views, prior.n_timesteps, limits, seeds.generator("timesteps"))
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(prior.device)
        sds = sds_loss(latents, prior, guidance, timesteps.to(prior.device), noise, p.weighting)
        terms = {"sds": p.sds_weight * sds} | self._shape_terms(rendering, cameras)
        if self.opinion is not None:
            denoised = self.opinion.of_denoised(
                latents, prior, guidance, timesteps.to(prior.device), noise, drawn.orbit, p.clip_d_below
            )
            terms["opinion"] = p.opinion_weight * self.opinion.of_renders(images, drawn.orbit)
            terms["clip_d"] = p.clip_d_weight * denoised
        return terms

    def _seen(self, cameras: Cameras, shaken: bool) -> Rendering:
        """Views of the field; shaken, each ray's origin and direction are off by noise of deviation `SHAKEN_BY`."""
        p, generator = self.params, self.seeds.generator("samples")
        if not shaken:
            return render(self.field, cameras, p.n_samples, generator)
        noise = self.seeds.generator("shaking")
        origins, directions = (
            values + SHAKEN_BY * torch.randn(values.shape, generator=noise).to(values) for values in rays(cameras)
        )
        leading = origins.shape[:-1]
        directions = functional.normalize(directions, dim=-1)
        flat = render_rays(self.field, origins.view(-1, 3), directions.view(-1, 3), p.n_samples, generator)
        return Rendering(**{name: value.view(*leading, *value.shape[1:]) for name, value in vars(flat).items()})

    def _named_front(self, drawn: DrawnViews) -> Guidance:
        """The guidance of drawn views, but with the text of the front view; the cameras that are told stay."""
        front = replace(
            drawn.orbit,
            azimuth_deg=torch.zeros_like(drawn.orbit.azimuth_deg),
            elevation_deg=torch.zeros_like(drawn.orbit.elevation_deg),
        )
        return replace(drawn.guidance, text=self.views.guidance(front, drawn.backgrounds).text)

    def _azimuths(self, step: int) -> tuple[float, float] | None:
        """Where views come from: about the picture's side at first, then from the parameter's range."""
        p = self.params
        if step >= p.front_share * p.steps:
            return None
        middle = self.picture.viewpoint.azimuth_deg
        return middle - p.front_width_deg / 2, middle + p.front_width_deg / 2

    def remade_terms(self, step: int) -> dict[str, Tensor]:
        """Rays of views that the prior re-made; at evenly spread steps they are made anew before."""
        p = self.params
        for turn, noise_level in enumerate(p.noise_levels):
            if step == turn * p.remake_steps // len(p.noise_levels):
                if turn == 0:
                    self._choose_background(self.picture)
                self.remade.make_views(noise_level, from_latents=False)
        rendering, colour, mask = self._rays(self.remade.targets, p.rays_per_step, "rays")
        weight = p.remade_weight
        return {"remade": weight * colour, "remade_mask": weight * p.mask_weight * mask} | self._surface(
            rendering, step / p.remake_steps
        )

    def _rays(self, targets: nn.Module, n_rays: int, name: str) -> tuple[Rendering, Tensor, Tensor]:
        """Rays drawn from masked views: how they render, and how far colour and opacity are off."""
        assert isinstance(targets, MaskedViews)
        origins, directions, colours, masks = targets.draw(n_rays, self.seeds.generator(name))
        rendering = render_rays(self.field, origins, directions, self.params.n_samples, self.seeds.generator("samples"))
        backgrounds = torch.rand(colours.shape, generator=self.seeds.generator("behind")).to(colours)
        return rendering, *view_losses(rendering, colours, masks, backgrounds)

    def _shape_terms(self, rendering: Rendering, cameras) -> dict[str, Tensor]:
        """Entropy of the views' rays, and normals where the rays meet the surface: towards the camera, and smooth.

        The paper composites normals of all samples; one normal a ray, at its mean depth, costs a fiftieth of that.
        """
        p = self.params
        terms = {"entropy": p.entropy_weight * opacity_entropy_bits(rendering.opacity)}
        if p.orientation_weight == 0 and p.normal_weight == 0:
            return terms
        origins, directions = rays(cameras)
        points = origins + directions * rendering.depth.detach()[..., None]
        normals = self.field.normals(points.view(-1, 3), 0.03).view(*points.shape)
        terms["orientation"] = p.orientation_weight * orientation(rendering.opacity, normals, directions)
        shown = normals * rendering.opacity.detach()[..., None]
        terms["normals"] = p.normal_weight * normal_smoothness(shown, 1.7 * p.sds_size / 96)
        return terms

    def _surface(self, rendering: Rendering, progress: float) -> dict[str, Tensor]:
        """The terms that make fog a surface, for rays of re-made views."""
        p, strength = self.params, ramp(progress, 0.2, 1.0)
        spread = distortion(rendering.weights, rendering.starts, rendering.ends)
        return {
            "entropy": strength * p.entropy_weight * opacity_entropy_bits(rendering.opacity),
            "distortion": strength * p.distortion_weight * spread,
        } | self._smooth()

    def _smooth(self) -> dict[str, Tensor]:
        """Total variation of the field at random places."""
        if self.params.smoothness_weight == 0:
            return {}
        generator, device = self.seeds.generator("neighbours"), self.prior.device
        points = (torch.rand((N_NEIGHBOURS, 3), generator=generator) * 2 - 1) * self.field.config.bound
        offsets = torch.nn.functional.normalize(torch.randn((N_NEIGHBOURS, 3), generator=generator), dim=-1)
        offsets = offsets.to(device) * NEIGHBOUR_DISTANCE
        change = total_variation(self.field, points.to(device), offsets, NEIGHBOUR_DISTANCE)
        return {"smoothness": self.params.smoothness_weight * change}

    def _depth(self) -> Tensor:
        """1 - Pearson's correlation of the rendered depth with the picture's, where both see the object."""
        size = self.params.sds_size
        cameras = self.picture.viewpoint.cameras(size).to(self.prior.device)
        rendering = render(self.field, cameras, self.params.n_samples, self.seeds.generator("samples"))
        assert self.picture.depth is not None
        given = torch.from_numpy(resample(self.picture.depth[..., None], size, size)[..., 0]).to(self.prior.device)
        _, mask = self.picture.premultiplied(size)
        counted = (mask.to(given) > 0.9) & (rendering.opacity[0].detach() > 0.5)
        return pearson_depth(rendering.depth[0].flatten(), given.flatten(), counted.flatten().to(given))

    def _choose_background(self, picture: ObjectImage) -> None:
        """Put the named background behind re-made views from which the picture's colours stand out most."""
        colours, mask = picture.premultiplied(self.prior.image_size)
        seen = mask > 0.9
        levels = list(NAMED_BACKGROUNDS.values())
        self.remade.place = most_distinct_background(colours[seen].to(self.prior.device), levels)
        self.remade.level = levels[self.remade.place]
        self.remade.latents_behind = encoded_backgrounds(self.prior)[self.remade.place]


def _finer_half(field: "ObjectField") -> list[nn.Parameter]:
    """The parameters of the finer half of the field's grids (of three, the finest)."""
    tables = list(field.encoding.grids if isinstance(field.encoding, DenseEncoding) else field.encoding.tables)
    return tables[len(tables) - len(tables) // 2 :]
