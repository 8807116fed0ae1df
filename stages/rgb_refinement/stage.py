"""The body of rgb_refinement; the package says what it takes, gives and is set by."""

from collections.abc import Callable

import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.cameras import orbit_cameras
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.sds import draw_timesteps, sds_loss
from prior3d.errors import Prior3dError
from prior3d.fields import ObjectField
from prior3d.images.backgrounds import NAMED_BACKGROUNDS, encoded_backgrounds
from prior3d.images.colours import fit_latent_to_rgb, paper_latent_to_rgb, rgb_field
from prior3d.losses.regularisers import distortion, opacity_entropy_bits, opacity_sparsity, ramp, total_variation
from prior3d.losses.shape_guide import ShapeGuide, shape_loss
from prior3d.optimisation import late_decay, optimise
from prior3d.rendering import Rendering, render
from prior3d.seeds import Seeds
from stages.artifacts.fields import load_object_field, save_field
from stages.artifacts.meshes import load_shape_guide
from stages.artifacts.priors import load_prior
from stages.contract.job import Job
from stages.contract.preview import Preview, check_object, write_row
from stages.guided_views import GuidedViews, ring_views
from stages.remade_views import RemadeViews
from stages.rgb_refinement import Params

N_NEIGHBOURS, NEIGHBOUR_DISTANCE = 8192, 0.04  # points a step, and how far their neighbours are in world units
AGAINST_EMPTY = "lower rgb_refinement.noise_levels or rgb_refinement.sparsity_weight, or look at coarse_nerf's preview"
AGAINST_FULL = "raise rgb_refinement.mask_weight or rgb_refinement.entropy_weight, or look at coarse_nerf's preview"


