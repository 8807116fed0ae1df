"""The body of training.instruct_card; the package says what it takes, gives and is set by."""

import time

import torch

from prior3d.diffusion.instruct import load_instruct
from prior3d.images.files import write_png
from stages.artifacts.datasets import EditDataset
from stages.contract.job import Job
from stages.training.facts import samples_seen, write_card
from stages.training.instruct_card import FOLDER, Params
from stages.training.scores.instruct import instruct_scores, sample_sheet

CARD = """# The toy instruct prior

Edits pictures of toy objects as it is told: the text-to-image model of `../toy`, trained on with the picture to edit as
further input. `StableDiffusionInstructPix2PixPipeline` loads it; its UNet has eight input channels. It also takes the
camera as `class_labels` (zeros: "no camera"), which that pipeline does not pass by itself:
`prior3d.diffusion.instruct.load_instruct` does.

- **Instructions** as trained: `make it blue`, `paint the roof red`, `add white dots`, `remove the stripes`,
  `turn the mushroom into a rocket`.
- **Trained on** {samples:,} samples, after what the text-to-image model had seen: renders of procedural objects before
  and after exact edits; image, instruction or both were left out now and then. UNet and text encoder were trained, and
  the tokenizer has the words of instructions; autoencoder and noise schedule are copies of the files in `../toy`.

![samples: held-out objects, edited, and the exact edits](samples.png)

## Scores on {n} held-out colour and pattern edits (seeds never trained on)

PSNR in dB to the exact edited render, the mean over images; seed {seed}. One edit: guidance {guidance_scale:g} on the
instruction and {image_guidance_scale:g} on the image, 20 DDIM steps, all of the picture redrawn. Agreed: the mean of
eight edits of four steps, laid onto the picture's own pixels where it changes enough
(`prior3d.dataset_update.consensus`), which is how edits of colour and pattern are best asked for.

| what | all pixels | that the edit should change | all others |
|---|---|---|---|
| one edit | {edit_psnr_db:.2f} | {edited_pixels_psnr_db:.2f} | {unedited_pixels_psnr_db:.2f} |
| agreed | {agreed_edit_psnr_db:.2f} | {agreed_edited_pixels_psnr_db:.2f} | {agreed_unedited_pixels_psnr_db:.2f} |
| nothing done, for comparison | {nothing_done_psnr_db:.2f} | | |
| the exact edit through the autoencoder | {vae_psnr_db:.2f} | | {vae_unedited_pixels_psnr_db:.2f} |

The picture above: held-out objects, one edit, what is agreed on, the exact edit.
"""


def run(job: Job, params: Params) -> None:
    """Measure, sample, write."""
    torch.set_num_threads(params.threads)
    folder, started = job.run_folder / FOLDER, time.monotonic()
    prior, edits = load_instruct(folder, torch.device("cpu")), EditDataset(job.inputs["edits"], "held-out")
    scales = params.guidance_scale, params.image_guidance_scale
    scores = instruct_scores(prior, edits, params.images, *scales, seed=params.seed)
    write_png(folder / "samples.png", sample_sheet(prior, edits).permute(1, 2, 0).numpy())
    facts = {"samples": samples_seen(folder), "n": params.images, **params.model_dump(), **scores}
    write_card(folder, CARD.format(**facts), scores, digits=3)
    job.progress(1, 1, text=f"card of {folder.name} written in {time.monotonic() - started:.0f} s")
