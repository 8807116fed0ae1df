"""All that one step of image_nerf asks of the field: image and distillation first, then image and refreshed views."""

from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.dataset_update.refresh_views import RefreshedViews
from prior3d.dataset_update.schedule import refreshes_at
from prior3d.distillation.backgrounds import choose_background, grey_levels
from prior3d.distillation.clip_guidance import ClipGuidance
from prior3d.distillation.sds import ScoreDistillation
from prior3d.distillation.view_sampler import ViewBatch, ViewSampler
from prior3d.fields import ObjectField
from prior3d.fields.grids import DenseEncoding
from prior3d.images.object_image import ObjectImage
from prior3d.losses.regularisers import opacity_entropy_bits
from prior3d.losses.surface import smoothness_term, surface_terms
from prior3d.reconstruction.single_image import MirrorTerms, ReferenceTerms, normal_terms, render_jittered
from prior3d.reconstruction.view_targets import fit_losses
from prior3d.rendering import Rendering, over, render
from prior3d.seeds import Seeds
from stages.image_nerf import Params

RELEASED_JITTER = 0.02  # world units, and relative to a direction of length 1
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
        self.distil = ScoreDistillation(views, seeds, params.sds, "image")
        colours, mask = image.premultiplied(size)
        background = choose_background(colours[mask > 0.9].to(prior.device))
        self.refreshed = RefreshedViews(field, views, seeds, params.refresh, n_samples, background)
        self.fine = finer_half(field)

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What changes beside the field, by the name that checkpoints use."""
        return {"targets": self.refreshed.targets, "mirrored": self.mirror.mirrored}

    def losses(self, step: int) -> dict[str, Tensor]:
        """The weighted terms of a step: image and distillation, later image and refreshed views."""
        p = self.params
        for parameter in self.fine:
            parameter.requires_grad_(step >= p.field.fine_from * p.steps)
        if step == p.steps:
            self.mirror.compare()
        terms = self.reference() | self.mirror()
        if step >= p.steps:
            return terms | self.refreshed_terms(step - p.steps)
        distilled = self.distillation_terms(step) if p.sds.weight > 0 else {}
        return terms | distilled | smoothness_term(self.field, p.surface.smoothness_weight, self.seeds)

    def distillation_terms(self, step: int) -> dict[str, Tensor]:
        """Score distillation of drawn views through the prior's encoder, and the regularisers of those views."""
        p, rendered = self.params, list[Rendering]()
        released = p.match_released_code and step % RELEASED_EVERY != 0
        self.views.azimuth_deg, self.views.name_front = self.front_azimuths(step), released

        def render_images(cameras: Cameras, batch: ViewBatch) -> Tensor:
            if released:
                rendering = render_jittered(self.field, cameras, p.n_samples, self.seeds, RELEASED_JITTER)
            else:
                rendering = render(self.field, cameras, p.n_samples, self.seeds.generator("samples"))
            rendered.append(rendering)
            behind = grey_levels(batch.backgrounds, self.views.prior.device).expand(-1, 1, 1, 3)
            return over(rendering, behind).features.movedim(-1, 1)

        distilled = self.distil(render_images, step / max(p.steps, 1))
        terms = {"sds": distilled.loss}
        terms["entropy"] = p.surface.entropy_weight * opacity_entropy_bits(rendered[0].opacity)
        terms |= normal_terms(self.field, rendered[0], distilled.cameras, p.normals)
        return terms | ({} if self.clip is None else self.clip.terms(self.views.prior, distilled, p.clip))

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
