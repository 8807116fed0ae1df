"""The body of training.vae; the package says what it takes, gives and is set by."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from prior3d.devices import choose_device
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job
from stages.training.datasets.compositing import background_colours, composite
from stages.training.families import begin_with_oldest, family_folder
from stages.training.trainer import Meter, Trainer, prepare
from stages.training.vae import FOLDER, Params
from stages.training.vae.losses import reconstruction_loss
from stages.training.vae.whitening import whiten
from stages.training.weights import load_weights


def run(job: Job, params: Params) -> None:
    """Train, whiten, save, and report the held-out error."""
    device, folder = str(choose_device(params.device)), family_folder(job.run_folder, FOLDER, params.family)
    if params.warm_start:
        begin_with_oldest(job.run_folder, FOLDER, params.family, (".",))
    prepare(params.seed, params.threads)
    vae = begin(params, folder / "diffusion_pytorch_model.safetensors").to(device, memory_format=torch.channels_last)
    trainer = Trainer(job, {"vae": vae}, params)
    rgba = torch.from_numpy(RenderedDataset(job.inputs["world"], "train").rgba).to(device)
    train(trainer, params, vae, rgba)
    vae = trainer.averaged("vae")
    if not params.decoder_only:
        whiten(vae, torch.cat([_means(vae, sample_images(rgba, 64, trainer.generator)) for _ in range(24)]))
    vae.to(torch.float16).save_pretrained(folder)
    held_out = RenderedDataset(job.inputs["world"], "held-out")
    job.progress(params.steps, params.steps, text=f"held-out PSNR {psnr(vae.float(), held_out):.2f} dB")


def begin(params: Params, weights: Path) -> Any:
    """The autoencoder that the training begins with."""
    vae = build(params.channels)
    if params.warm_start:
        load_weights(vae, weights)
    if params.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    return vae


def train(trainer: Trainer, params: Params, vae: Any, rgba: Tensor) -> None:
    """Take all steps; images are drawn from `rgba` [n, size, size, 4] uint8."""
    generator, meter = trainer.generator, Meter(trainer, "images")
    for _ in trainer.steps():
        cropping = trainer.progress < params.crop_share
        images = sample_images(rgba, params.batch * (3 if cropping else 1), generator) * 2 - 1
        images = random_crop(images, params.crop, generator) if cropping else images
        images = images.contiguous(memory_format=torch.channels_last)  # without it the CPU takes six times as long
        loss = reconstruction_loss(vae, images, params, generator)
        trainer.update(loss)
        meter.take(loss, len(images))


def build(channels: tuple[int, ...]) -> Any:
    """An AutoencoderKL with 4 latent channels and no attention; downsampling by 2 between the channel widths."""
    n = len(channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * n,
        up_block_types=("UpDecoderBlock2D",) * n,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def sample_images(rgba: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Random images [n, 3, h, w] in 0..1 of a dataset's `rgba`, each over one of the named backgrounds."""
    device = rgba.device
    index = torch.randint(len(rgba), (n,), generator=generator, device=device).sort().values
    colours = background_colours(device)
    return composite(rgba[index], colours[torch.randint(len(colours), (n,), generator=generator, device=device)])


def random_crop(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """One window of side² for the whole batch, kept off the outer eighth, where there is mostly background."""
    size = images.shape[-1]
    margin = size // 8
    most = size - margin - side + 1
    top, left = torch.randint(margin, most, (2,), generator=generator, device=generator.device).tolist()
    return images[:, :, top : top + side, left : left + side]


@torch.no_grad()
def psnr(vae: Any, dataset: RenderedDataset, n: int = 600) -> float:
    """Mean PSNR in dB of reconstructions of n images of a dataset, a third of them over each background."""
    generator = torch.Generator().manual_seed(1)
    total, batch, rgba = 0.0, 50, torch.from_numpy(dataset.rgba)
    device = next(vae.parameters()).device
    for _ in range(n // batch):
        images = sample_images(rgba, batch, generator).to(device)
        decoded = vae.decode(_means(vae, images)).sample / 2 + 0.5
        error = (decoded.clamp(0, 1) - images).square().mean(dim=(1, 2, 3))
        total += float((-10 * error.log10()).sum())
    return total / (n // batch * batch)


@torch.no_grad()
def _means(vae: Any, images: Tensor) -> Tensor:
    return vae.encode(images * 2 - 1).latent_dist.mean
