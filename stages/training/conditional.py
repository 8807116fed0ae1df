"""What the trainings of the inpainting and the instruct prior share: both begin with the text-to-image model.

Its UNet gets further input channels whose weights are zero, so that the first step predicts what the text-to-image
model does. Autoencoder and noise schedule stay those of `data/priors/toy`; they are copied, byte for byte, so that each
folder is a whole diffusers pipeline, and version control keeps one copy.
"""

import copy
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field
from safetensors.torch import load_file
from torch import Tensor

from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.prompt_encoder import PromptEncoder
from prior3d.images.files import write_png
from stages.training.common import MINUTES, PRECISION, Device, Precision, Trainer, load_weights, report, running_mean
from stages.training.text_to_image import samples_seen

TOY = Path("data/priors/toy")
SECONDS_BETWEEN_GRIDS = 180.0
LARGEST_SHARE_OF_GRIDS = 0.03  # of the time; on a busy machine a grid takes minutes


class ConditionalParams(BaseModel, extra="forbid"):
    """How a conditional prior is trained."""

    seed: int = 0
    steps: int = Field(8_000, ge=1)
    minutes: float | None = MINUTES
    batch: int = Field(32, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    precision: Precision = PRECISION
    drop_camera: float = Field(0.15, ge=0, le=1)
    warm_start: bool = Field(False, description="begin with this prior's own weights on disk, not with text-to-image")
    threads: int = Field(2, ge=1)
    device: Device = "cpu"


def prepare(params: ConditionalParams) -> None:
    """Set torch up for a training in this process."""
    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)  # only new weights use the global generator
    torch.set_flush_denormal(True)


def copy_parts(folder: Path, names: tuple[str, ...], checkpoint: Path) -> None:
    """Copy the frozen parts of the text-to-image prior, unless a checkpoint goes on with those that lie there."""
    if checkpoint.exists():
        return
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(TOY / name, folder / name)


def open_unet(folder: Path, in_channels: int) -> Any:
    """A UNet with the weights on disk, and zeros for the input channels that they do not have."""
    from diffusers import UNet2DConditionModel

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
    from transformers import CLIPTextConfig, CLIPTextModel

    encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(folder))
    load_weights(encoder, folder / "model.safetensors")
    if n_words > encoder.config.vocab_size:
        encoder.resize_token_embeddings(n_words, mean_resizing=False)
    return encoder


def frozen_prior(folder: Path, unet: Any, text_encoder: Any, tokenizer: Any, device: str) -> LatentDiffusion:
    """The networks that samples are drawn with while others are trained; autoencoder and schedule are the folder's."""
    from diffusers import AutoencoderKL, DDIMScheduler

    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).requires_grad_(False).eval()
    vae = vae.to(device, memory_format=torch.channels_last)
    scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")
    return LatentDiffusion(unet=unet, vae=vae, scheduler=scheduler, prompts=PromptEncoder(text_encoder, tokenizer))


def samples_before(folder: Path, params: ConditionalParams) -> int:
    """How many samples the weights on disk were trained on, if they are what the training begins with."""
    return samples_seen(folder) if params.warm_start else 0


def run(
    trainer: Trainer,
    params: ConditionalParams,
    loss_of: Callable[[torch.Generator], Tensor],
    grid: Callable[[], Tensor],
) -> None:
    """Train to the end; every few minutes, and then, write `samples.png` beside the checkpoint.

    Args:
        trainer: with its models.
        params: how.
        loss_of: the loss of a batch drawn with a generator.
        grid: a picture [3, height, width] of what the averaged weights do.
    """

    def draw() -> None:
        write_png(trainer.path.with_name("samples.png"), grid().permute(1, 2, 0).cpu().numpy())

    start, mean, interval = time.monotonic(), torch.zeros((), device=trainer.device), SECONDS_BETWEEN_GRIDS
    drawn = start
    for step in trainer.steps():
        loss = loss_of(trainer.generator)
        trainer.update(loss)
        mean = running_mean(mean, loss, min(step - trainer.first + 1, 200))
        if step % 20 == 0:
            rate = (step + 1 - trainer.first) * params.batch / (time.monotonic() - start)
            report(step=step, total=params.steps, loss=round(float(mean), 4), text=f"{rate:.0f} samples/s")
        if time.monotonic() - drawn > interval:
            began = time.monotonic()
            draw()
            drawn = time.monotonic()
            interval = max(SECONDS_BETWEEN_GRIDS, (drawn - began) / LARGEST_SHARE_OF_GRIDS)
    draw()


def save(trainer: Trainer, folder: Path, pipeline: str, params: ConditionalParams) -> None:
    """Write the averaged weights in half precision into a diffusers folder that holds the frozen parts already."""
    for name in trainer.models:
        copy.deepcopy(trainer.averaged(name)).half().save_pretrained(folder / name)
    index = json.loads((TOY / "model_index.json").read_text()) | {"_class_name": pipeline}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    facts = {"steps": trainer.done, "samples": trainer.done * params.batch, "params": params.model_dump()}
    facts |= {"samples_before": trainer.samples_before, "began_with": "data/priors/toy"}
    (folder / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
