"""The body of training.joint_views_card; the package says what it takes, gives and is set by."""

import time
from pathlib import Path
from textwrap import wrap

import torch

from prior3d.diffusion.joint_views import load_joint_views
from prior3d.diffusion.scorer import load_scorer
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.images.files import write_png
from stages.artifacts.base import read_json
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job
from stages.training.datasets.held_out import MARGIN_DEG
from stages.training.datasets.set_batches import KINDS
from stages.training.facts import FACTS, samples_seen, write_card
from stages.training.joint_views_card import FOLDER, Params
from stages.training.scores.joint_views import SAID, given_views_scores, sample_sheet, v_errors
from stages.training.scores.sets import drawn_one_by_one, drawn_together, ring_scores, rings

CARD = """# The toy joint-view prior

Several views of one toy object, drawn together from a caption, from one to four given images, or from both. It is the
text-to-image model of `../toy`, trained on: its self-attention spans the views of a set (MVDream, Shi et al. 2023),
given views stand clean among the noisy ones, and a ray for each pixel says where each camera is (CAT3D, Gao et al.
2024). It knows the toy world on white, grey or black, and nothing beyond.

- **Layout**: `unet/` (`prior3d.diffusion.joint_unet.JointUNet`: diffusers' `UNet2DConditionModel` with eleven input
  channels and two joint blocks at 16x16); `vae/`, `text_encoder/`, `tokenizer/`, `scheduler/` are copies of the files
  in `../toy`. `prior3d.diffusion.joint_views.load_joint_views` opens it; 64x64 images, cameras at distance
  {camera_radius:g} with {fov_deg:g} degrees of view.
- **Trained on** {samples:,} sets ({last_samples:,} in the last sitting).{note}
- **Guidance**: {guidance_scale:g} on the caption where no view is given, none with given views.

![samples: held-out objects; rows: a view, the true ring; drawn with its caption; without](samples.png)

## From a caption

Rings of four views of {objects} held-out objects, {steps} DDIM steps, seed {seed}; the judge is the toy scorer, which
tells each image among the captions of all held-out objects. `toy` draws the same views one by one.

| what | toy-mv, guidance {guidance_scale:g} | `toy`, guidance {guidance_scale:g} | real renders |
|---|---|---|---|
{caption_rows}

## Given views

PSNR in dB of the ring's other views, {objects} held-out objects, {steps} steps, no guidance. One given view is at a
random camera; further ones are of the ring.

| given views | with its caption | without |
|---|---|---|
{given_rows}

## Held-out error of the velocity

Mean over {sets} sets of each kind.

| kind of set | with captions | without |
|---|---|---|
{error_rows}
"""
ROWS = {
    "r_precision": "nearest caption is the own",
    "view_word": "view word obeyed, kinds with a front",
    "clear_view_word": f"the same, {MARGIN_DEG:g}° or more from views of another word",
    "false_fronts": "fronts where none should be, of {clear_views:.0f} clear views",
    "two_fronts": "sets with two fronts, of {fronted_sets:.0f}",
    "kid": "kernel distance to the real renders",
}
MAKERS = ("joint", "one_by_one", "real")
KIND_NAMES = {
    "ring": "ring, none given", "one_given": "ring, one given", "some_given": "five views, one to three given",
    "free": "two to five random views", "many": "nine to thirteen views", "single": "one view",
}  # fmt: skip


def run(job: Job, params: Params) -> None:
    """Measure, draw, write."""
    torch.set_num_threads(params.threads)
    torch.set_flush_denormal(True)
    folder, started = job.run_folder / FOLDER, time.monotonic()
    cpu = torch.device("cpu")
    prior, held_out = load_joint_views(folder, cpu), RenderedDataset(job.inputs["sets"], "held-out")
    toy, scorer = load_text_to_image(job.inputs["text_to_image"], cpu), load_scorer(job.inputs["scorer"], cpu)
    scores = v_errors(prior, held_out, params.sets, params.seed)
    job.progress(1, 4, text=f"errors, {time.monotonic() - started:.0f} s")
    scores |= given_views_scores(prior, held_out, params.objects, n_steps=params.steps, seed=params.seed)
    job.progress(2, 4, text=f"given views, {time.monotonic() - started:.0f} s")
    wanted, how = rings(held_out, params.objects), (params.guidance_scale, params.steps, params.seed)
    images = {
        "joint": drawn_together(prior, held_out, wanted, *how),
        "one_by_one": drawn_one_by_one(toy, wanted, *how),
        "real": wanted.real.images,
    }
    for maker, drawn in images.items():
        scores |= {f"{name}_{maker}": value for name, value in ring_scores(scorer, wanted, drawn).items()}
    job.progress(3, 4, text=f"captions, {time.monotonic() - started:.0f} s")
    write_png(folder / "samples.png", sample_sheet(prior, held_out).permute(1, 2, 0).clamp(0, 1).numpy())
    write_card(folder, card(folder, scores, params), scores)
    job.progress(4, 4, text="card written")


def card(folder: Path, scores: dict[str, float], params: Params) -> str:
    """The model card."""
    facts, index = read_json(folder / FACTS), read_json(folder / "model_index.json")
    given = [
        f"| {count} | " + " | ".join(f"{scores[f'given_{count}_{said}_psnr_db']:.2f}" for said in SAID) + " |"
        for count in (1, 2, 3)
    ]
    errors = [
        f"| {KIND_NAMES[kind]} | " + " | ".join(f"{scores[f'v_error_{kind}_{said}']:.4f}" for said in SAID) + " |"
        for kind in KINDS
    ]
    return CARD.format(
        samples=samples_seen(folder),
        last_samples=facts["samples"],
        note="".join(f"\n  {line}" for line in wrap(facts.get("note", ""), 116)),
        camera_radius=index["camera_radius"],
        fov_deg=index["fov_deg"],
        caption_rows="\n".join(_caption_row(name, text, scores) for name, text in ROWS.items()),
        given_rows="\n".join(given),
        error_rows="\n".join(errors),
        **params.model_dump(),
    )


def _caption_row(name: str, text: str, scores: dict[str, float]) -> str:
    """A row of the table of captions: shares in percent, counts, or a distance."""
    form = {"false_fronts": "{:.0f}", "two_fronts": "{:.0f}", "kid": "{:.4f}"}.get(name, "{:.1%}")
    cells = [form.format(scores[f"{name}_{maker}"]) for maker in MAKERS]
    if name == "kid":
        cells[-1] = ""
    described = text.format(clear_views=scores["clear_views_real"], fronted_sets=scores["fronted_sets_real"])
    return f"| {described} | {' | '.join(cells)} |"
