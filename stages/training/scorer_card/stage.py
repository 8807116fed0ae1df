"""The body of training.scorer_card; the package says what it takes, gives and is set by."""

import time
from pathlib import Path

import torch

from prior3d.diffusion.scorer import load_scorer
from prior3d.images.files import write_png
from stages.artifacts.base import read_json
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job
from stages.training.datasets.held_out import MARGIN_DEG
from stages.training.facts import FACTS, samples_seen, write_card
from stages.training.scorer_card import FOLDER, Params
from stages.training.scores.scorer import Mistake, scorer_scores, what_differs

SHOWN, COLUMNS = 16, 8  # mistakes in the picture
CARD = """# The toy scorer

A small CLIP that judges pictures of toy objects: which caption is nearest (R-Precision), how alike two pictures are,
whether an edit goes the way of its words, and, by a linear head on the same image tower, from where an object is seen.

- **Layout**: an ordinary transformers folder (`CLIPModel`, `CLIPProcessor`), and `view_head.safetensors`, a linear
  classifier of front, side, back and overhead views for kinds that have a front. `prior3d.diffusion.scorer.load_scorer`
  opens it; 64x64 images over white, grey or black.
- **Trained on** {samples:,} pairs ({last_samples:,} in the last sitting) of renders of procedural objects
  and their captions, which name neither view nor background; weights are the moving average, in half precision.

## Scores on real renders of held-out objects, never trained on

{draws} draws of {captions} renders whose captions all differ, {n} in all; seed {seed}.

| what | value |
|---|---|
| own caption nearest of {captions} | {percent[top1]} |
| the same, in the worst of the draws | {percent[top1_least]} |
| the same at half the resolution | {percent[top1_halved]} |
| view named right, kinds that have a front | {percent[view_word]} |
| the same, {margin:g}° or more from views of another word | {percent[clear_view_word]} |

What the captions of its {n_mistakes} mistakes say differently:

| what | times |
|---|---|
{kinds}

![held-out renders that it takes for something else](mistakes.png)

{shown}
"""


def run(job: Job, params: Params) -> None:
    """Measure, draw, write."""
    torch.set_num_threads(params.threads)
    folder, started = job.run_folder / FOLDER, time.monotonic()
    scorer, world = load_scorer(folder, torch.device("cpu")), RenderedDataset(job.inputs["world"], "held-out")
    scores, mistakes = scorer_scores(scorer, world, params.captions, params.draws, params.seed)
    write_png(folder / "mistakes.png", picture(mistakes[:SHOWN]).permute(1, 2, 0).numpy())
    write_card(folder, card(folder, scores, mistakes, params), scores)
    job.progress(1, 1, text=f"card of {folder.name} written in {time.monotonic() - started:.0f} s")


def picture(mistakes: list[Mistake]) -> torch.Tensor:
    """Rows of `COLUMNS` mistaken renders [3, height, width], white where there are no more."""
    side = mistakes[0].image.shape[-1] if mistakes else 64
    missing = -len(mistakes) % COLUMNS if mistakes else COLUMNS
    images = [mistake.image for mistake in mistakes] + [torch.ones(3, side, side)] * missing
    rows = [torch.cat(images[first : first + COLUMNS], dim=-1) for first in range(0, len(images), COLUMNS)]
    return torch.cat(rows, dim=-2)


def card(folder: Path, scores: dict[str, float], mistakes: list[Mistake], params: Params) -> str:
    """The model card."""
    return CARD.format(
        samples=samples_seen(folder),
        last_samples=read_json(folder / FACTS)["samples"],
        n=params.captions * params.draws,
        n_mistakes=len(mistakes),
        margin=MARGIN_DEG,
        percent={name: f"{value:.1%}" for name, value in scores.items()},
        kinds="\n".join(f"| {what} | {times} |" for what, times in what_differs(mistakes)),
        shown="\n".join(f"{i + 1}. {m.caption}, taken for {m.taken_for}" for i, m in enumerate(mistakes[:SHOWN])),
        **params.model_dump(),
    )
