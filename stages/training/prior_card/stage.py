"""The body of training.prior_card; the package says what it takes, gives and is set by."""

import time
from pathlib import Path

import torch
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.scorer import load_scorer
from prior3d.diffusion.text_to_image import TextToImagePrior, load_text_to_image
from prior3d.images.files import write_png
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.base import read_json
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job
from stages.training.datasets.held_out import MARGIN_DEG, held_out
from stages.training.facts import FACTS, samples_seen, write_card
from stages.training.prior_card import FOLDER, PROMPTS, Params
from stages.training.scores.denoising import denoising_scores
from stages.training.scores.text_to_image import autoencoder_scores, sample_scores, samples

AZIMUTHS_DEG = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
CARD = """# The toy prior

A small Stable-Diffusion-shaped model of procedural toy objects, trained from nothing by this project's own pipeline
(`dvc repro`), so that every method runs on a laptop without a download. It knows 29 kinds of objects in 12 colours,
plain, dotted or striped, on white, grey or black; it knows nothing of the world beyond.

- **Layout**: an ordinary diffusers folder; 64x64 images, 16x16x4 latents, v-prediction. `StableDiffusionPipeline`
  loads it. The UNet also takes the camera as `class_labels` (`prior3d.diffusion.camera_embedding`, 16 numbers; zeros
  mean "no camera"), which that pipeline does not pass by itself: `prior3d.diffusion.text_to_image` does.
- **Prompts** as trained: `a red mushroom with white dots, front view, white background`; view and background optional.
- **Trained on** {samples:,} samples ({last_samples:,} in the last sitting) drawn from renders of
  procedural objects (`prior3d/toyworld`), on a CPU; weights are the moving average, stored in half precision.

![samples: eight prompts, six azimuths](samples.png)

Guidance {guidance_scale:g}, {steps} DDIM steps, seed {seed}; columns are azimuths of
{azimuths} degrees at 20 degrees of elevation.

## Scores on held-out seeds, never trained on

| what | value |
|---|---|
| autoencoder PSNR, over {captions} renders | {vae_psnr_db:.2f} dB |
| its colour difference (mean CIEDE2000) | {vae_delta_e:.2f} |
| v-prediction error over {images} renders, right camera and caption | {v_error_right_camera:.4f} |
| the same with the camera turned by 180° | {v_error_opposite_camera:.4f} |
| the same without a camera | {v_error_no_camera:.4f} |
| without camera and caption | {v_error_no_caption:.4f} |

One sample for each of {captions} captions, beside the real renders of the same captions, views and
backgrounds; the judge is the toy scorer.

| what | samples | real renders |
|---|---|---|
| nearest caption is the own | {percent[r_precision_samples]} | {percent[r_precision_real]} |
| view word obeyed, kinds with a front | {percent[view_word_samples]} | {percent[view_word_real]} |
| the same, {margin:g}° or more from views of another word | {obeyed} | {real_obeyed} |
| kernel distance to real renders (KID on the scorer's features) | {kid:.4f} | {halves:.4f} between halves |
"""


def run(job: Job, params: Params) -> None:
    """Measure, sample, write."""
    torch.set_num_threads(params.threads)
    folder, started = job.run_folder / FOLDER, time.monotonic()
    prior = load_text_to_image(folder, torch.device("cpu"))
    scorer = load_scorer(job.inputs["scorer"], torch.device("cpu"))
    world = RenderedDataset(job.inputs["world"], "held-out")
    scores = denoising_scores(prior, world, params.images, params.seed)
    real = held_out(world, params.captions, params.seed)
    scores |= autoencoder_scores(prior, real)
    drawn = samples(prior, real, params.guidance_scale, params.steps, params.seed)
    scores |= sample_scores(scorer, real, drawn)
    job.progress(1, 2, text=f"scores in {time.monotonic() - started:.0f} s")
    write_png(folder / "samples.png", sample_sheet(prior, params).permute(1, 2, 0).clamp(0, 1).numpy())
    write_card(folder, card(folder, scores, params), scores)
    job.progress(2, 2, text="card written")


def sample_sheet(prior: TextToImagePrior, params: Params) -> Tensor:
    """A picture [3, prompts * h, azimuths * w]: a row a prompt, one azimuth a column."""
    rows = []
    for prompt in PROMPTS:
        orbit = toy_orbit(torch.tensor(AZIMUTHS_DEG), torch.full((len(AZIMUTHS_DEG),), 20.0))
        texts = [full_caption(prompt, word, "grey") for word in view_words(orbit)]
        generator = torch.Generator().manual_seed(params.seed)
        camera = camera_embedding(orbit.azimuth_deg, orbit.elevation_deg)
        images = prior.sample(
            texts, camera, guidance_scale=params.guidance_scale, num_inference_steps=params.steps, generator=generator
        )
        rows.append(torch.cat(list(images), dim=-1))
    return torch.cat(rows, dim=-2)


def card(folder: Path, scores: dict[str, float], params: Params) -> str:
    """The model card."""
    percent = {name: f"{value:.1%}" for name, value in scores.items()}
    return CARD.format(
        samples=samples_seen(folder),
        last_samples=read_json(folder / FACTS)["samples"],
        azimuths=", ".join(f"{azimuth:.0f}" for azimuth in AZIMUTHS_DEG),
        margin=MARGIN_DEG,
        percent=percent,
        obeyed=percent["clear_view_word_samples"],
        real_obeyed=percent["clear_view_word_real"],
        kid=scores["kid_samples"],
        halves=scores["kid_real_halves"],
        **params.model_dump(),
        **scores,
    )
