"""The body of scene_fit; the package says what it takes, gives and is set by."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from prior3d import checkpoints
from prior3d.captures.held_out import render_and_photo, split_views
from prior3d.captures.pixels import PixelSampler
from prior3d.captures.posed import PosedViews
from prior3d.fields.scene_field import SceneField, SceneFieldConfig, grid_total_variation
from prior3d.optimisation import adam, decay, optimise
from prior3d.rendering.scene import occupied_cells, render_scene_rays
from prior3d.seeds import Seeds
from prior3d.sending import sent
from stages.artifacts.capture import load_posed_images
from stages.artifacts.fields import save_field
from stages.contract.job import Job
from stages.contract.monitors import PhaseMonitor
from stages.contract.saving import save_checkpoint
from stages.scene_fit import Params
from stages.scene_fit.measuring import DIVERGED, measure
from stages.scene_fit.splats import run_splats
from stages.scene_fit.starting import starting_points

Losses = Callable[[int], dict[str, Tensor]]  # of a step
BuildLosses = Callable[[Params, int, SceneField, PixelSampler, Seeds], Losses]


def losses(params: Params, phase: int, field: SceneField, store: PixelSampler, seeds: Seeds) -> Losses:
    """The losses of a phase: colour differences of random pixels, roughness, and spread along the ray."""
    occupied = occupied_cells(field) if phase else None
    n_rays, n_bins, samples_per_bin = amounts(params, phase)
    meaning = store.views.mask_meaning
    kept = field.active_nodes()

    def terms(step: int) -> dict[str, Tensor]:
        drawn = store.draw(n_rays, seeds.generator("rays"))
        origins, directions, colours, masks = (sent(part, field.rows.device) for part in drawn[:4])
        behind = sent(torch.rand((n_rays, 3), generator=seeds.generator("behind")), colours)
        rendered = render_scene_rays(
            field, origins, directions, n_bins, samples_per_bin, occupied, seeds.generator("samples"),
            behind, record_visibility=step >= params.pruning.observe_from * params.steps[phase],
        )  # fmt: skip
        difference = rendered.colours - wanted(colours, masks, behind, meaning)
        if meaning == "ignore":
            difference = difference * masks[:, None]
        rough = grid_total_variation(field, kept, seeds.generator("nodes"))
        return {
            "colour": difference.square().mean(),
            "smoothness": params.regularisers.smoothness_weight * rough,
            "distortion": params.regularisers.distortion_weight * rendered.distortion,
        }

    return terms


def wanted(colours: Tensor, masks: Tensor, behind: Tensor, meaning: str) -> Tensor:
    """What rays should see: an object's image over the random background, else the image."""
    if meaning != "object":
        return colours
    return colours * masks[:, None] + (1 - masks[:, None]) * behind


def amounts(params: Params, phase: int) -> tuple[int, int, int]:
    """Rays, bins of a ray and samples in a bin; the first of several phases, which can skip nothing, takes fewer."""
    fraction = params.first_phase_fraction if phase == 0 and len(params.steps) > 1 else 1.0
    rendering = params.rendering
    n_rays, n_bins, samples_per_bin = (
        max(1, int(fraction * n)) for n in (rendering.rays_per_step, rendering.n_bins, rendering.samples_per_bin)
    )
    return n_rays, n_bins, samples_per_bin


def run(job: Job, params: Params, build_losses: BuildLosses = losses) -> None:
    """Fit, phase after phase, and measure; `build_losses` makes each phase's losses, as `losses` does."""
    views = load_posed_images(job.inputs["images"])
    held_out, training = split_views(views.views, params.held_out_every)
    if params.kind == "splats":
        run_splats(
            job, params, views, held_out, training,
            lambda n_points: starting_points(job, params, views, training, n_points, fit_start),
        )  # fmt: skip
        return
    job.progress(0, sum(params.steps), text=f"reading {len(training)} images")
    store = PixelSampler(views, training, job.work / "pixels.npy")
    field = fit(job, params, views, store, build_losses)
    if field is None:
        return
    measure(job, params, views, lambda view: render_and_photo(views, field, view, params.rendering.n_bins),
            held_out, training)  # fmt: skip
    job.metric("nodes", len(field.density_logits) - 1, "nodes")
    save_field(job.out, field)
    store.remove()


def start(params: Params, views: PosedViews) -> SceneField:
    """A field at its start: fog, in the box or in all of space."""
    is_object = views.mask_meaning == "object"
    contracted = params.extent == "unbounded" or (params.extent == "auto" and not is_object)
    return SceneField(SceneFieldConfig(params.resolutions[0], contracted, params.sh_degree))


def fit_start(job: Job, params: Params, views: PosedViews, store: PixelSampler) -> SceneField | None:
    """The grid that splats begin on, with checkpoints beside those of the splats."""
    return fit(job, params, views, store, losses, "start")


def fit(
    job: Job, params: Params, views: PosedViews, store: PixelSampler, build_losses: BuildLosses, name: str = "phase"
) -> SceneField | None:
    """Fit phase after phase, each with a checkpoint of its own; None when the job is asked to stop."""
    field = start(params, views).to(job.device)
    for phase, resolution in enumerate(params.resolutions):
        last = phase == len(params.resolutions) - 1
        done = checkpoints.load(ended(job, phase, name))
        if phase:
            field = field.upsample(resolution, params.pruning.min_weight)
        if done is not None:
            field = SceneField(field.config, done[0]["rows"]).to(job.device)
            field.load_state_dict(done[0])
            continue
        seeds = Seeds(params.seed + 1000 * phase)
        groups = [
            {"params": [field.density_logits], "lr": params.optimiser.density_learning_rate},
            {"params": [field.colours, field.sky], "lr": params.optimiser.learning_rate},
        ]
        finished = optimise(
            build_losses(params, phase, field, store, seeds),
            modules={"field": field},
            optimiser=adam(groups, params.optimiser, fused=True),
            n_steps=params.steps[phase],
            seeds=seeds,
            checkpoint=job.work / f"{name}_{phase}.safetensors",
            monitor=PhaseMonitor(job, sum(params.steps[:phase]), sum(params.steps)),
            learning_rate_factor=decay(params.optimiser) if last else unchanged,
            advice=DIVERGED,
        )
        if not finished:
            return None
        save_checkpoint(job, ended(job, phase, name), field.state_dict(), {})
    return field


def unchanged(progress: float) -> float:
    """The learning rates' factor in all phases but the last."""
    return 1.0


def ended(job: Job, phase: int, name: str = "phase") -> Path:
    """The file of a finished phase's field."""
    return job.work / f"{name}_{phase}.end.safetensors"
