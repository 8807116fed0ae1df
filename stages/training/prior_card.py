"""Score the trained prior on held-out seeds and write its model card, with a picture of what it samples."""

import json
import time
from pathlib import Path

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.camera_embedding import camera_embedding, no_camera
from prior3d.diffusion.loading import load_text_to_image
from prior3d.diffusion.scorer import load_scorer
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.diffusion.timesteps import stratified_timesteps
from prior3d.images.files import write_png
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.training.common import World, composite, read_params, report
from stages.training.text_to_image import samples_seen
from stages.training.text_to_image_scores import (
    MARGIN_DEG,
    N_CAPTIONS,
    autoencoder_scores,
    held_out,
    sample_scores,
    samples,
)

FOLDER, SCORER = Path("data/priors/toy"), Path("data/priors/toy-scorer")
PROMPTS = (
    "a red mushroom with white dots",
    "a white rocket with red fins",
    "a blue mug",
    "a brown chair",
    "a yellow duck",
    "a green table with yellow legs",
    "a snowman with a black hat",
    "a red car",
)
AZIMUTHS_DEG = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)


class Params(BaseModel, extra="forbid"):
    """How much is measured."""

    seed: int = 0
    images: int = Field(480, ge=16, multiple_of=16, description="held-out renders that errors are a mean over")
    captions: int = Field(N_CAPTIONS, ge=4, description="held-out captions that samples are drawn for and told among")
    guidance_scale: float = Field(3.0, ge=1)
    steps: int = Field(30, ge=1, description="DDIM steps of the samples")


def main() -> None:
    """Measure, sample, write."""
    params = read_params("prior_card", Params)
    prior = load_text_to_image(FOLDER, torch.device("cpu"))
    scorer = load_scorer(SCORER, torch.device("cpu"))
    world, start = World(Path("data/world"), "held-out"), time.monotonic()
    scores = denoising_scores(prior, world, params)
    real = held_out(world, params.captions, params.seed)
    scores |= autoencoder_scores(prior, real)
    drawn = samples(prior, real, params.guidance_scale, params.steps, params.seed)
    scores |= sample_scores(scorer, real, drawn)
    report(step=1, total=2, text=f"scores in {time.monotonic() - start:.0f} s")
    sample_grid(prior, params)
    (FOLDER / "scores.json").write_text(json.dumps({k: round(v, 4) for k, v in scores.items()}, indent=2) + "\n")
    (FOLDER / "README.md").write_text(card(scores, params))
    report(step=2, total=2, text="card written")


@torch.no_grad()
def denoising_scores(prior: TextToImagePrior, world: World, params: Params) -> dict[str, float]:
    """Held-out error of the predicted noise, given the right camera, the opposite one, none, or no caption either.

    The same images, noise and timesteps serve all four, so their differences are the conditions' worth.
    """
    generator = torch.Generator().manual_seed(params.seed)
    sums = dict.fromkeys(("right_camera", "opposite_camera", "no_camera", "no_caption"), 0.0)
    for first in range(0, params.images, 16):
        images, captions, views = _batch(world, first, 16, generator)
        latents = prior.encode(images)
        t = stratified_timesteps(16, prior.n_timesteps, generator)
        noise = torch.randn(latents.shape, generator=generator)
        noisy, text = prior.add_noise(latents, noise, t), prior.embed(captions)
        nothing = prior.embed([""]).expand(16, -1, -1)
        right, opposite = (camera_embedding(views[:, 0] + turn, views[:, 1]) for turn in (0, 180))
        cases = {
            "right_camera": (text, right),
            "opposite_camera": (text, opposite),
            "no_camera": (text, no_camera(16)),
            "no_caption": (nothing, no_camera(16)),
        }
        for name, (condition, camera) in cases.items():
            predicted = prior.predict(noisy, t, condition, nothing[:1], 1.0, camera)
            sums[name] += _velocity_error(prior, predicted - noise, t) * 16 / params.images
    return {f"v_error_{name}": value for name, value in sums.items()}


def _velocity_error(prior: TextToImagePrior, noise_error: Tensor, t: Tensor) -> float:
    alpha = prior.alphas_cumprod[t].view(-1, 1, 1, 1)
    return float((noise_error.square() / alpha).mean())  # ε̂ - ε = √ᾱ (v̂ - v)


