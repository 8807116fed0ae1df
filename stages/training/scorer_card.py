"""Score the scorer on held-out seeds and write its model card, with pictures of what it takes for something else."""

import json
import time
from pathlib import Path

import torch
from pydantic import BaseModel, Field

from prior3d.diffusion.scorer import load_scorer
from prior3d.images.files import write_png
from stages.training.common import World, read_params, report
from stages.training.scorer import OUT
from stages.training.scorer_scores import Mistake, scorer_scores, what_differs
from stages.training.text_to_image import samples_seen
from stages.training.text_to_image_scores import MARGIN_DEG, N_CAPTIONS

SHOWN, COLUMNS = 16, 8  # mistakes in the picture


class Params(BaseModel, extra="forbid"):
    """How much is measured."""

    seed: int = 0
    captions: int = Field(N_CAPTIONS, ge=2, description="each image is told among so many")
    draws: int = Field(12, ge=1, description="of captions, views and backgrounds")
    threads: int = Field(2, ge=1)


def main() -> None:
    """Measure, draw, write."""
    params, start = read_params("scorer_card", Params), time.monotonic()
    torch.set_num_threads(params.threads)
    scorer, world = load_scorer(OUT, torch.device("cpu")), World(Path("data/world"), "held-out")
    scores, mistakes = scorer_scores(scorer, world, params.captions, params.draws, params.seed)
    write_png(OUT / "mistakes.png", picture(mistakes[:SHOWN]).permute(1, 2, 0).numpy())
    (OUT / "scores.json").write_text(json.dumps({k: round(v, 4) for k, v in scores.items()}, indent=2) + "\n")
    (OUT / "README.md").write_text(card(scores, mistakes, params))
    report(step=1, total=1, text=f"card of {OUT} written in {time.monotonic() - start:.0f} s")


def picture(mistakes: list[Mistake]) -> torch.Tensor:
    """Rows of `COLUMNS` mistaken renders [3, height, width], white where there are no more."""
    side = mistakes[0].image.shape[-1] if mistakes else 64
    missing = -len(mistakes) % COLUMNS if mistakes else COLUMNS
    images = [mistake.image for mistake in mistakes] + [torch.ones(3, side, side)] * missing
    rows = [torch.cat(images[first : first + COLUMNS], dim=-1) for first in range(0, len(images), COLUMNS)]
    return torch.cat(rows, dim=-2)


def card(scores: dict[str, float], mistakes: list[Mistake], params: Params) -> str:
    """The model card."""
    facts, n = json.loads((OUT / "training.json").read_text()), params.captions * params.draws
    percent = {name: f"{value:.1%}" for name, value in scores.items()}
    kinds = "\n".join(f"| {what} | {times} |" for what, times in what_differs(mistakes))
    shown = "\n".join(f"{i + 1}. {m.caption}, taken for {m.taken_for}" for i, m in enumerate(mistakes[:SHOWN]))
    return f"""# The toy scorer

A small CLIP that judges pictures of toy objects: which caption is nearest (R-Precision), how alike two pictures are,
whether an edit goes the way of its words, and, by a linear head on the same image tower, from where an object is seen.

- **Layout**: an ordinary transformers folder (`CLIPModel`, `CLIPProcessor`), and `view_head.safetensors`, a linear
  classifier of front, side, back and overhead views for kinds that have a front. `prior3d.diffusion.scorer.load_scorer`
  opens it; 64x64 images over white, grey or black.
- **Trained on** {samples_seen(OUT):,} pairs ({facts["samples"]:,} in the last sitting) of renders of procedural objects
  and their captions, which name neither view nor background; weights are the moving average, in half precision.

## Scores on real renders of held-out objects, never trained on

{params.draws} draws of {params.captions} renders whose captions all differ, {n} in all; seed {params.seed}.

| what | value |
|---|---|
| own caption nearest of {params.captions} | {percent["top1"]} |
| the same, in the worst of the draws | {percent["top1_least"]} |
| the same at half the resolution | {percent["top1_halved"]} |
| view named right, kinds that have a front | {percent["view_word"]} |
| the same, {MARGIN_DEG:g}° or more from views of another word | {percent["clear_view_word"]} |

What the captions of its {len(mistakes)} mistakes say differently:

| what | times |
|---|---|
{kinds}

![held-out renders that it takes for something else](mistakes.png)

{shown}
"""


if __name__ == "__main__":
    main()
