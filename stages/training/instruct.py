"""Train the instruct prior: the text-to-image model that also sees an image, and is told in words what to change.

Instructions have words that no caption has, so the tokenizer grows and the text encoder is trained along. Instruction,
image, or both are left out now and then, for guidance on either (Brooks et al. 2023, section 3.2.1).
"""

from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from prior3d.dataset_update.consensus import agreed_edit
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.instruct import EditSettings, InstructPrior
from prior3d.toyworld.edits import INSTRUCTION_WORDS
from prior3d.toyworld.palette import BACKGROUNDS
from stages.training.common import Edits, Trainer, composite, lower_precision, read_params
from stages.training.conditional import (
    TOY,
    ConditionalParams,
    copy_parts,
    frozen_prior,
    open_text_encoder,
    open_unet,
    prepare,
    run,
    samples_before,
    save,
)
from stages.training.text_to_image import Latents, tokenize, v_loss
from stages.training.tokenizer import with_words

OUT, WORK = Path("data/priors/toy-instruct"), Path(".work/training/instruct")
CHANNELS = 8


class Params(ConditionalParams):
    """How the instruct prior is trained."""

    drop_instruction: float = Field(0.05, ge=0, le=0.3, description="alone")
    drop_image: float = Field(0.05, ge=0, le=0.3, description="alone")
    drop_both: float = Field(0.05, ge=0, le=0.3)
    timestep_power: float = Field(
        1.0, gt=0, le=1, description="below 1, strong noise comes more often, where all of an edit is decided"
    )


def main() -> None:
    """Train and save."""
    train(read_params("instruct", Params))


def train(params: Params) -> None:
    """Train with these parameters in the current folder's `data`."""
    from transformers import CLIPTokenizer

    prepare(params)
    copy_parts(OUT, ("vae", "scheduler"), WORK / "checkpoint.pt")
    begin = OUT if params.warm_start else TOY
    tokenizer = with_words(CLIPTokenizer.from_pretrained(begin / "tokenizer"), list(INSTRUCTION_WORDS))
    text_encoder = open_text_encoder(begin / "text_encoder", len(tokenizer)).to(params.device)
    unet = open_unet(begin / "unet", CHANNELS).to(params.device)
    before = samples_before(OUT, params)
    models = {"unet": unet, "text_encoder": text_encoder}
    trainer = Trainer(
        WORK, models, params.learning_rate, params.steps, params.seed, samples_before=before, minutes=params.minutes
    )
    averaged = trainer.averaged("unet"), trainer.averaged("text_encoder")
    prior = InstructPrior(frozen_prior(OUT, *averaged, tokenizer, params.device))
    edits, held_out = (Edits(Path("data/edits"), split) for split in ("train", "held-out"))
    latents, told = (
        Latents(prior.diffusion.vae, torch.from_numpy(edits.rgba).to(params.device)),
        ToldEdits(edits, tokenizer, params.device),
    )
    alphas = prior.alphas_cumprod

    def loss_of(generator: torch.Generator) -> Tensor:
        batch, tokens, camera, condition = draw_batch(latents, told, params, generator)
        with lower_precision(params.device, params.precision):
            text = text_encoder(tokens).last_hidden_state
            return v_loss(unet, text, batch, camera, alphas, generator, condition, params.timestep_power)

    def grid() -> Tensor:
        prior.diffusion.prompts.forget()  # their embeddings change while the text encoder learns
        return demonstration(prior, held_out)

    run(trainer, params, loss_of, grid)
    save(trainer, OUT, "StableDiffusionInstructPix2PixPipeline", params)
    tokenizer.save_pretrained(OUT / "tokenizer")


class ToldEdits:
    """What is said of each pair of images, in the device's memory.

    Attributes:
        tokens: [instructions, model_max_length] of every instruction there is; the first is empty.
        rows: [pairs] the instruction of each pair.
        cameras: [pairs, CAMERA_DIM] embedded.
    """

    def __init__(self, edits: Edits, tokenizer: Any, device: str):
        texts: dict[str, int] = {"": 0}
        rows = [texts.setdefault(edits.record(pair)["instruction"], len(texts)) for pair in range(edits.n_pairs)]
        self.tokens, self.rows = tokenize(tokenizer, list(texts)).to(device), torch.tensor(rows, device=device)
        views = torch.from_numpy(edits.views[::2])
        self.cameras = camera_embedding(views[:, 0], views[:, 1]).to(device)


def draw_batch(
    latents: Latents, told: ToldEdits, params: Params, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A training batch.

    Returns:
        (latents after [n, 4, 16, 16], instructions as tokens [n, model_max_length], cameras [n, CAMERA_DIM],
        latents before).
    """
    device, n = generator.device, params.batch
    pair = torch.randint(len(told.rows), (n,), generator=generator, device=device)
    background = torch.randint(len(BACKGROUNDS), (n,), generator=generator, device=device)
    drawn, camera_drawn = torch.rand(2, n, generator=generator, device=device)
    with_text = drawn >= params.drop_instruction + params.drop_both
    without_image = (drawn >= params.drop_instruction) & (
        drawn < params.drop_instruction + params.drop_both + params.drop_image
    )
    camera = told.cameras[pair] * (camera_drawn >= params.drop_camera)[:, None]
    condition = latents[2 * pair, background] * ~without_image[:, None, None, None]
    return latents[2 * pair + 1, background], told.tokens[told.rows[pair] * with_text], camera, condition


def held_out_edits(
    edits: Edits, n: int, seed: int, kinds: tuple[str, ...]
) -> tuple[Tensor, Tensor, list[str], Tensor, Tensor]:
    """Pairs of these kinds of edits, spread over all there are.

    Returns:
        (before [n, 3, h, w], after [n, 3, h, w], instructions [n], cameras [n, CAMERA_DIM], alpha [n, 2, h, w]).
    """
    generator = torch.Generator().manual_seed(seed)
    fitting = torch.tensor([i for i in range(edits.n_pairs) if edits.record(i)["kind"] in kinds])
    pair = fitting[torch.arange(n) * len(fitting) // n]
    colours = torch.tensor(list(BACKGROUNDS.values()))
    chosen = colours[torch.randint(len(BACKGROUNDS), (n,), generator=generator)]
    rgba = [torch.from_numpy(edits.rgba[2 * pair.numpy() + i]) for i in (0, 1)]
    before, after = (composite(images, chosen) for images in rgba)
    views = torch.from_numpy(edits.views[2 * pair.numpy()])
    instructions = [edits.record(int(p))["instruction"] for p in pair]
    alpha = torch.stack([images[..., 3].float() / 255 for images in rgba], dim=1)
    return before, after, instructions, camera_embedding(views[:, 0], views[:, 1]), alpha


def demonstration(prior: InstructPrior, edits: Edits, n: int = 10, n_steps: int = 20, seed: int = 1) -> Tensor:
    """A picture [3, 4 h, n w]: held-out objects, one edit of each, what several agree on, the exact edits."""
    before, after, instructions, camera, _ = held_out_edits(edits, n, seed, ("colour", "pattern", "category"))
    generator = torch.Generator().manual_seed(seed)
    settings = EditSettings(guidance_scale=3.0, num_inference_steps=n_steps)
    edited = prior.edit(before, before, instructions, settings, camera, generator=generator).cpu()
    agreed = agreed_edit(prior, before, instructions, camera, generator=generator).cpu()
    return torch.cat([torch.cat(list(row), dim=-1) for row in (before, edited, agreed, after)], dim=-2)


if __name__ == "__main__":
    main()
