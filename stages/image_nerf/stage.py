"""The body of image_nerf; the package says what it takes, gives and is set by."""

import torch
from torch import Tensor

from prior3d.fields import DenseGrids, FieldConfig, ObjectField, TiledGrid
from prior3d.images.object_image import ObjectImage
from prior3d.metrics import psnr_db
from prior3d.optimisation import late_decay, optimise
from prior3d.rendering import render_without_gradient
from prior3d.seeds import Seeds
from stages.artifacts.fields import save_field
from stages.artifacts.images import load_object_image
from stages.artifacts.priors import load_concept, load_prior
from stages.contract.job import Job
from stages.contract.preview import Preview, check_object, write_row
from stages.guided_views import GuidedViews, ring_views
from stages.image_nerf import Params
from stages.image_nerf_losses import Reconstruction
from stages.image_opinion import load_opinion, write_depth

AGAINST_EMPTY = "raise image_nerf.reference_weight or image_nerf.blob_density, or lower image_nerf.entropy_weight"
AGAINST_FULL = "raise image_nerf.mask_weight or image_nerf.entropy_weight, or lower image_nerf.density_bias"


def run(job: Job, params: Params) -> None:
    """Reconstruct the object."""
    picture = load_object_image(job.inputs["image"])
    prior = load_prior(job)
    word = load_concept(job.inputs["concept"]).token if "concept" in job.inputs else params.generic
    sentence = job.prompt if "prompt" in job.inputs else params.prompt.replace("{}", word)
    views = GuidedViews(prior, sentence, params, named_backgrounds=True)
    total = params.steps + params.remake_steps
    views.warn(job, total)
    seeds = Seeds(params.seed)
    field = ObjectField(field_config(params), seeds.generator("field")).to(job.device)
    reconstruction = Reconstruction(field, picture, views, seeds, params, load_opinion(job, params, picture))

    def shown(size: int) -> tuple[Tensor, Tensor]:
        pictures, opacity = ring_views(field, params, params.n_samples, size, torch.ones(3, device=job.device))
        return pictures.movedim(-1, 1), opacity

    preview = Preview(job, lambda: shown(prior.image_size // 2)[0])

    def losses(step: int) -> dict[str, Tensor]:
        preview.perhaps(step, total)
        return reconstruction.losses(step)

    groups = field.parameter_groups(params.learning_rate)
    finished = optimise(
        losses,
        modules={"field": field, "targets": reconstruction.remade.targets, "mirrored": reconstruction.mirrored},
        optimiser=torch.optim.Adam(groups, betas=(0.9, 0.99), eps=params.adam_epsilon),
        n_steps=total,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=lambda progress: late_decay(progress, 0.7, 0.05) if params.remake_steps else 1.0,
    )
    if finished:
        images, opacity = shown(prior.image_size)
        check_object(job, opacity, against_empty=AGAINST_EMPTY, against_full=AGAINST_FULL)
        agreement = float(reconstruction.mirrored.agreement)
        if agreement >= 0:
            job.metric("mirror_iou", agreement, "", higher_is_better=True)
        if 0 <= agreement < params.mirror_agreement:
            job.progress(
                total, total, text=f"the picture's mirror image was left out: outlines overlap by {agreement:.0%}"
            )
        job.metric("reference_psnr", reference_psnr_db(field, picture, params), "dB", higher_is_better=True)
        save_field(job.out, field)
        write_depth(job, field, picture, params)
        given = picture.over(1.0, prior.image_size)[None].to(images)
        write_row(job.out / "preview.png", torch.cat([given, images]))


def field_config(params: Params) -> FieldConfig:
    """The field that the parameters describe."""
    tiled = TiledGrid(log2_entries=16, finest=1536)
    return FieldConfig(
        encoding=DenseGrids(params.grid_resolutions) if params.encoding == "dense" else tiled,
        head="rgb",
        channels=3,
        density_bias=params.density_bias,
        blob_density=params.blob_density,
        blob_radius=params.blob_radius,
        ball_radius=params.ball_radius,
    )


def reference_psnr_db(field: "ObjectField", picture: ObjectImage, params: Params, size: int = 64) -> float:
    """How well the field shows the picture from its camera, over white."""
    device = next(field.parameters()).device
    cameras = picture.viewpoint.cameras(size).to(device)
    seen, _, _ = render_without_gradient(field, cameras, params.n_samples, torch.ones(3, device=device))
    wanted = picture.over(1.0, size).movedim(0, -1)
    return psnr_db(seen[0].clamp(0, 1).cpu().numpy(), wanted.numpy())
