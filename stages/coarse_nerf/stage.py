"""The body of coarse_nerf; the package says what it takes, gives and is set by."""

import torch
from torch import Tensor

from prior3d.cameras import orbit_cameras
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.sds import draw_timesteps, sds_loss
from prior3d.fields import DenseGrids, FieldConfig, ObjectField, TiledGrid
from prior3d.images.backgrounds import LearnedBackground, encoded_backgrounds
from prior3d.losses.regularisers import opacity_entropy_bits, opacity_sparsity, ramp
from prior3d.losses.shape_guide import shape_loss
from prior3d.optimisation import optimise
from prior3d.rendering import over, rays, render, sample_points
from prior3d.seeds import Seeds
from stages.artifacts.fields import save_field
from stages.artifacts.meshes import load_shape_guide
from stages.artifacts.priors import load_prior
from stages.coarse_nerf import Params
from stages.contract.job import Job
from stages.contract.preview import Preview, check_object, write_row
from stages.guided_views import GuidedViews, ring_views

CHECKED_SIZE = 32  # pixels, of the eight views that the result is checked by
AGAINST_EMPTY = "raise coarse_nerf.blob_density, lower coarse_nerf.sparsity_weight, or try another seed"
AGAINST_FULL = "raise coarse_nerf.sparsity_weight or coarse_nerf.entropy_weight, or lower coarse_nerf.density_bias"


def run(job: Job, params: Params) -> None:
    """Distil the prior into a latent field."""
    prior = load_prior(job, prompt=job.prompt)
    views = GuidedViews(prior, job.prompt, params, named_backgrounds=params.background == "named")
    views.warn(job, params.steps)
    seeds = Seeds(params.seed)
    field = ObjectField(field_config(params, prior.latent_channels), seeds.generator("field")).to(job.device)
    modules: dict[str, torch.nn.Module] = {"field": field}
    groups = field.parameter_groups(params.learning_rate)
    if params.background == "learned":
        modules["background"] = LearnedBackground(prior.latent_channels, seeds.generator("background")).to(job.device)
        groups.append({"params": list(modules["background"].parameters()), "lr": params.learning_rate})
    backgrounds = encoded_backgrounds(prior)
    guide = load_shape_guide(job.inputs["shape"], job.device) if "shape" in job.inputs else None
    preview = Preview(job, lambda: decoded_views(field, prior, params, backgrounds[0], every=2))

    def losses(step: int) -> dict[str, Tensor]:
        progress = step / params.steps
        drawn = views.draw(seeds)
        cameras = orbit_cameras(drawn.orbit, prior.latent_size, prior.latent_size).to(job.device)
        rendering = render(field, cameras, params.n_samples, seeds.generator("samples"))
        behind = (
            modules["background"](rays(cameras)[1]) if drawn.backgrounds is None else backgrounds[drawn.backgrounds]
        )
        latents = over(rendering, behind).features.movedim(-1, 1)
        limits = views.timestep_limits(progress)
        timesteps = draw_timesteps(cameras.views, prior.n_timesteps, limits, seeds.generator("timesteps"))
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(job.device)
        regularisers = ramp(progress, *params.regulariser_ramp)
        preview.perhaps(step, params.steps)
        terms = {
            "sds": sds_loss(latents, prior, drawn.guidance, timesteps.to(job.device), noise, params.weighting),
            "entropy": params.entropy_weight * regularisers * opacity_entropy_bits(rendering.opacity),
            "sparsity": params.sparsity_weight * regularisers * opacity_sparsity(rendering.opacity),
        }
        if guide is not None:
            points, density = sample_points(cameras, rendering), rendering.density.flatten()
            terms["shape"] = params.shape_weight * shape_loss(density, points, guide, params.proximal_surface)
        return terms

    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15)
    finished = optimise(
        losses,
        modules=modules,
        optimiser=optimiser,
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
    )
    if finished:
        _, opacity = ring_views(field, params, params.n_samples, CHECKED_SIZE)
        check_object(job, opacity, against_empty=AGAINST_EMPTY, against_full=AGAINST_FULL)
        save_field(job.out, field)
        write_row(job.out / "preview.png", decoded_views(field, prior, params, backgrounds[0]))


def field_config(params: Params, channels: int) -> FieldConfig:
    """The field that the parameters describe."""
    dense = params.encoding == "dense"
    return FieldConfig(
        encoding=DenseGrids(params.grid_resolutions) if dense else TiledGrid(),
        head="latent",
        channels=channels,
        hidden=params.hidden,
        density_bias=params.density_bias,
        blob_density=params.blob_density,
        blob_radius=params.blob_radius,
        ball_radius=params.ball_radius,
    )


def decoded_views(
    field: "ObjectField", prior: TextToImagePrior, params: Params, background: Tensor, every: int = 1
) -> Tensor:
    """What the prior's decoder makes of views from all round: [8 / every, 3, height, width].

    The background is [h, w, channels] of latents; its mean stands behind the object.
    """
    latents, _ = ring_views(field, params, params.n_samples, prior.latent_size, background.mean((0, 1)))
    with torch.no_grad():
        return prior.decode(latents[::every].movedim(-1, 1))
