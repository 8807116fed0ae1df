"""Score distillation of Gaussian splats in colour, after DreamGaussian (Tang et al. 2023)."""

from collections.abc import Callable

import torch
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.distillation.backgrounds import RgbBackdrop, rgb_backdrop
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewBatch, ViewSampler, ring_cameras
from prior3d.losses.regularisers import opacity_entropy_bits, opacity_sparsity, ramp
from prior3d.optimisation import late_decay, optimise
from prior3d.seeds import Seeds
from prior3d.settings.distillation import ViewSettings
from prior3d.splats.ball import ball_splats, cameras_all_round
from prior3d.splats.field import SplatsField
from prior3d.splats.model import SplatsConfig
from prior3d.splats.optimising import control_density, rate_groups
from stages.artifacts.splats import save_splats
from stages.coarse_nerf import Params
from stages.contract.job import Job
from stages.contract.object_check import ObjectCheck
from stages.contract.preview import Preview, warn_of_unknown_words, write_row
from stages.contract.slow_splats import tell_if_slow

DIVERGED = "lower coarse_nerf.splats.rates.means, coarse_nerf.splats.rates.scales or coarse_nerf.sds.guidance_scale"
AGAINST_EMPTY = (
    "raise coarse_nerf.splats.start_opacity or coarse_nerf.splats.start_radius, lower "
    "coarse_nerf.surface.sparsity_weight, or try another seed"
)
AGAINST_FULL = "raise coarse_nerf.surface.sparsity_weight, or lower coarse_nerf.splats.start_radius"
BETAS, EPSILON = (0.9, 0.99), 1e-15  # of Adam; 3DGS's epsilon
Losses = Callable[[int], dict[str, Tensor]]


def run_splats(job: Job, params: Params, prior: TextToImagePrior) -> None:
    """Distil the prior into splats."""
    tell_if_slow(job)
    seeds, settings = Seeds(params.seed), params.splats
    named = params.background == "named"
    views = ViewSampler(prior, job.prompt, params.views, params.prompting, params.sds, named_backgrounds=named)
    warn_of_unknown_words(job, views.unknown_words, params.steps)
    distil = Distillation(views, seeds, params.sds, "image")
    field = start(params, seeds, job.device)
    backdrop = rgb_backdrop(params.background, seeds, job.device)
    groups = [*rate_groups(field.splats, settings.rates), *backdrop.parameter_groups(params.optimiser.learning_rate)]
    optimiser = torch.optim.Adam([*groups, *distil.parameter_groups()], betas=BETAS, eps=EPSILON, fused=True)
    losses = distillation_losses(field, backdrop, distil, params)
    preview = Preview(job, lambda: images_all_round(field, params.views, prior.image_size // 2, every=2))
    check = ObjectCheck(job, field, params.n_samples, params.check, AGAINST_EMPTY, AGAINST_FULL)

    def with_preview(step: int) -> dict[str, Tensor]:
        check.before(step, params.steps)
        preview.perhaps(step, params.steps)
        control_density(field.splats, optimiser, settings.density_control, step, params.steps, seeds)
        return losses(step)

    finished = optimise(
        with_preview,
        modules={**field.modules, **backdrop.modules, **distil.modules},
        optimiser=optimiser,
        n_steps=params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=lambda progress: late_decay(progress, 0.0, settings.rates.decay_to),
        advice=DIVERGED,
    )
    if finished:
        check.at_end()
        job.metric("splats", settings.n_splats, "Gaussians")
        save_splats(job.out, field)
        write_row(job.out / "preview.png", images_all_round(field, params.views, prior.image_size))


def start(params: Params, seeds: Seeds, device: torch.device) -> SplatsField:
    """Splats before the first step, with the cameras that their mesh will be made from."""
    settings = params.splats
    config = SplatsConfig(settings.n_splats, settings.sh_degree, meshed_by=settings.meshed_by)
    splats = ball_splats(config, settings.start_radius, settings.start_opacity, seeds.generator("points"))
    radius, fov_deg = (sum(pair) / 2 for pair in (params.views.radius, params.views.fov_deg))
    cameras = cameras_all_round(settings.mesh_views, settings.mesh_image_size, radius, fov_deg)
    return SplatsField(splats.to(device), cameras.to(device))


def distillation_losses(
    field: SplatsField, backdrop: RgbBackdrop, distil: Distillation[ViewBatch], params: Params
) -> Losses:
    """The weighted terms of a step: score distillation of whole images, and what makes them solid or empty."""
    surface, control = params.surface, params.splats.density_control

    def losses(step: int) -> dict[str, Tensor]:
        progress, opacities = step / params.steps, list[Tensor]()

        def render_images(cameras: Cameras, batch: ViewBatch) -> Tensor:
            black = torch.zeros(3, device=cameras.c2w.device)
            drawn = [field.draw(cameras[view], black) for view in range(cameras.views)]
            opacities.append(torch.stack([opacity for _, opacity in drawn]))
            behind = (1 - opacities[0])[..., None] * backdrop(cameras, batch.backgrounds)
            return (torch.stack([colours for colours, _ in drawn]) + behind).movedim(-1, 1)

        terms = distil(render_images, progress).terms
        strength = ramp(progress, *surface.ramp)
        return terms | {
            "entropy": strength * surface.entropy_weight * opacity_entropy_bits(opacities[0]),
            "sparsity": strength * surface.sparsity_weight * opacity_sparsity(opacities[0]),
            "opacity": control.opacity_weight * field.splats.opacities.sigmoid().mean(),
            "scale": control.scale_weight * field.splats.scales.exp().mean(),
        }

    return losses


def images_all_round(field: SplatsField, views: ViewSettings, size: int, every: int = 1) -> Tensor:
    """Views from all round, over white: [8 / every, 3, size, size]."""
    cameras = ring_cameras(views, 8, size).to(field.splats.means.device)
    white = torch.ones(3, device=cameras.c2w.device)
    return field.render_views(cameras[torch.arange(0, 8, every)], white)[0].movedim(-1, 1)
