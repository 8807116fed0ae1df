"""What a CLIP-like scorer says of drawn views beside the image and the prompt (Make-It-3D).

Tang et al. 2023, section 3.2. On views that are not of the back: how far they look from the image and from the prompt
(eq. 5), and, at low noise in place of score distillation, how far the prior's denoised view does (CLIP-D, eq. 4).
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.cameras import Orbit
from prior3d.diffusion.scorer import Scorer
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.sds import Distilled
from prior3d.distillation.view_sampler import ViewBatch
from prior3d.images.object_image import ObjectImage, Viewpoint
from prior3d.losses.images import ImageScorer, denoised_images, looks_like
from prior3d.settings.single_image import ClipSettings

BACK_DEG = 90.0  # views farther than this from the image's camera show another side


@dataclass(frozen=True)
class ClipGuidance:
    """A scorer with what it compares views with.

    Attributes:
        scorer: the model.
        image: embedding of the image.
        text: embedding of the prompt, or None where there is none.
        viewpoint: the image's camera.
    """

    scorer: ImageScorer
    image: Float[Tensor, "1 width"]
    text: Float[Tensor, "1 width"] | None
    viewpoint: Viewpoint

    def same_side(self, orbit: Orbit) -> Bool[Tensor, " views"]:
        """Which of the views see the side that the image shows."""
        away_deg = (orbit.azimuth_deg - self.viewpoint.azimuth_deg + 180) % 360 - 180
        return away_deg.abs() <= BACK_DEG

    def rendered_loss(self, images: Float[Tensor, "views 3 h w"], orbit: Orbit) -> Float[Tensor, ""]:
        """How far rendered views look from image and prompt; views of the back only from the prompt."""
        front = self.same_side(orbit).to(images.device)
        same, rest = images[front], images[~front]
        terms = [looks_like(same, self.scorer, self.image, self.text)] if len(same) else []
        if len(rest) and self.text is not None:
            terms.append(looks_like(rest, self.scorer, None, self.text))
        return sum(terms, 0 * images.sum())

    def judged(
        self, prior: TextToImagePrior, distilled: Distilled[ViewBatch], max_timestep: float
    ) -> Bool[Tensor, " views"]:
        """Which views CLIP-D judges: not of the back, with a timestep of at most `max_timestep` of T."""
        low = distilled.timesteps <= max_timestep * prior.n_timesteps
        return self.same_side(distilled.batch.orbit).to(low.device) & low

    def denoised_loss(
        self, prior: TextToImagePrior, distilled: Distilled[ViewBatch], max_timestep: float
    ) -> Float[Tensor, ""]:
        """CLIP-D: the same of what the prior makes of the views with a timestep of at most `max_timestep` of T.

        Views of the back are left out. Differentiable in the latents.
        """
        asked, latents, timesteps = distilled.batch.conditioning, distilled.latents, distilled.timesteps
        chosen = self.judged(prior, distilled, max_timestep)
        if not chosen.any():
            return 0 * latents.sum()
        some = asked.of_views(chosen)
        images = denoised_images(latents[chosen], prior, some, timesteps[chosen], distilled.noise[chosen])
        return looks_like(images, self.scorer, self.image, self.text)

    def terms(
        self, prior: TextToImagePrior, distilled: Distilled[ViewBatch], settings: ClipSettings
    ) -> dict[str, Float[Tensor, ""]]:
        """Both losses of a step of score distillation, weighted."""
        denoised = self.denoised_loss(prior, distilled, settings.denoised_max_timestep)
        rendered = self.rendered_loss(distilled.prior_images, distilled.batch.orbit)
        return {"clip": settings.weight * rendered, "clip_d": settings.denoised_weight * denoised}


def clip_guidance(scorer: Scorer, image: ObjectImage, prompt: str | None) -> ClipGuidance:
    """A scorer that has looked at an image and read a prompt."""
    embedded = scorer.embed_images(image.over(0.5, scorer.image_size)[None])
    return ClipGuidance(scorer, embedded, None if prompt is None else scorer.embed_texts([prompt]), image.viewpoint)
