"""The reconstruction of RealFusion, section 3, with Make-It-3D's terms where they have a weight."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from prior3d.diffusion.scorer import load_scorer
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.clip_guidance import ClipGuidance, clip_guidance
from prior3d.distillation.view_sampler import ViewSampler, render_ring
from prior3d.errors import Prior3dError
from prior3d.fields import ObjectField
from prior3d.fields.start import field_config
from prior3d.images.files import contact_sheet, resample, write_png
from prior3d.images.object_image import ObjectImage
from prior3d.metrics import psnr_db
from prior3d.optimisation import adam, decay, optimise
from prior3d.reconstruction.completion import complete, completion_fit
from prior3d.rendering import render_without_gradient
from prior3d.seeds import Seeds
from stages.artifacts.completions import load_completion, save_completion
from stages.artifacts.drawn_views import load_drawn_views
from stages.artifacts.fields import load_object_field, save_field
from stages.artifacts.images import load_object_image
from stages.artifacts.priors import load_concept, load_prior
from stages.contract.job import Job
from stages.contract.object_check import ObjectCheck
from stages.contract.preview import Preview, warn_of_unknown_words, write_row
from stages.image_nerf import Params
from stages.image_nerf.losses import Reconstruction

DIVERGED = "lower image_nerf.optimiser.learning_rate or image_nerf.sds.guidance_scale"
AGAINST_EMPTY = (
    "raise image_nerf.reference.weight or image_nerf.field.blob_density, or lower image_nerf.surface.entropy_weight"
)
AGAINST_FULL = (
    "raise image_nerf.reference.mask_weight or image_nerf.surface.entropy_weight, "
    "or lower image_nerf.field.density_bias"
)


def run(job: Job, params: Params) -> None:
    """Reconstruct the object."""
    image, prior = load_object_image(job.inputs["image"]), load_prior(job, params.precision, params.engine)
    start = load_object_field(job.inputs["start"], job.device) if "start" in job.inputs else None
    completion = load_completion(job.inputs["start"]) if "start" in job.inputs else None
    if params.field.start == "completion":
        run_completion(job, params, image, prior.image_size)
    elif start is not None and completion is not None:
        save(job, params, start, image, prior.image_size)
        save_completion(job.out, completion)
    else:
        reconstruct(job, params if start is None else from_start(params), image, prior, start)


def begun(
    job: Job, params: Params, image: ObjectImage, prior: TextToImagePrior, start: ObjectField | None
) -> Reconstruction:
    """The losses of a reconstruction and its field, which is `start`, or fog where that is None."""
    seeds, named = Seeds(params.seed), params.background == "named"
    views = ViewSampler(
        prior, sentence(job, params), params.views, params.prompting, params.sds, named_backgrounds=named
    )
    if start is None:
        start = ObjectField(field_config(params.field, "rgb", 3), seeds.generator("field")).to(job.device)
    drawn = load_drawn_views(job.inputs["drawn"], job.device).views if "drawn" in job.inputs else None
    return Reconstruction(start, image, views, seeds, params, load_clip_guidance(job, params, image), drawn)


def reconstruct(
    job: Job, params: Params, image: ObjectImage, prior: TextToImagePrior, start: ObjectField | None
) -> None:
    """Fit a field to the image, to drawn views where there are some, and to what the prior makes of it."""
    reconstruction = begun(job, params, image, prior, start)
    field, seeds, total = reconstruction.field, reconstruction.seeds, params.steps + params.refreshing.steps
    warn_of_unknown_words(job, reconstruction.views.unknown_words, total)
    preview = Preview(job, lambda: ring(job, params, field, prior.image_size // 2))
    check = ObjectCheck(job, field, params.n_samples, params.check, AGAINST_EMPTY, AGAINST_FULL)

    def losses(step: int) -> dict[str, Tensor]:
        field.update_occupancy(step, seeds.generator)
        check.before(step, total)
        preview.perhaps(step, total)
        return reconstruction.losses(step)

    finished = optimise(
        losses,
        modules={"field": field} | reconstruction.modules,
        optimiser=adam(reconstruction.parameter_groups(params.optimiser.learning_rate), params.optimiser),
        n_steps=total,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=decay(params.optimiser),
        advice=DIVERGED,
    )
    if finished:
        check.at_end()
        report_mirror(job, reconstruction, total)
        save(job, params, field, image, prior.image_size)


def from_start(params: Params) -> Params:
    """The parameters of a reconstruction that starts from a field fitted to drawn views.

    Its steps are other ones. The mirror image is among those views, and does not count a second time.
    """
    unseen = params.reference.unseen
    return params.model_copy(
        update={
            "steps": unseen.steps,
            "mirror": replace(params.mirror, weight=0.0),
            "refreshing": replace(params.refreshing, steps=unseen.refreshing_steps),
            "refresh": replace(params.refresh, strengths=unseen.strengths),
            "field": replace(params.field, fine_from=0.0),
        }
    )


def run_completion(job: Job, params: Params, image: ObjectImage, size: int) -> None:
    """Reconstruct the object without a prior, by the image's symmetric completion."""
    settings, seeds = params.field.completion, Seeds(params.seed)
    fit = completion_fit(complete(image, settings, seeds), settings, seeds, job.device)
    if fit.run(settings.steps, job.work / "checkpoint.safetensors", job):
        ObjectCheck(job, fit.field, params.n_samples, params.check, AGAINST_EMPTY, AGAINST_FULL).at_end()
        save(job, params, fit.field, image, size)
        save_completion(job.out, settings)


