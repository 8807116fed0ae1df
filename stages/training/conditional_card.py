"""Score the inpainting or the instruct prior on held-out seeds and write its model card: give which as the argument."""

import json
import sys
import time
from pathlib import Path

import torch
from pydantic import BaseModel, Field

from prior3d.diffusion.loading import load_inpainting, load_instruct
from prior3d.images.files import write_png
from stages.training import inpainting, instruct
from stages.training.common import Edits, World, read_params, report
from stages.training.conditional_scores import inpainting_scores, instruct_scores
from stages.training.text_to_image import samples_seen

INPAINTING_CARD = """# The toy inpainting prior

Fills holes in pictures of toy objects: the text-to-image model of `../toy`, trained on with a mask and the image with
its hole grey as further input. `StableDiffusionInpaintPipeline` loads it; its UNet has nine input channels in that
pipeline's order. It also takes the camera as `class_labels` (zeros: "no camera"), which that pipeline does not pass by
itself: `prior3d.diffusion.loading.load_inpainting` does.

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
INSTRUCT_CARD = """# The toy instruct prior

Edits pictures of toy objects as it is told: the text-to-image model of `../toy`, trained on with the picture to edit as
further input. `StableDiffusionInstructPix2PixPipeline` loads it; its UNet has eight input channels. It also takes the
camera as `class_labels` (zeros: "no camera"), which that pipeline does not pass by itself:
`prior3d.diffusion.loading.load_instruct` does.

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


class Params(BaseModel, extra="forbid"):
    """How much is measured, and how samples are drawn."""

    seed: int = 0
    images: int = Field(96, ge=10)
    guidance_scale: float = Field(2.0, ge=1)
    image_guidance_scale: float = Field(1.5, ge=1, description="of the instruct prior")


def main() -> None:
    """Measure, sample, write."""
    which = sys.argv[1]
    params, start, cpu = read_params(f"{which}_card", Params), time.monotonic(), torch.device("cpu")
    if which == "inpainting":
        filling, world = load_inpainting(inpainting.OUT, cpu), World(Path("data/world"), "held-out")
        scores = inpainting_scores(filling, world, params.images, params.guidance_scale, seed=params.seed)
        picture, folder, card = inpainting.demonstration(filling, world), inpainting.OUT, INPAINTING_CARD
    else:
        editing, edits = load_instruct(instruct.OUT, cpu), Edits(Path("data/edits"), "held-out")
        scales = params.guidance_scale, params.image_guidance_scale
        scores = instruct_scores(editing, edits, params.images, *scales, seed=params.seed)
        picture, folder, card = instruct.demonstration(editing, edits), instruct.OUT, INSTRUCT_CARD
    write_png(folder / "samples.png", picture.permute(1, 2, 0).numpy())
    (folder / "scores.json").write_text(json.dumps({k: round(v, 3) for k, v in scores.items()}, indent=2) + "\n")
    facts = {"samples": samples_seen(folder), "n": params.images, **params.model_dump(), **scores}
    (folder / "README.md").write_text(card.format(**facts))
    report(step=1, total=1, text=f"card of {folder} written in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
