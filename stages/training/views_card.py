"""Score the views prior on held-out objects and write its model card, with a picture of what it makes."""

import json
import time
from pathlib import Path

import torch
from pydantic import BaseModel, Field

from prior3d.diffusion.views_loading import load_views
from prior3d.images.files import write_png
from stages.training.common import read_params, report
from stages.training.posed import toy_views
from stages.training.text_to_image import samples_seen
from stages.training.view_scores import autoencoder_psnr_db, novel_view_scores, sheet, trials

FOLDER = Path("data/priors/toy-views")
INPUTS = (2, 3, 6)


class Params(BaseModel, extra="forbid"):
    """How much is measured."""

    seed: int = 0
    objects: int = Field(20, ge=1, description="held-out objects that every score is a mean over")
    views: int = Field(16, ge=1, description="wanted views of each")
    steps: int = Field(20, ge=1, description="DDIM steps of the samples")
    threads: int = Field(2, ge=1)


def main() -> None:
    """Measure, draw, write."""
    params = read_params("views_card", Params)
    torch.set_num_threads(params.threads)
    torch.set_flush_denormal(True)
    prior, start = load_views(FOLDER, torch.device("cpu")), time.monotonic()
    world = toy_views(Path("data/views"), "held-out")
    chosen = trials(world, params.objects, params.views, params.seed)
    scores = {"autoencoder_psnr_db": autoencoder_psnr_db(prior, world, chosen)}
    for done, n_inputs in enumerate(INPUTS):
        scores |= novel_view_scores(prior, world, chosen, n_inputs, params.steps, params.seed)
        text = f"{n_inputs} inputs: {scores[f'sample_psnr_db_{n_inputs}']:.2f} dB, {time.monotonic() - start:.0f} s"
        report(step=done + 1, total=len(INPUTS) + 1, text=text)
    shown = trials(world, 4, 6, params.seed)
    write_png(FOLDER / "samples.png", sheet(prior, world, shown, 3, params.steps, params.seed).clamp(0, 1).numpy())
    rounded = {name: round(value, 4) for name, value in scores.items()}
    (FOLDER / "scores.json").write_text(json.dumps(rounded, indent=2) + "\n")
    (FOLDER / "README.md").write_text(card(scores, params))
    report(step=len(INPUTS) + 1, total=len(INPUTS) + 1, text="card written")


def card(scores: dict[str, float], params: Params) -> str:
    """The model card."""
    facts = json.loads((FOLDER / "training.json").read_text())
    names = {"sample": "sample", "regression": "regression", "nearest": "the nearest input picture itself"}
    rows = [
        f"| {text} | "
        + " | ".join(f"{scores[f'{what}_psnr_db_{n}']:.2f} dB, {scores[f'{what}_ssim_{n}']:.3f}" for n in INPUTS)
        + " |"
        for what, text in names.items()
    ]
    table = "\n".join(rows)
    return f"""# The toy views prior

Other views of a toy object from 1 to 10 posed pictures: a diffusion model conditioned on the features of an epipolar
transformer, after SparseFusion (Zhou and Tulsiani 2023), trained from nothing by this project's own pipeline
(`dvc repro`). Its condition is aligned with its latents pixel by pixel, so it needs no text, no attention across
networks and few weights. It knows the toy world on white, grey or black, and nothing beyond.

- **Layout**: `unet/` (diffusers `UNet2DModel`, v-prediction; noisy latents and condition are its input channels),
  `epipolar/` (`prior3d.diffusion.epipolar`), `vae/` (the toy prior's, unchanged), `scheduler/`.
  `prior3d.diffusion.views_loading.load_views` opens it; 64x64 images, 16x16x4 latents, cameras in OpenGL axes, the
  object in a ball of radius 1 about the origin.
- **Two outputs**: `regression`, the transformer's own picture, blurred where the inputs leave doubt, and `sample`,
  drawn by the diffusion model for each view by itself, given the features and the latents of the regression.
- **Trained on** {samples_seen(FOLDER):,} wanted views ({facts["samples"]:,} in the last sitting), each at
  {facts["params"]["noises"]} noise levels, from 1 to 6 inputs that never include it; weights are the moving average,
  stored in half precision. The condition was dropped whole in {facts["params"]["drop_condition"]:.0%} of the samples.

![samples: four held-out objects; rows: three inputs, truth, regression, sample](samples.png)

## Scores on {params.objects} held-out objects, {params.views} wanted views each

PSNR and SSIM at 64x64, by the number of inputs; {params.steps} DDIM steps without guidance, seed {params.seed}.

| what | {" | ".join(f"{n} inputs" for n in INPUTS)} |
|---|{"---|" * len(INPUTS)}
{table}

The autoencoder alone reaches {scores["autoencoder_psnr_db"]:.2f} dB on these views.
"""


if __name__ == "__main__":
    main()
