"""What the trainings of the inpainting and the instruct prior share: both begin with the text-to-image model.

Its UNet gets further input channels whose weights are zero, so that the first step predicts what the text-to-image
model does. Autoencoder and noise schedule stay those of the text-to-image prior; they are copied, byte for byte, so
that each folder is a whole diffusers pipeline, and version control keeps one copy.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.prompt_encoder import PromptEncoder
from prior3d.diffusion.scheduling import diffusion_schedule
from prior3d.images.files import write_png
from prior3d.limits import read_json
from stages.training.parameters import ConditionalParams
from stages.training.trainer import Meter, Trainer
from stages.training.weights import load_weights, save_averaged, write_facts, write_index

SECONDS_BETWEEN_GRIDS = 180.0
LARGEST_SHARE_OF_GRIDS = 0.03  # of the time; on a busy machine a grid takes minutes


def copy_parts(source: Path, folder: Path, names: tuple[str, ...], checkpoint: Path) -> None:
    """Copy the frozen parts of the text-to-image prior, unless a checkpoint goes on with those that lie there."""
    if checkpoint.exists():
        return
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(source / name, folder / name)


def open_unet(folder: Path, in_channels: int) -> Any:
    """A UNet with the weights on disk, and zeros for the input channels that they do not have."""
    config = UNet2DConditionModel.load_config(folder)
    unet = UNet2DConditionModel.from_config(config, in_channels=in_channels)
    weights = {name: t.float() for name, t in load_file(folder / "diffusion_pytorch_model.safetensors").items()}
    known = weights["conv_in.weight"]
    weights["conv_in.weight"] = torch.zeros(len(known), in_channels, *known.shape[2:])
    weights["conv_in.weight"][:, : known.shape[1]] = known
    unet.load_state_dict(weights, strict=True)
    return unet.to(memory_format=torch.channels_last)  # the CPU is several times faster so


def open_text_encoder(folder: Path, n_words: int) -> Any:
    """A CLIPTextModel with the weights on disk, and new rows for the words that they do not have."""
    encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(folder))
    load_weights(encoder, folder / "model.safetensors")
    if n_words > encoder.config.vocab_size:
        encoder.resize_token_embeddings(n_words, mean_resizing=False)
    return encoder


def frozen_prior(folder: Path, unet: Any, text_encoder: Any, tokenizer: Any, device: str) -> LatentDiffusion:
    """The networks that samples are drawn with while others are trained; autoencoder and schedule are the folder's."""
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).requires_grad_(False).eval()
    vae = vae.to(device, memory_format=torch.channels_last)
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    schedule = diffusion_schedule(scheduler, torch.device(device))
    return LatentDiffusion(unet=unet, vae=vae, schedule=schedule, prompts=PromptEncoder(text_encoder, tokenizer))


def train(
    trainer: Trainer, batch: int, loss_of: Callable[[torch.Generator], Tensor], grid: Callable[[], Tensor]
) -> None:
    """Train to the end; every few minutes, and then, write `samples.png` beside the checkpoint.

    Args:
        trainer: with its models.
        batch: samples a step.
        loss_of: the loss of a batch drawn with a generator.
        grid: a picture [3, height, width] of what the averaged weights do.
    """
    meter, interval, drawn = Meter(trainer, "samples"), SECONDS_BETWEEN_GRIDS, time.monotonic()
    for _ in trainer.steps():
        loss = loss_of(trainer.generator)
        trainer.update(loss)
        meter.take(loss, batch)
        if time.monotonic() - drawn > interval:
            began = time.monotonic()
            draw(trainer, grid)
            drawn = time.monotonic()
            interval = max(SECONDS_BETWEEN_GRIDS, (drawn - began) / LARGEST_SHARE_OF_GRIDS)
    draw(trainer, grid)


def draw(trainer: Trainer, grid: Callable[[], Tensor]) -> None:
    """Write `samples.png` beside the checkpoint."""
    for name in trainer.models:
        trainer.averaged(name)  # the models that the grid is drawn with
    write_png(trainer.path.with_name("samples.png"), grid().permute(1, 2, 0).cpu().numpy())


def save(trainer: Trainer, source: Path, folder: Path, pipeline: str, params: ConditionalParams) -> None:
    """Write the averaged weights in half precision into a diffusers folder that holds the frozen parts already."""
    for name in trainer.models:
        save_averaged(trainer, name, folder / name)
    write_index(folder, read_json(source / "model_index.json") | {"_class_name": pipeline})
    write_facts(folder, trainer, trainer.done * params.batch, began_with="data/priors/toy")
