"""The body of training.views_card; the package says what it takes, gives and is set by."""

import time
from pathlib import Path

import torch

from prior3d.diffusion.views import load_views
from prior3d.images.files import write_png
from stages.artifacts.base import read_json
from stages.contract.job import Job
from stages.training.datasets.posed import toy_views
from stages.training.facts import FACTS, samples_seen, write_card
from stages.training.scores.views import CARD_INPUTS, autoencoder_psnr_db, novel_view_scores, sheet, trials
from stages.training.views_card import FOLDER, Params

CARD = """# The toy views prior

Other views of a toy object from 1 to 10 posed pictures: a diffusion model conditioned on the features of an epipolar
transformer, after SparseFusion (Zhou and Tulsiani 2023), trained from nothing by this project's own pipeline
(`dvc repro`). Its condition is aligned with its latents pixel by pixel, so it needs no text, no attention across
networks and few weights. It knows the toy world on white, grey or black, and nothing beyond.

- **Layout**: `unet/` (diffusers `UNet2DModel`, v-prediction; noisy latents and condition are its input channels),
  `epipolar/` (`prior3d.diffusion.epipolar`), `vae/` (the toy prior's, unchanged), `scheduler/`.
  `prior3d.diffusion.views.load_views` opens it; 64x64 images, 16x16x4 latents, cameras in OpenGL axes, the
  object in a ball of radius 1 about the origin.
- **Two outputs**: `regression`, the transformer's own picture, blurred where the inputs leave doubt, and `sample`,
  drawn by the diffusion model for each view by itself, given the features and the latents of the regression.
- **Trained on** {samples:,} wanted views ({last_samples:,} in the last sitting), each at
  {noises} noise levels, from 1 to 6 inputs that never include it; weights are the moving average,
  stored in half precision. The condition was dropped whole in {drop_condition:.0%} of the samples.

![samples: four held-out objects; rows: three inputs, truth, regression, sample](samples.png)

## Scores on {objects} held-out objects, {views} wanted views each

PSNR and SSIM at 64x64, by the number of inputs; {steps} DDIM steps without guidance, seed {seed}.

| what | {columns} |
|---|{rule}
{table}

The autoencoder alone reaches {autoencoder_psnr_db:.2f} dB on these views.
"""


def run(job: Job, params: Params) -> None:
    """Measure, draw, write."""
    torch.set_num_threads(params.threads)
    torch.set_flush_denormal(True)
    folder, started = job.run_folder / FOLDER, time.monotonic()
    prior, world = load_views(folder, torch.device("cpu")), toy_views(job.inputs["views"], "held-out")
    chosen = trials(world, params.objects, params.views, params.seed)
    scores = {"autoencoder_psnr_db": autoencoder_psnr_db(prior, world, chosen)}
    for done, n_inputs in enumerate(CARD_INPUTS):
        scores |= novel_view_scores(prior, world, chosen, n_inputs, params.steps, params.seed)
        seconds = time.monotonic() - started
        text = f"{n_inputs} inputs: {scores[f'sample_psnr_db_{n_inputs}']:.2f} dB, {seconds:.0f} s"
        job.progress(done + 1, len(CARD_INPUTS) + 1, text=text)
    shown = trials(world, 4, 6, params.seed)
    write_png(folder / "samples.png", sheet(prior, world, shown, 3, params.steps, params.seed).clamp(0, 1).numpy())
    write_card(folder, card(folder, scores, params), scores)
    job.progress(len(CARD_INPUTS) + 1, len(CARD_INPUTS) + 1, text="card written")


def card(folder: Path, scores: dict[str, float], params: Params) -> str:
    """The model card."""
    facts = read_json(folder / FACTS)
    names = {"sample": "sample", "regression": "regression", "nearest": "the nearest input picture itself"}
    return CARD.format(
        samples=samples_seen(folder),
        last_samples=facts["samples"],
        noises=facts["params"]["noises"],
        drop_condition=facts["params"]["drop_condition"],
        columns=" | ".join(f"{n} inputs" for n in CARD_INPUTS),
        rule="---|" * len(CARD_INPUTS),
        table="\n".join(f"| {text} | {_row(scores, what)} |" for what, text in names.items()),
        autoencoder_psnr_db=scores["autoencoder_psnr_db"],
        **params.model_dump(),
    )


def _row(scores: dict[str, float], what: str) -> str:
    cells = (f"{scores[f'{what}_psnr_db_{n}']:.2f} dB, {scores[f'{what}_ssim_{n}']:.3f}" for n in CARD_INPUTS)
    return " | ".join(cells)
