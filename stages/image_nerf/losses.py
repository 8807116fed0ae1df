"""All that one step of image_nerf asks of the field: image and distillation first, then image and refreshed views."""

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.dataset_update.refresh_views import RefreshedViews
from prior3d.dataset_update.schedule import refreshes_at
from prior3d.distillation.backgrounds import choose_background, rgb_backdrop
from prior3d.distillation.clip_guidance import ClipGuidance
from prior3d.distillation.losses import distillation_of_one
from prior3d.distillation.sds import Distilled
from prior3d.distillation.view_sampler import ViewBatch, ViewSampler
from prior3d.fields import ObjectField
from prior3d.fields.grids import DenseEncoding
from prior3d.images.object_image import ObjectImage
from prior3d.losses.regularisers import opacity_entropy_bits
from prior3d.losses.surface import smoothness_term, surface_terms
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.shading import draw_shading, shaded, surface_normals
from prior3d.reconstruction.single_image import MirrorTerms, ReferenceTerms, UnseenTerms, normal_terms, render_shaken
from prior3d.reconstruction.view_targets import fit_losses
from prior3d.rendering import Rendering, over, render
from prior3d.seeds import Seeds
from stages.image_nerf import Params

RELEASED_SHAKE = 0.02  # world units, and relative to a direction of length 1
RELEASED_EVERY = 10  # steps: one of so many is as the paper says


