"""The iterative dataset update of Instruct-NeRF2NeRF, section 3.2, and the variants that section 4 compares it with."""

from dataclasses import replace

import torch

from prior3d.captures.held_out import split_views
from prior3d.dataset_update.edit_scene import SceneEdit
from prior3d.dataset_update.edit_views import SIDE_MULTIPLE, ViewEditor
from prior3d.dataset_update.edited_images import EditedViews
from prior3d.diffusion.embedded import embedded_names
from prior3d.diffusion.instruct import InstructPrior, load_instruct
from prior3d.diffusion.networks import dtype_of
from prior3d.images.files import contact_sheet, write_png
from prior3d.metrics import psnr_db
from prior3d.optimisation import optimise
from prior3d.seeds import Seeds
from prior3d.splats.field import SplatsField
from stages.artifacts.capture import load_posed_images
from stages.artifacts.fields import load_drawn, load_scene_field
from stages.contract.job import Job
from stages.contract.preview import warn_of_unknown_words
from stages.dataset_update import Params
from stages.dataset_update.fitting import Fit
from stages.dataset_update.grid import grid_fit
from stages.dataset_update.splats import splat_fit

N_SHOWN = 6  # views of the last preview and of the metric
UNCHANGED = 0.02  # of colour range: smaller changes are none
NOTHING_CHANGED = (
    "warning: the prior does not say where this is to be, so nothing is changed; lower "
    "dataset_update.consensus.min_change_ratio or relative_threshold, or name another part"
)


def run(job: Job, params: Params) -> None:
    """Preview, edit and fit, and write the scene with the edited images."""
    prior, seeds = load_instruct(job.prior(), job.device, dtype_of(params.precision)), Seeds(params.seed)
    prior.use_engine(params.engine)
    views = load_posed_images(job.inputs["images"])
    chosen = split_views(views.views, params.held_out_every)[1]
    dataset = EditedViews(views, chosen, params.background, job.device)
    editor = build_editor(job, params, prior, dataset)
    drawn = load_drawn(job.inputs["field"], job.device)
    if isinstance(drawn, SplatsField):
        fit = splat_fit(job, params, seeds, drawn, dataset, views, chosen)
    else:
        fit = grid_fit(params, seeds, load_scene_field(job.inputs["field"], job.device), dataset)
    warn_of_unknown_words(job, editor.unknown_words, fit.n_steps)
    scene = SceneEdit(fit.scene, dataset, editor, seeds, params.relevance, params.consensus)
    write_edit_preview(job, scene, params, fit.n_steps)
    finished = optimise(
        fit.build_losses(scene, lambda step: update(job, scene, params, fit, step)),
        modules=scene.modules,
        optimiser=fit.optimiser,
        n_steps=fit.n_steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=fit.learning_rate_factor,
        advice=fit.advice,
    )
    if finished:
        write(job, scene, fit)


def build_editor(job: Job, params: Params, prior: InstructPrior, dataset: EditedViews) -> ViewEditor:
    """The editor of single images; with consensus it leaves out no small change, for the consensus judges them."""
    settings = replace(params.edit, min_change=0.0) if params.consensus.enabled else params.edit
    shorter = settings.image_size
    if not shorter and job.prior().name in embedded_names():
        shorter = prior.image_size
    if not shorter:
        shorter = min(dataset.cameras.height, dataset.cameras.width) // SIDE_MULTIPLE * SIDE_MULTIPLE
    instruction = job.inputs["instruction"].read_text(encoding="utf-8").strip()
    return ViewEditor(prior, instruction, dataset.cameras, settings, shorter)


def update(job: Job, scene: SceneEdit, params: Params, fit: Fit, step: int) -> None:
    """Edit the images whose turn it is before a step."""
    if step == 0 and params.relevance.threshold > 0:
        scene.restrict()
    if params.variant == "sds":
        return
    due, progress = fit.views_due(step), step / fit.n_steps
    previous_weight = params.edit.previous_weight if step >= fit.round_steps else 0.0
    for view in due:
        from_render = params.variant == "iterative"
        scene.replace(view, from_render=from_render, progress=progress, previous_weight=previous_weight)
    if due and params.consensus.enabled and scene.aggregate() < UNCHANGED:
        job.progress(0, fit.n_steps, text=NOTHING_CHANGED)


def write_edit_preview(job: Job, scene: SceneEdit, params: Params, n_steps: int) -> None:
    """`edit_preview.png`: one view edited with each pair of guidance scales, text guidance rising to the right."""
    image_scales, text_scales = params.preview_scales
    if not image_scales or not text_scales:
        return
    view, rows = scene.dataset.n_views // 2, []
    for image_scale in image_scales:
        row = [scene.dataset.original(view)]
        for text_scale in text_scales:
            noise = Seeds(params.seed).generator("noise")  # the same in all, and none taken from the loop's
            guidance = image_scale, text_scale
            row.append(scene.edited(view, from_render=False, generator=noise, guidance=guidance))
        rows.append([image[0].movedim(0, -1).cpu().numpy() for image in row])
    path = job.out / "edit_preview.png"
    write_png(path, contact_sheet(rows))
    job.progress(0, n_steps, preview=path, text=f"image guidance {image_scales} down, text {text_scales} across")


def write(job: Job, scene: SceneEdit, fit: Fit) -> None:
    """The scene, the edited images, and how much of them the scene shows."""
    dataset = scene.dataset
    fit.save(job.out)
    (job.out / "edited").mkdir()
    for view in range(dataset.n_views):
        write_png(job.out / "edited" / f"{view:05d}.png", dataset.now(view)[0].movedim(0, -1).cpu().numpy())
    shown = [number * dataset.n_views // N_SHOWN for number in range(min(N_SHOWN, dataset.n_views))]
    renders = fit.shown_by.render(dataset.cameras[torch.tensor(shown)], dataset.background)
    sets = torch.cat([dataset.original(view) for view in shown]), torch.cat([dataset.now(view) for view in shown])
    rows = [list(images.movedim(1, -1).cpu().numpy()) for images in (*sets, renders)]
    write_png(job.out / "preview.png", contact_sheet(rows))
    agreement = sum(psnr_db(edited, rendered) for edited, rendered in zip(rows[1], rows[2], strict=True)) / len(shown)
    job.metric("edited_psnr", agreement, "dB", n=len(shown), higher_is_better=True)
    job.metric("edits", int(dataset.n_edits), "images")
    if scene.relevance.threshold > 0:
        job.metric("edited_share", float(scene.region.fraction), "of the pixels that show something")
