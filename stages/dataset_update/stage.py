"""The body of dataset_update; the package says what it takes, gives and is set by."""

from functools import partial

import torch

from prior3d.dataset_update.edited_images import EditedViews
from prior3d.dataset_update.relevance import EditRegion, Guesses
from prior3d.diffusion.instruct import load_instruct
from prior3d.errors import Prior3dError
from prior3d.fields.scene_field import SceneField
from prior3d.images.files import contact_sheet, write_png
from prior3d.metrics import psnr_db
from prior3d.optimisation import late_decay, optimise
from prior3d.seeds import Seeds
from stages.artifacts.capture import load_posed_images
from stages.artifacts.fields import load_scene_field, save_field
from stages.contract.job import Job
from stages.dataset_update import Params
from stages.picture_editor import Editor, edit_preview
from stages.scene_edit import fitting_losses, sds_losses
from stages.scene_fit.stage import split

DECAY_FROM = 0.3  # of the steps


def run(job: Job, params: Params) -> None:
    """Preview, edit and fit, and write the field with the edited pictures."""
    check_together(params)
    prior = load_instruct(job.prior(), job.device)
    seeds = Seeds(params.seed)
    field = load_scene_field(job.inputs["field"], job.device)
    views = load_posed_images(job.inputs["images"])
    edited = EditedViews(views, split(views.views, params.held_out_every)[1], params.background).to(job.device)
    height, width = edited.cameras.height, edited.cameras.width
    region = EditRegion(len(field.density_logits), edited.views, height, width).to(job.device)
    region.freeze_inactive(field)
    guesses = Guesses(len(field.density_logits)).to(job.device)
    editor = Editor(job, prior, field, edited, params, region, guesses, seeds)
    edit_preview(job, editor, params)
    terms = sds_losses(editor, params, seeds) if params.variant == "sds" else fitting_losses(editor, params, seeds)
    n_steps = 1 if params.variant == "per_frame" else params.steps
    finished = optimise(
        terms,
        modules={"field": field, "edited": edited, "region": region, "guesses": guesses},
        optimiser=torch.optim.Adam(rates(field, params), betas=(0.9, 0.99), eps=1e-12, fused=True),
        n_steps=n_steps,
        seeds=seeds,
        checkpoint=job.work / "checkpoint.safetensors",
        monitor=job,
        learning_rate_factor=partial(late_decay, begin=DECAY_FROM, final=params.decay_to),
    )
    if finished:
        write(job, field, edited)


def rates(field: SceneField, params: Params) -> list[dict]:
    """Groups of Adam's parameters; edits of single pictures fit no field."""
    moves = params.variant != "per_frame"
    return [
        {"params": [field.density_logits], "lr": params.density_rate * moves},
        {"params": [field.colours, field.sky], "lr": params.colour_rate * moves},
    ]


def check_together(params: Params) -> None:
    """Parameters that need one another."""
    low, high = params.noise_range
    if not 0 <= low <= high <= 1:
        raise Prior3dError(f"dataset_update.noise_range: {low} .. {high} is no range in 0 .. 1; give (low, high)")
    if params.perceptual_weight > 0 and not params.perceptual_weights:
        raise Prior3dError(
            "dataset_update.perceptual_weight: LPIPS needs weights, and none are shipped; "
            "set perceptual_weights to a safetensors file of VGG16 and LPIPS, or perceptual_weight to 0"
        )


def write(job: Job, field: SceneField, edited: EditedViews) -> None:
    """The field, the edited pictures, and how much of them it shows."""
    save_field(job.out, field)
    (job.out / "edited").mkdir()
    for view in range(edited.views):
        write_png(job.out / "edited" / f"{view:05d}.png", edited.now(view)[0].movedim(0, -1).cpu().numpy())
    some = [view * edited.views // 6 for view in range(min(6, edited.views))]
    renders = Editor.render_many(field, edited, some, edited.level)
    rows = [
        [images[0].movedim(0, -1).cpu().numpy() for images in row]
        for row in ([edited.original(v) for v in some], [edited.now(v) for v in some], list(renders.split(1)))
    ]
    write_png(job.out / "preview.png", contact_sheet(rows))
    agreement = sum(psnr_db(a, b) for a, b in zip(rows[1], rows[2], strict=True)) / len(some)
    job.metric("edited_psnr", agreement, "dB", n=len(some), higher_is_better=True)
    job.metric("edits", int(edited.n_edits), "pictures")