def _batch(world: World, first: int, n: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor]:
    stride = len(world) // n
    index = (first // n + torch.arange(n) * stride) % len(world)  # n different objects
    chosen = torch.randint(len(BACKGROUNDS), (n,), generator=generator)
    names = list(BACKGROUNDS)
    images = composite(torch.from_numpy(world.rgba[index.numpy()]), torch.tensor(list(BACKGROUNDS.values()))[chosen])
    views = torch.from_numpy(world.views[index.numpy()])
    words = view_words(toy_orbit(views[:, 0], views[:, 1]))
    captions = [full_caption(world.caption(int(index[i])), words[i], names[int(chosen[i])]) for i in range(n)]
    return images, captions, views


def sample_grid(prior: TextToImagePrior, params: Params) -> None:
    """Write samples.png: a row a prompt, one azimuth a column."""
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
    write_png(FOLDER / "samples.png", torch.cat(rows, dim=-2).permute(1, 2, 0).clamp(0, 1).numpy())


def card(scores: dict[str, float], params: Params) -> str:
    """The model card."""
    facts = json.loads((FOLDER / "training.json").read_text())
    percent = {name: f"{value:.1%}" for name, value in scores.items()}
    obeyed, real_obeyed = percent["clear_view_word_samples"], percent["clear_view_word_real"]
    kid, halves = f"{scores['kid_samples']:.4f}", f"{scores['kid_real_halves']:.4f}"
    return f"""# The toy prior

A small Stable-Diffusion-shaped model of procedural toy objects, trained from nothing by this project's own pipeline
(`dvc repro`), so that every method runs on a laptop without a download. It knows 29 kinds of objects in 12 colours,
plain, dotted or striped, on white, grey or black; it knows nothing of the world beyond.

- **Layout**: an ordinary diffusers folder; 64x64 images, 16x16x4 latents, v-prediction. `StableDiffusionPipeline`
  loads it. The UNet also takes the camera as `class_labels` (`prior3d.diffusion.camera_embedding`, 16 numbers; zeros
  mean "no camera"), which that pipeline does not pass by itself: `prior3d.diffusion.loading.load_text_to_image` does.
- **Prompts** as trained: `a red mushroom with white dots, front view, white background`; view and background optional.
- **Trained on** {samples_seen(FOLDER):,} samples ({facts["samples"]:,} in the last sitting) drawn from renders of
  procedural objects (`prior3d/toyworld`), on a CPU; weights are the moving average, stored in half precision.

![samples: eight prompts, six azimuths]({"samples.png"})

Guidance {params.guidance_scale:g}, {params.steps} DDIM steps, seed {params.seed}; columns are azimuths of
{", ".join(f"{a:.0f}" for a in AZIMUTHS_DEG)} degrees at 20 degrees of elevation.

## Scores on held-out seeds, never trained on

| what | value |
|---|---|
| autoencoder PSNR, over {params.captions} renders | {scores["vae_psnr_db"]:.2f} dB |
| its colour difference (mean CIEDE2000) | {scores["vae_delta_e"]:.2f} |
| v-prediction error over {params.images} renders, right camera and caption | {scores["v_error_right_camera"]:.4f} |
| the same with the camera turned by 180° | {scores["v_error_opposite_camera"]:.4f} |
| the same without a camera | {scores["v_error_no_camera"]:.4f} |
| without camera and caption | {scores["v_error_no_caption"]:.4f} |

One sample for each of {params.captions} captions, beside the real renders of the same captions, views and
backgrounds; the judge is the toy scorer.

| what | samples | real renders |
|---|---|---|
| nearest caption is the own | {percent["r_precision_samples"]} | {percent["r_precision_real"]} |
| view word obeyed, kinds with a front | {percent["view_word_samples"]} | {percent["view_word_real"]} |
| the same, {MARGIN_DEG:g}° or more from views of another word | {obeyed} | {real_obeyed} |
| kernel distance to real renders (KID on the scorer's features) | {kid} | {halves} between halves |
"""


if __name__ == "__main__":
    main()