def ring(job: Job, params: Params, field: ObjectField, size: int) -> Tensor:
    """Renders from all sides [8, 3, size, size], over white."""
    images, _ = render_ring(field, params.views, params.n_samples, size, torch.ones(3, device=job.device))
    return images.movedim(-1, 1)


def save(job: Job, params: Params, field: ObjectField, image: ObjectImage, size: int) -> None:
    """Measure the field, and write it with images of it from all sides."""
    job.metric("reference_psnr", reference_psnr_db(field, image, params), "dB", higher_is_better=True)
    save_field(job.out, field)
    write_png(job.out / "depth.png", depth_sheet(field, image, params))
    images = ring(job, params, field, size)
    write_row(job.out / "preview.png", torch.cat([image.over(1.0, size)[None].to(images), images]))


def sentence(job: Job, params: Params) -> str:
    """The object in words: a person's prompt, else the parameter's with the concept's word in it."""
    if "prompt" in job.inputs:
        return job.prompt
    word = load_concept(job.inputs["concept"]).token if "concept" in job.inputs else params.prompting.generic
    return params.prompting.template.replace("{}", word)


def load_clip_guidance(job: Job, params: Params, image: ObjectImage) -> ClipGuidance | None:
    """The scorer's judgement, where the parameters give it a weight.

    Raises:
        Prior3dError: it has a weight, but the stage was given no scorer.
    """
    if params.clip.weight == 0 and params.clip.denoised_weight == 0:
        return None
    if "scorer" not in job.inputs:
        raise Prior3dError(
            f"{job.name}: clip.weight or clip.denoised_weight is not 0, but no scorer is given; give one, "
            "or set both to 0"
        )
    scorer = load_scorer(job.prior("scorer"), job.device)
    return clip_guidance(scorer, image, job.prompt if "prompt" in job.inputs else None)


def report_mirror(job: Job, reconstruction: Reconstruction, total: int) -> None:
    """Record how far the field agrees with the image's mirror image, and say if that was left out."""
    mirror = reconstruction.mirror
    if mirror.iou >= 0:
        job.metric("mirror_iou", mirror.iou, "", higher_is_better=True)
    if mirror.left_out:
        job.progress(
            total, total, text=f"the picture's mirror image was left out: outlines overlap by {mirror.iou:.0%}"
        )


def reference_psnr_db(field: ObjectField, image: ObjectImage, params: Params, size: int = 64) -> float:
    """How well the field shows the image from its camera, over white."""
    device = next(field.parameters()).device
    cameras = image.viewpoint.cameras(size).to(device)
    rendered, _, _ = render_without_gradient(field, cameras, params.n_samples, torch.ones(3, device=device))
    target = image.over(1.0, size).movedim(0, -1)
    return psnr_db(rendered[0].clamp(0, 1).cpu().numpy(), target.numpy())


def depth_sheet(field: ObjectField, image: ObjectImage, params: Params, size: int = 128) -> np.ndarray:
    """The image, its own depth if it has one, and the field's from the same camera; far is dark.

    A wrong depth is seen here before mesh and texture are made of it.
    """
    cameras = image.viewpoint.cameras(size).to(next(field.parameters()).device)
    _, opacity, depth = render_without_gradient(field, cameras, params.n_samples)
    layers = [(depth[0].cpu().numpy(), opacity[0].cpu().numpy() > 0.5)]
    if image.depth is not None:
        given = resample(np.concatenate([image.depth[..., None], image.mask[..., None]], axis=-1), size, size)
        layers.insert(0, (given[..., 0], given[..., 1] > 0.5))
    row = [image.over(1.0, size).movedim(0, -1).numpy()]
    for values, inside in layers:
        low, high = np.quantile(values[inside], (0.01, 0.99)) if inside.any() else (0.0, 1.0)
        shade = 0.9 - 0.8 * ((values - low) / max(high - low, 1e-6)).clip(0, 1)
        row.append(np.repeat(np.where(inside, shade, 1.0)[..., None], 3, axis=-1))
    return contact_sheet([row])
