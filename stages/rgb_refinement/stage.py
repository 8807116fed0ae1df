"""The RGB field of Latent-NeRF, section 3.2: a linear map of the latent field, then refined with the prior."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.dataset_update.refresh_views import RefreshedViews, seen
from prior3d.dataset_update.schedule import refreshes_at
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import (
    FlatBackground,
    RgbBackdrop,
    choose_background,
    fit_latent_to_rgb_of_views,
    rgb_backdrop,
)
from prior3d.distillation.sds import ScoreDistillation
from prior3d.distillation.view_sampler import ViewBatch, ViewSampler, render_ring, ring_cameras
from prior3d.errors import Prior3dError
from prior3d.fields import ObjectField
from prior3d.fields.protocol import DrawsItself
from prior3d.images.colours import paper_latent_to_rgb, rgb_field
from prior3d.losses.regularisers import opacity_entropy_bits, opacity_sparsity, ramp
from prior3d.losses.robust import huber_loss
from prior3d.losses.shape_guide import ShapeGuide, shape_loss
from prior3d.losses.surface import random_neighbours, surface_terms
from prior3d.optimisation import adam, decay, optimise
from prior3d.reconstruction.view_targets import fit_losses
from prior3d.rendering import Rendering, over, render
from prior3d.seeds import Seeds
from prior3d.sending import sent
from stages.artifacts.fields import load_drawn, load_object_field, save_drawn, save_field
from stages.artifacts.priors import load_prior
from stages.artifacts.shape_guide import load_shape_guide
from stages.contract.job import Job
from stages.contract.object_check import ObjectCheck
from stages.contract.preview import Preview, warn_of_unknown_words, write_row
from stages.rgb_refinement import Params

DIVERGED = "lower rgb_refinement.optimiser.learning_rate or rgb_refinement.sds.guidance_scale"
AGAINST_EMPTY = (
    "lower rgb_refinement.refresh.strengths or rgb_refinement.surface.sparsity_weight, or look at coarse_nerf's preview"
)
AGAINST_FULL = (
    "raise rgb_refinement.refresh.mask_weight or rgb_refinement.surface.entropy_weight, "
    "or look at coarse_nerf's preview"
)
Regularisers = Callable[[Rendering, float], dict[str, Tensor]]
Losses = Callable[[int], dict[str, Tensor]]


def run(job: Job, params: Params) -> None:
    """Turn a latent field into an RGB field that is a surface; or refine splats, which have colours already."""
    splats = load_drawn(job.inputs["field"], job.device)
    if splats is None:
        refine_field(job, params)
    else:
        refine_splats(job, params, splats)


def refine_field(job: Job, params: Params) -> None:
    """Map the latent field to colours, and make it a surface."""
    prior, seeds = load_prior(job, params.precision, params.engine, prompt=job.prompt), Seeds(params.seed)
    flat = params.background == "named" or params.mode != "sds"
    views = ViewSampler(prior, job.prompt, params.views, params.prompting, params.sds, named_backgrounds=flat)
    warn_of_unknown_words(job, views.unknown_words, params.steps)
    latent_field = load_object_field(job.inputs["field"], job.device).requires_grad_(False)
    modules: dict[str, nn.Module] = {"field": (field := start(latent_field, prior, params))}
    guide = load_shape_guide(job.inputs["shape"], job.device) if "shape" in job.inputs else None
    terms, rate = regularisers(field, seeds, params, guide), params.optimiser.learning_rate
    backdrop = rgb_backdrop("named" if flat else "learned", seeds, job.device)
    modules |= backdrop.modules
    if params.mode == "sds":
        losses = sds_losses(field, backdrop, views, seeds, params, terms)
    else:
        losses, modules["targets"] = refreshed_losses(latent_field, field, views, seeds, params, terms)
    preview = Preview(job, lambda: views_of(field, params, prior.image_size // 2))
    check = ObjectCheck(job, field, params.n_samples, params.check, AGAINST_EMPTY, AGAINST_FULL)

    def with_preview(step: int) -> dict[str, Tensor]:
        field.update_occupancy(step, seeds.generator)
        check.before(step, params.steps)
        preview.perhaps(step, params.steps)
        return losses(step)

    finished = optimise(
        with_preview,
        modules=modules,
        optimiser=adam([*field.parameter_groups(rate), *backdrop.parameter_groups(rate)], params.optimiser),
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
        write_row(job.out / "preview.png", views_of(field, params, prior.image_size))


def views_of(field: ObjectField | DrawsItself, params: Params, size: int) -> Tensor:
    """Eight views from all around, over white: [8, 3, size, size]."""
    white = torch.ones(3, device=next(field.parameters()).device)
    images, _ = seen(field, ring_cameras(params.views, 8, size).to(white.device), params.n_samples, white)
    return images.movedim(-1, 1)


def refine_splats(job: Job, params: Params, splats: DrawsItself) -> None:
    """Fit splats to views that the prior refreshes; with mode sds they stay, as coarse_nerf distilled them in colour.

    Raises:
        Prior3dError: there is a rough shape, to which splats cannot be held; or they show no object.
    """
    if "shape" in job.inputs:
        raise Prior3dError(f"{job.name}: splats cannot be held to a rough shape; set coarse_nerf.kind=grid")
    prior, seeds = load_prior(job, params.precision, params.engine, prompt=job.prompt), Seeds(params.seed)
    n_steps = 0 if params.mode == "sds" else params.splat_steps
    views = ViewSampler(prior, job.prompt, params.views, params.prompting, params.sds, named_backgrounds=True)
    warn_of_unknown_words(job, views.unknown_words, params.splat_steps)
    preview = Preview(job, lambda: views_of(splats, params, prior.image_size // 2))
    check = ObjectCheck(job, splats, params.n_samples, params.check, AGAINST_EMPTY, AGAINST_FULL)
    refreshed = RefreshedViews(
        splats, views, seeds, params.refresh, params.n_samples, background_of(splats, views, params)
    )
    losses = splat_losses(splats, refreshed, seeds, params)

    def with_preview(step: int) -> dict[str, Tensor]:
        check.before(step, n_steps)
        preview.perhaps(step, n_steps)
        return losses(step)

    finished = optimise(
        with_preview,
        modules={**splats.modules, "targets": refreshed.targets},
        optimiser=adam(splats.parameter_groups(params.optimiser.learning_rate), params.optimiser),
        n_steps=n_steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=decay(params.optimiser),
        advice=DIVERGED,
    )
    if finished:
        check.at_end()
        save_drawn(job.out, splats)
        write_row(job.out / "preview.png", views_of(splats, params, prior.image_size))


def splat_losses(splats: DrawsItself, refreshed: RefreshedViews, seeds: Seeds, params: Params) -> Losses:
    """The fit of whole images to views that the prior refreshes, as many a step as come next to the rays of a step."""
    targets, surface = refreshed.targets, params.surface
    n_views, height, width = targets.masks.shape
    n_drawn = max(1, round(params.refresh.rays_per_step / (height * width)))

    def losses(step: int) -> dict[str, Tensor]:
        progress = step / params.splat_steps
        for number, strength in refreshes_at(step, params.splat_steps, params.refresh.strengths):
            refreshed.refresh(number, strength)
        chosen = torch.randint(n_views, (n_drawn,), generator=seeds.generator("views")).tolist()
        behind = sent(torch.rand((n_drawn, 3), generator=seeds.generator("behind")), targets.colours.device)
        drawn = [splats.draw(targets.cameras[v], behind[i]) for i, v in enumerate(chosen)]
        colours, opacity = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        masks, weights = targets.masks[chosen], targets.weights[chosen]
        wanted = targets.colours[chosen] + (1 - masks)[..., None] * behind[:, None, None]
        strength = ramp(progress, *surface.ramp)
        return {
            "colour": huber_loss(colours.view(-1, 3), wanted.view(-1, 3), weights.view(-1)),
            "mask": params.refresh.mask_weight * (weights * (opacity - masks).abs()).mean(),
            "entropy": strength * surface.entropy_weight * opacity_entropy_bits(opacity),
            "sparsity": strength * surface.sparsity_weight * opacity_sparsity(opacity),
        }

    return losses


def background_of(field: ObjectField | DrawsItself, views: ViewSampler, params: Params) -> FlatBackground:
    """The flat background that an object's colours stand out from most, as views from all round show them."""
    prior = views.prior
    cameras = ring_cameras(params.views, 8, prior.latent_size).to(prior.device)
    colours, opacity = seen(field, cameras, params.n_samples)
    opaque = opacity > 0.5
    return choose_background(colours[opaque] / opacity[opaque][:, None])


