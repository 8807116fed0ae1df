"""Make-It-3D's terms of image_nerf: what a scorer thinks of drawn views beside the picture and the sentence.

Tang et al. 2023, section 3.2. On views that are not of the back: how far they look from the picture and from the words
(eq. 5), and, at low noise in place of score distillation, how far the prior's denoised view does (CLIP-D, eq. 4).
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from prior3d.cameras import Orbit
from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.sds import Guidance
from prior3d.errors import Prior3dError
from prior3d.fields import RadianceField
from prior3d.images.files import contact_sheet, write_png
from prior3d.images.object_image import ObjectImage, Viewpoint
from prior3d.images.photographs import resample
from prior3d.losses.images import denoised_images, looks_like
from prior3d.rendering import render_without_gradient
from stages.contract.job import Job
from stages.image_nerf import Params

BACK_DEG = 90.0  # views farther than this from the picture's camera show another side


@dataclass(frozen=True)
class Opinion:
    """A scorer with what it compares views with.

    Attributes:
        scorer: the model.
        image: [1, width] embedding of the picture.
        text: [1, width] embedding of the sentence, or None where there is none.
        viewpoint: the picture's camera.
    """

    scorer: Scorer
    image: Tensor
    text: Tensor | None
    viewpoint: Viewpoint

    def alike(self, orbit: Orbit) -> Tensor:
        """Which of the views [views] bool see the side that the picture shows."""
        away_deg = (orbit.azimuth_deg - self.viewpoint.azimuth_deg + 180) % 360 - 180
        return away_deg.abs() <= BACK_DEG

    def of_renders(self, images: Tensor, orbit: Orbit) -> Tensor:
        """How far rendered views [views, 3, h, w] look from picture and words; of the back only from the words."""
        front = self.alike(orbit).to(images.device)
        seen, rest = images[front], images[~front]
        terms = [looks_like(seen, self.scorer, self.image, self.text)] if len(seen) else []
        if len(rest) and self.text is not None:
            terms.append(looks_like(rest, self.scorer, None, self.text))
        return sum(terms, 0 * images.sum())

    def of_denoised(
        self,
        latents: Tensor,
        prior: TextToImagePrior,
        guidance: Guidance,
        timesteps: Tensor,
        noise: Tensor,
        orbit: Orbit,
        low: float,
    ) -> Tensor:
        """CLIP-D: the same of what the prior makes of the views whose timestep is at most `low` of T, but of no back.

        Differentiable in the latents.
        """
        chosen = self.alike(orbit).to(latents.device) & (timesteps <= low * prior.n_timesteps)
        if not chosen.any():
            return 0 * latents.sum()
        camera = None if guidance.camera is None else guidance.camera[chosen.to(guidance.camera.device)]
        asked = Guidance(guidance.text[chosen.to(guidance.text.device)], guidance.null_text, guidance.scale, camera)
        images = denoised_images(latents[chosen], prior, asked, timesteps[chosen], noise[chosen])
        return looks_like(images, self.scorer, self.image, self.text)


def load_opinion(job: Job, params: Params, picture: ObjectImage) -> Opinion | None:
    """The scorer's opinion, where the parameters give it a weight.

    Raises:
        Prior3dError: it has a weight, but the stage was given no scorer.
    """
    if params.opinion_weight == 0 and params.clip_d_weight == 0:
        return None
    if "scorer" not in job.inputs:
        raise Prior3dError(
            f"{job.name}: opinion_weight or clip_d_weight is not 0, but no scorer is given; give one, or set both to 0"
        )

    scorer = load_scorer(job.prior("scorer"), job.device)
    image = scorer.embed_images(picture.over(0.5, scorer.image_size)[None])
    text = scorer.embed_texts([job.prompt]) if "prompt" in job.inputs else None
    return Opinion(scorer, image, text, picture.viewpoint)


def write_depth(job: Job, field: "RadianceField", picture: ObjectImage, params: Params, size: int = 128) -> None:
    """`depth.png`: the picture, its own depth if it has one, and the field's from the same camera; far is dark.

    A wrong depth is seen here before mesh and texture are made of it.
    """
    cameras = picture.viewpoint.cameras(size).to(job.device)
    _, opacity, found = render_without_gradient(field, cameras, params.n_samples)
    depths = [(found[0].cpu().numpy(), opacity[0].cpu().numpy() > 0.5)]
    if picture.depth is not None:
        given = resample(np.concatenate([picture.depth[..., None], picture.mask[..., None]], axis=-1), size, size)
        depths.insert(0, (given[..., 0], given[..., 1] > 0.5))
    row = [picture.over(1.0, size).movedim(0, -1).numpy()]
    for depth, seen in depths:
        low, high = np.quantile(depth[seen], (0.01, 0.99)) if seen.any() else (0.0, 1.0)
        shade = 0.9 - 0.8 * ((depth - low) / max(high - low, 1e-6)).clip(0, 1)
        row.append(np.repeat(np.where(seen, shade, 1.0)[..., None], 3, axis=-1))
    write_png(job.out / "depth.png", contact_sheet([row]))