def run(job: Job, params: Params) -> None:
    """Turn a latent field into an RGB field that is a surface."""
    prior = load_prior(job, prompt=job.prompt)
    views = GuidedViews(prior, job.prompt, params, named_backgrounds=True)
    views.warn(job, params.steps)
    seeds = Seeds(params.seed)
    latent_field = load_object_field(job.inputs["field"]).to(job.device).requires_grad_(False)
    field = start(latent_field, prior, params)
    modules: dict[str, torch.nn.Module] = {"field": field}
    guide = load_shape_guide(job.inputs["shape"], job.device) if "shape" in job.inputs else None
    terms = regularisers(field, seeds, params, guide)
    if params.mode == "sds":
        losses = sds_losses(field, views, seeds, params, terms)
    else:
        remade = RemadeViews(latent_field, field, views, seeds, params, terms)
        modules["targets"] = remade.targets
        losses = remade.losses

    def views_at(size: int) -> tuple[Tensor, Tensor]:
        pictures, opacity = ring_views(field, params, params.n_samples, size, torch.ones(3, device=job.device))
        return pictures.movedim(-1, 1), opacity

    preview = Preview(job, lambda: views_at(prior.image_size // 2)[0])

    def with_preview(step: int) -> dict[str, Tensor]:
        preview.perhaps(step, params.steps)
        return losses(step)

    finished = optimise(
        with_preview,
        modules=modules,
        optimiser=torch.optim.Adam(
            field.parameter_groups(params.learning_rate), betas=(0.9, 0.99), eps=params.adam_epsilon
        ),
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=lambda progress: late_decay(progress, params.decay_from, params.decay_to),
    )
    if finished:
        pictures, opacity = views_at(prior.image_size)
        check_object(job, opacity, against_empty=AGAINST_EMPTY, against_full=AGAINST_FULL)
        save_field(job.out, field)
        write_row(job.out / "preview.png", pictures)


def start(latent_field: "ObjectField", prior: TextToImagePrior, params: Params) -> "ObjectField":
    """The RGB field that looks like the latent field seen through the linear map."""
    if params.linear_map == "paper":
        matrix, offset = (part.to(prior.device) for part in paper_latent_to_rgb())
        if prior.latent_channels != len(matrix):
            raise Prior3dError(
                f"rgb_refinement.linear_map: the paper's is for {len(matrix)} latent channels, this prior has "
                f"{prior.latent_channels}; set it to fitted"
            )
    else:
        premultiplied, opacity = ring_views(latent_field, params, params.n_samples, prior.latent_size)
        behind = encoded_backgrounds(prior)[[0, 1, 2, 0, 1, 2, 0, 1]]
        latents = (premultiplied + (1 - opacity)[..., None] * behind).movedim(-1, 1)
        with torch.no_grad():
            matrix, offset = fit_latent_to_rgb(latents, torch.cat([prior.decode(view[None]) for view in latents]))
    return rgb_field(latent_field, matrix, offset, params.finer_resolutions)


def sds_losses(
    field: "ObjectField",
    views: GuidedViews,
    seeds: Seeds,
    params: Params,
    regularisers: Callable[[Rendering, float], dict[str, Tensor]],
) -> Callable[[int], dict[str, Tensor]]:
    """Score distillation of RGB renders, enlarged to the prior's size and encoded with gradient."""
    prior, size = views.prior, params.image_size or views.prior.image_size
    levels = torch.tensor(list(NAMED_BACKGROUNDS.values()))

    def losses(step: int) -> dict[str, Tensor]:
        progress = step / params.steps
        drawn = views.draw(seeds)
        cameras = orbit_cameras(drawn.orbit, size, size).to(prior.device)
        behind = levels[drawn.backgrounds, None].expand(-1, 3).to(prior.device)
        rendering = render(field, cameras, params.n_samples, seeds.generator("samples"), behind)
        images = rendering.features.movedim(-1, 1)
        if size != prior.image_size:
            images = functional.interpolate(images, (prior.image_size,) * 2, mode="bilinear", align_corners=False)
        latents = prior.encode(images)
        limits = views.timestep_limits(progress)
        timesteps = draw_timesteps(cameras.views, prior.n_timesteps, limits, seeds.generator("timesteps"))
        noise = torch.randn(latents.shape, generator=seeds.generator("noise")).to(prior.device)
        sds = sds_loss(latents, prior, drawn.guidance, timesteps.to(prior.device), noise, params.weighting)
        return {"sds": sds} | regularisers(rendering, progress)

    return losses


def regularisers(
    field: "ObjectField", seeds: Seeds, params: Params, guide: ShapeGuide | None = None
) -> Callable[[Rendering, float], dict[str, Tensor]]:
    """The terms that make fog a surface, as a function of a rendering and of the fraction of steps done."""

    def neighbours() -> tuple[Tensor, Tensor]:
        generator, bound = seeds.generator("neighbours"), field.config.bound
        points = (torch.rand((N_NEIGHBOURS, 3), generator=generator) * 2 - 1) * bound
        offsets = torch.nn.functional.normalize(torch.randn((N_NEIGHBOURS, 3), generator=generator), dim=-1)
        device = next(field.parameters()).device
        return points.to(device), offsets.to(device) * NEIGHBOUR_DISTANCE

    def terms(rendering: Rendering, progress: float) -> dict[str, Tensor]:
        strength = ramp(progress, *params.regulariser_ramp)
        points, offsets = neighbours()
        spread = distortion(*(part.flatten(0, -2) for part in (rendering.weights, rendering.starts, rendering.ends)))
        found = {
            "entropy": strength * params.entropy_weight * opacity_entropy_bits(rendering.opacity),
            "distortion": strength * params.distortion_weight * spread,
            "smoothness": params.smoothness_weight * total_variation(field, points, offsets, NEIGHBOUR_DISTANCE),
            "sparsity": strength * params.sparsity_weight * opacity_sparsity(rendering.opacity),
        }
        if guide is not None:
            shape = shape_loss(field.density(points), points, guide, params.proximal_surface)
            found["shape"] = params.shape_weight * shape
        return found

    return terms