def start(latent_field: ObjectField, prior: TextToImagePrior, params: Params) -> ObjectField:
    """The RGB field that looks like the latent field seen through the linear map."""
    if params.linear_map == "paper" or (params.linear_map == "by_prior" and prior.has_sd_latents):
        matrix, offset = (part.to(prior.device) for part in paper_latent_to_rgb())
        if prior.latent_channels != len(matrix):
            raise Prior3dError(
                f"rgb_refinement.linear_map: the paper's is for {len(matrix)} latent channels, this prior has "
                f"{prior.latent_channels}; set it to fitted"
            )
    else:
        premultiplied, opacity = render_ring(latent_field, params.views, params.n_samples, prior.latent_size)
        matrix, offset = fit_latent_to_rgb_of_views(prior, premultiplied, opacity)
    return rgb_field(latent_field, matrix, offset, params.finer_resolutions)


def sds_losses(
    field: ObjectField,
    backdrop: RgbBackdrop,
    views: ViewSampler,
    seeds: Seeds,
    params: Params,
    regularisers: Regularisers,
) -> Losses:
    """Score distillation of RGB renders, resized to the prior's size and encoded with gradient."""
    distil = ScoreDistillation(views, seeds, params.sds, "image")

    def losses(step: int) -> dict[str, Tensor]:
        rendered = []

        def render_images(cameras: Cameras, batch: ViewBatch) -> Tensor:
            rendered.append(render(field, cameras, params.n_samples, seeds.generator("samples", views.prior.device)))
            return over(rendered[0], backdrop(cameras, batch.backgrounds)).features.movedim(-1, 1)

        loss = distil(render_images, step / params.steps).loss
        return {"sds": loss} | regularisers(rendered[0], step / params.steps)

    return losses


