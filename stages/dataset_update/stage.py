"""The iterative dataset update of Instruct-NeRF2NeRF, section 3.2, and the variants that section 4 compares it with."""

from dataclasses import replace

import torch

from prior3d.captures.held_out import split_views
from prior3d.dataset_update.edit_scene import SceneEdit, render_images
from prior3d.dataset_update.edit_views import SIDE_MULTIPLE, ViewEditor
from prior3d.dataset_update.edited_images import EditedViews
from prior3d.dataset_update.schedule import views_due
from prior3d.diffusion.embedded import embedded_names
from prior3d.diffusion.instruct import InstructPrior, load_instruct
from prior3d.diffusion.networks import dtype_of
from prior3d.fields.scene_field import SceneField
from prior3d.images.files import contact_sheet, write_png
from prior3d.metrics import psnr_db
from prior3d.optimisation import adam, decay, optimise
from prior3d.seeds import Seeds
from stages.artifacts.capture import load_posed_images
from stages.artifacts.fields import load_scene_field, save_field
from stages.contract.job import Job
from stages.contract.preview import warn_of_unknown_words
from stages.dataset_update import Params
from stages.dataset_update.losses import fitting_losses, sds_losses

DIVERGED = "lower dataset_update.optimiser.learning_rate or dataset_update.optimiser.density_learning_rate"
N_SHOWN, BINS_SHOWN = 6, 64  # views of the last preview and of the metric, whatever the fit was rendered with
UNCHANGED = 0.02  # of colour range: smaller changes are none
NOTHING_CHANGED = (
    "warning: the prior does not say where this is to be, so nothing is changed; lower "
    "dataset_update.consensus.min_change_ratio or relative_threshold, or name another part"
)


def run(job: Job, params: Params) -> None:
    """Preview, edit and fit, and write the field with the edited images."""
    prior, seeds = load_instruct(job.prior(), job.device, dtype_of(params.precision)), Seeds(params.seed)
    prior.use_engine(params.engine)
    field = load_scene_field(job.inputs["field"], job.device)
    views = load_posed_images(job.inputs["images"])
    chosen = split_views(views.views, params.held_out_every)[1]
    dataset = EditedViews(views, chosen, params.background, job.device)
    editor = build_editor(job, params, prior, dataset)
    warn_of_unknown_words(job, editor.unknown_words, params.steps)
    n_bins = params.rendering.n_bins
    scene = SceneEdit(field, dataset, editor, seeds, params.relevance, params.consensus, n_bins)
    write_edit_preview(job, scene, params)
    build_losses = sds_losses if params.variant == "sds" else fitting_losses
    finished = optimise(
        build_losses(scene, params, seeds, lambda step: update(job, scene, params, step)),
        modules=scene.modules,
        optimiser=adam(parameter_groups(field, params), params.optimiser, fused=True),
        n_steps=1 if params.variant == "per_frame" else params.steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=decay(params.optimiser),
        advice=DIVERGED,
    )
    if finished:
        write(job, scene)


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


def parameter_groups(field: SceneField, params: Params) -> list[dict]:
    """Groups of Adam's parameters; edits of single images fit no field."""
    moves = params.variant != "per_frame"
    return [
        {"params": [field.density_logits], "lr": params.optimiser.density_learning_rate * moves},
        {"params": [field.colours, field.sky], "lr": params.optimiser.learning_rate * moves},
    ]


def update(job: Job, scene: SceneEdit, params: Params, step: int) -> None:
    """Edit the images whose turn it is before a step."""
    n_views, iterative = scene.dataset.n_views, params.variant == "iterative"
    if step == 0 and params.relevance.threshold > 0:
        scene.restrict()
    if params.variant == "sds":
        return
    due = views_due(step, n_views, params.edit_every, repeatedly=iterative, together=params.consensus.enabled)
    previous_weight = params.edit.previous_weight if step >= n_views * params.edit_every else 0.0
    for view in due:
        scene.replace(view, from_render=iterative, progress=step / params.steps, previous_weight=previous_weight)
    if due and params.consensus.enabled and scene.aggregate() < UNCHANGED:
        job.progress(0, params.steps, text=NOTHING_CHANGED)


def write_edit_preview(job: Job, scene: SceneEdit, params: Params) -> None:
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
    job.progress(0, params.steps, preview=path, text=f"image guidance {image_scales} down, text {text_scales} across")


def write(job: Job, scene: SceneEdit) -> None:
    """The field, the edited images, and how much of them the field shows."""
    dataset = scene.dataset
    save_field(job.out, scene.field)
    (job.out / "edited").mkdir()
    for view in range(dataset.n_views):
        write_png(job.out / "edited" / f"{view:05d}.png", dataset.now(view)[0].movedim(0, -1).cpu().numpy())
    shown = [number * dataset.n_views // N_SHOWN for number in range(min(N_SHOWN, dataset.n_views))]
    renders = render_images(scene.field, dataset, shown, BINS_SHOWN)
    sets = torch.cat([dataset.original(view) for view in shown]), torch.cat([dataset.now(view) for view in shown])
    rows = [list(images.movedim(1, -1).cpu().numpy()) for images in (*sets, renders)]
    write_png(job.out / "preview.png", contact_sheet(rows))
    agreement = sum(psnr_db(edited, rendered) for edited, rendered in zip(rows[1], rows[2], strict=True)) / len(shown)
    job.metric("edited_psnr", agreement, "dB", n=len(shown), higher_is_better=True)
    job.metric("edits", int(dataset.n_edits), "images")
    if scene.relevance.threshold > 0:
        job.metric("edited_share", float(scene.region.fraction), "of the pixels that show something")
