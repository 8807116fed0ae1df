"""The body of training.inpainting_card; the package says what it takes, gives and is set by."""

import time

import torch

from prior3d.diffusion.inpainting import load_inpainting
from prior3d.images.files import write_png
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job
from stages.training.facts import samples_seen, write_card
from stages.training.inpainting_card import FOLDER, Params
from stages.training.scores.inpainting import inpainting_scores, sample_sheet

CARD = """# The toy inpainting prior

Fills holes in pictures of toy objects: the text-to-image model of `../toy`, trained on with a mask and the image with
its hole grey as further input. `StableDiffusionInpaintPipeline` loads it; its UNet has nine input channels in that
pipeline's order. It also takes the camera as `class_labels` (zeros: "no camera"), which that pipeline does not pass by
itself: `prior3d.diffusion.inpainting.load_inpainting` does.

- **Trained on** {samples:,} samples, after what the text-to-image model had seen: renders of procedural objects with
  halves, boxes, brush strokes, frames, patches or everything missing. Only the UNet was trained; autoencoder, noise
  schedule, tokenizer and text encoder are copies of the files in `../toy`.

![samples: half-masked held-out objects, filled, and what they were](samples.png)

## Scores on {n} held-out objects with one half missing (seeds never trained on)

Guidance {guidance_scale:g}, 25 DDIM steps, seed {seed}. PSNR in dB, the mean over images.

| what | value |
|---|---|
| filled hole | {hole_psnr_db:.2f} |
| the object's pixels in the hole | {object_in_hole_psnr_db:.2f} |
| known pixels, through the decoder | {known_psnr_db:.2f} |
| the same, the autoencoder's own | {vae_known_psnr_db:.2f} |
"""


def run(job: Job, params: Params) -> None:
    """Measure, sample, write."""
    torch.set_num_threads(params.threads)
    folder, started = job.run_folder / FOLDER, time.monotonic()
    prior, world = load_inpainting(folder, torch.device("cpu")), RenderedDataset(job.inputs["world"], "held-out")
    scores = inpainting_scores(prior, world, params.images, params.guidance_scale, seed=params.seed)
    write_png(folder / "samples.png", sample_sheet(prior, world).permute(1, 2, 0).numpy())
    facts = {"samples": samples_seen(folder), "n": params.images, **params.model_dump(), **scores}
    write_card(folder, CARD.format(**facts), scores, digits=3)
    job.progress(1, 1, text=f"card of {folder.name} written in {time.monotonic() - started:.0f} s")