def refreshed_losses(
    latent_field: ObjectField,
    field: ObjectField,
    views: ViewSampler,
    seeds: Seeds,
    params: Params,
    regularisers: Regularisers,
) -> tuple[Losses, nn.Module]:
    """The fit to views that the prior refreshes, and the views as a module."""
    background = background_of(field, views, params)
    refreshed = RefreshedViews(field, views, seeds, params.refresh, params.n_samples, background, latent_field)

    def losses(step: int) -> dict[str, Tensor]:
        for number, strength in refreshes_at(step, params.steps, params.refresh.strengths):
            refreshed.refresh(number, strength)
        rendering, colour, mask = fit_losses(
            field, refreshed.targets, params.refresh.rays_per_step, params.n_samples, seeds, "rays"
        )
        terms = {"colour": colour, "mask": params.refresh.mask_weight * mask}
        return terms | regularisers(rendering, step / params.steps)

    return losses, refreshed.targets


def regularisers(field: ObjectField, seeds: Seeds, params: Params, guide: ShapeGuide | None = None) -> Regularisers:
    """The terms that make fog a surface, as a function of a rendering and of the fraction of steps done."""

    def terms(rendering: Rendering, progress: float) -> dict[str, Tensor]:
        neighbours = random_neighbours(field.config.bound, seeds, next(field.parameters()).device)
        found = surface_terms(field, rendering, params.surface, progress, seeds, neighbours)
        if guide is not None:
            points, _ = neighbours
            shape = shape_loss(field.density(points), points, guide, params.shape.proximal_surface)
            found["shape"] = params.shape.weight * shape
        return found

    return terms
