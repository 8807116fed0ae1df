"""Score distillation of a latent field: Latent-NeRF, section 3.1, with Sketch-Shape's term of section 3.3."""

from collections.abc import Callable

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.autoencoders import same_autoencoder
from prior3d.diffusion.joint_text import JointTextPrior
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.diffusion.networks import dtype_of
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import LatentBackdrop, LearnedBackground
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewBatch, ViewSampler, render_ring
from prior3d.distillation.vsd import particle_names
from prior3d.errors import Prior3dError
from prior3d.fields import ObjectField
from prior3d.fields.start import field_config
from prior3d.losses.shape_guide import ShapeGuide, shape_loss
from prior3d.losses.surface import surface_terms
from prior3d.optimisation import adam, decay, optimise
from prior3d.rendering import Rendering, over, ray_shares, render, sample_points
from prior3d.seeds import Seeds
from stages.artifacts.fields import save_field
from stages.artifacts.priors import load_prior
from stages.artifacts.shape_guide import load_shape_guide
from stages.coarse_nerf import Params
from stages.coarse_nerf.splats import run_splats
from stages.contract.job import Job
from stages.contract.object_check import ObjectCheck
from stages.contract.preview import Preview, warn_of_unknown_words, write_row

DIVERGED = "lower coarse_nerf.optimiser.learning_rate or coarse_nerf.sds.guidance_scale"
AGAINST_EMPTY = "raise coarse_nerf.field.blob_density, lower coarse_nerf.surface.sparsity_weight, or try another seed"
AGAINST_FULL = (
    "raise coarse_nerf.surface.sparsity_weight or coarse_nerf.surface.entropy_weight, "
    "or lower coarse_nerf.field.density_bias"
)


def run(job: Job, params: Params) -> None:
    """Distil the prior into a latent field, or into splats."""
    make = run_splats if params.kind == "splats" else run_grid
    make(job, params, prior_of(job, params))


def run_grid(job: Job, params: Params, prior: TextToImagePrior) -> None:
    """Distil the prior into a latent field."""
    seeds = Seeds(params.seed)
    channels, named = prior.latent_channels, params.background == "named"
    views = ViewSampler(prior, job.prompt, params.views, params.prompting, params.sds, named_backgrounds=named)
    warn_of_unknown_words(job, views.unknown_words, params.steps)
    distil = Distillation(views, seeds, params.sds, "latent")
    objects = start(params, channels, seeds, job.device)
    field = (fields := list(objects.values()))[0]
    learned = None if named else LearnedBackground(channels, seeds.generator("background")).to(job.device)
    backdrop = LatentBackdrop(prior, learned)
    guide = load_shape_guide(job.inputs["shape"], job.device) if "shape" in job.inputs else None
    losses = distillation_losses(fields, backdrop, distil, seeds, params, guide)
    preview = Preview(job, lambda: decoded_views(field, prior, params, backdrop, every=2))
    check = ObjectCheck(job, field, params.n_samples, params.check, AGAINST_EMPTY, AGAINST_FULL)

    def with_preview(step: int) -> dict[str, Tensor]:
        for each in fields:
            each.update_occupancy(step, seeds.generator)
        check.before(step, params.steps)
        preview.perhaps(step, params.steps)
        return losses(step)

    rate = params.optimiser.learning_rate
    groups = [*(group for each in fields for group in each.parameter_groups(rate)), *backdrop.parameter_groups(rate)]
    finished = optimise(
        with_preview,
        modules={**objects, **backdrop.modules, **distil.modules},
        optimiser=adam([*groups, *distil.parameter_groups()], params.optimiser),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=decay(params.optimiser),
        advice=DIVERGED,
    )
    if finished:
        check.at_end()
        save_field(job.out, field)
        write_row(job.out / "preview.png", decoded_views(field, prior, params, backdrop))


def prior_of(job: Job, params: Params) -> TextToImagePrior:
    """The prior that is distilled: the joint-view prior, if the job has one, else the text-to-image prior.

    Raises:
        Prior3dError: the two have different autoencoders, a concept is to be a word of the joint-view prior, or the
            engine cannot run it.
    """
    if "joint_prior" not in job.inputs:
        return load_prior(job, params.precision, params.engine, prompt=job.prompt)
    if "concept" in job.inputs:
        raise Prior3dError(
            "--concept is a word of the text-to-image prior, which --joint-prior does not know; leave one out"
        )
    if not same_autoencoder(job.prior(), job.prior("joint_prior")):
        raise Prior3dError(
            f"--joint-prior {job.prior('joint_prior').name} has another autoencoder than --prior {job.prior().name}, "
            "which refines its latents; give priors of one family, e.g. MVDream and Stable Diffusion 2.1"
        )
    joint = JointTextPrior(load_joint_views(job.prior("joint_prior"), job.device, dtype_of(params.precision)))
    joint.use_engine(params.engine)
    return joint


def start(params: Params, channels: int, seeds: Seeds, device: torch.device) -> dict[str, ObjectField]:
    """The fields at the start by the name that checkpoints use: one, or the particles of VSD."""
    config = field_config(params.field, "latent", channels)
    names = particle_names(params.sds, "field")
    return {name: ObjectField(config, seeds.generator(name)).to(device) for name in names}


def distillation_losses(
    fields: list[ObjectField],
    backdrop: LatentBackdrop,
    distil: Distillation[ViewBatch],
    seeds: Seeds,
    params: Params,
    guide: ShapeGuide | None,
) -> Callable[[int], dict[str, Tensor]]:
    """The weighted terms of a step: score distillation, the regularisers and, with a rough shape, Sketch-Shape's.

    With several particles all terms are of the one whose turn it is.
    """

    def losses(step: int) -> dict[str, Tensor]:
        progress, rendered = step / params.steps, list[Rendering]()

        def render_latents(cameras: Cameras, batch: ViewBatch) -> Tensor:
            field = fields[distil.particle]
            samples = seeds.generator("samples", cameras.c2w.device)
            rendered.append(render(field, cameras, params.n_samples, samples))
            return over(rendered[0], backdrop(cameras, batch.backgrounds)).features.movedim(-1, 1)

        distilled = distil(render_latents, progress)
        field = fields[distil.particle]
        terms = distilled.terms | surface_terms(field, rendered[0], params.surface, progress, seeds)
        if guide is not None:
            points, density = sample_points(distilled.cameras, rendered[0]), rendered[0].density.flatten()
            shares = ray_shares(field, distilled.cameras, rendered[0])
            shape = shape_loss(density, points, guide, params.shape.proximal_surface, shares)
            terms["shape"] = params.shape.weight * shape
        return terms

    return losses


@torch.no_grad()
def decoded_views(
    field: ObjectField, prior: TextToImagePrior, params: Params, backdrop: LatentBackdrop, every: int = 1
) -> Tensor:
    """What the prior's decoder makes of views from all around: [8 / every, 3, height, width], over plain white."""
    white = backdrop.named[0].mean((0, 1))
    latents, _ = render_ring(field, params.views, params.n_samples, prior.latent_size, white)
    return prior.decode(latents[::every].movedim(-1, 1))