class Reconstruction:
    """The losses of image_nerf; it owns what they need besides the field."""

    def __init__(
        self,
        field: ObjectField,
        image: ObjectImage,
        views: ViewSampler,
        seeds: Seeds,
        params: Params,
        clip: ClipGuidance | None = None,
        drawn: InputViews | None = None,
    ) -> None:
        """Lay the image out as rays with colours, and choose the background of refreshed views."""
        self.field, self.image, self.views, self.seeds, self.params = field, image, views, seeds, params
        self.clip, prior = clip, views.prior
        size, n_samples = prior.image_size, params.n_samples
        self.reference = ReferenceTerms(
            field,
            image,
            size,
            seeds,
            params.reference,
            n_samples,
            params.surface.entropy_weight,
            params.sds.image_size or size,
        )
        self.mirror = MirrorTerms(field, image, size, seeds, params.mirror, params.reference, n_samples)
        self.unseen = None if drawn is None else UnseenTerms(field, drawn, seeds, params.reference.unseen, n_samples)
        self.distil = distillation_of_one(views, seeds, params.sds, "image")
        self.backdrop = rgb_backdrop(params.background, seeds, prior.device)
        colours, mask = image.premultiplied(size)
        background = choose_background(colours[mask > 0.9].to(prior.device))
        self.refreshed = RefreshedViews(field, views, seeds, params.refresh, n_samples, background)
        self.fine = finer_half(field)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What changes beside the field, by the name that checkpoints use."""
        fitted = {"targets": self.refreshed.targets, "mirrored": self.mirror.mirrored}
        return fitted | self.backdrop.modules | self.distil.modules

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for an optimiser: the field's, those of what is behind it, and of what learns beside it."""
        groups = [*self.field.parameter_groups(learning_rate), *self.backdrop.parameter_groups(learning_rate)]
        return [*groups, *self.distil.parameter_groups()]

    def losses(self, step: int) -> dict[str, Tensor]:
        """The weighted terms of a step: image, drawn views and distillation, later refreshed views in its place."""
        p = self.params
        for parameter in self.fine:
            parameter.requires_grad_(step >= p.field.fine_from * p.steps)
        if step == p.steps:
            self.mirror.compare()
        every = p.reference.alone_every
        alone = every > 0 and step % every == 0
        terms = {} if every and not alone and step < p.steps else self.reference() | self.mirror()
        if self.unseen is not None:
            terms |= self.unseen()
        if step >= p.steps:
            return terms | self.refreshed_terms(step - p.steps)
        distilled = self.distillation_terms(step) if p.sds.weight > 0 and not alone else {}
        return terms | distilled | smoothness_term(self.field, p.surface.smoothness_weight, self.seeds)

    def distillation_terms(self, step: int) -> dict[str, Tensor]:
        """Score distillation of drawn views through the prior's encoder, and the regularisers of those views."""
        p, seen = self.params, list[tuple[Rendering, Tensor | None]]()
        released = p.prompting.match_released_code and step % RELEASED_EVERY != 0
        self.views.azimuth_deg, self.views.name_front = self.front_azimuths(step), released
        kind = draw_shading(p.normals.shading, step / max(p.steps, 1), self.seeds.generator)

        def render_images(cameras: Cameras, batch: ViewBatch) -> Tensor:
            rendering = self.rendered(cameras, released)
            needed = kind != "albedo" or p.normals.orientation_weight + p.normals.smoothness_weight > 0
            normals = surface_normals(self.field, rendering, cameras) if needed else None
            seen.append((rendering, normals))
            if kind != "albedo" and normals is not None:
                colours = shaded(rendering, normals, cameras, kind, p.normals.shading.ambient, self.seeds.generator)
                rendering = replace(rendering, features=colours)
            return over(rendering, self.backdrop(cameras, batch.backgrounds)).features.movedim(-1, 1)

        distilled = self.distil(render_images, step / max(p.steps, 1))
        (rendering, normals), terms = seen[0], {"sds": self.sds_term(distilled)} | distilled.further
        terms["entropy"] = p.surface.entropy_weight * opacity_entropy_bits(rendering.opacity)
        terms |= normal_terms(rendering, normals, distilled.cameras, p.normals)
        return terms | ({} if self.clip is None else self.clip.terms(self.views.prior, distilled, p.clip))

    def rendered(self, cameras: Cameras, released: bool) -> Rendering:
        """The field from drawn cameras, shaken as by RealFusion's released code if asked for."""
        if released:
            return render_shaken(self.field, cameras, self.params.n_samples, self.seeds, RELEASED_SHAKE)
        return render(
            self.field, cameras, self.params.n_samples, self.seeds.generator("samples", self.views.prior.device)
        )

    def sds_term(self, distilled: Distilled[ViewBatch]) -> Tensor:
        """Score distillation, without the views that CLIP-D judges in its place, where the settings say so."""
        clip = self.params.clip
        if self.clip is None or not clip.replaces_sds:
            return distilled.loss
        judged = self.clip.judged(self.views.prior, distilled, clip.denoised_max_timestep)
        return distilled.loss_of(~judged)

    def front_azimuths(self, step: int) -> tuple[float, float] | None:
        """Where views come from: around the image's camera at first, then from the settings' range (None)."""
        front = self.params.front_first
        if step >= front.until * self.params.steps:
            return None
        middle = self.image.viewpoint.azimuth_deg
        return middle - front.width_deg / 2, middle + front.width_deg / 2

    def refreshed_terms(self, step: int) -> dict[str, Tensor]:
        """Rays of views that the prior made; evenly spread over the steps they are refreshed before."""
        p, weight = self.params, self.params.refreshing.weight
        for number, strength in refreshes_at(step, p.refreshing.steps, p.refresh.strengths):
            self.refreshed.refresh(number, strength)
        rendering, colour, mask = fit_losses(
            self.field, self.refreshed.targets, p.refresh.rays_per_step, p.n_samples, self.seeds, "rays"
        )
        terms = {"refreshed": weight * colour, "refreshed_mask": weight * p.refresh.mask_weight * mask}
        return terms | surface_terms(self.field, rendering, p.surface, step / p.refreshing.steps, self.seeds)


def finer_half(field: ObjectField) -> list[nn.Parameter]:
    """The parameters of the finer half of the field's grids (of three, the finest)."""
    tables = list(field.encoding.grids if isinstance(field.encoding, DenseEncoding) else field.encoding.tables)
    return tables[len(tables) - len(tables) // 2 :]
