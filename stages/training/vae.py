"""Train the toy prior's autoencoder: 64² images to 16x16x4 latents.

No KL term: with it channels collapse and hue is lost. In its place a mild pull of the mean to zero and noise on the
latents keep the space smooth; afterwards the latents are whitened, and the whitening is folded into `quant_conv` and
`post_quant_conv`, so the result is an ordinary AutoencoderKL with a scaling factor of 1.
"""

import time
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from prior3d.toyworld.palette import BACKGROUNDS
from stages.training.common import MINUTES, Device, Trainer, World, composite, load_weights, read_params, report

OUT, WORK = Path("data/priors/toy/vae"), Path(".work/training/vae")


class Params(BaseModel, extra="forbid"):
    """How the autoencoder is trained."""

    seed: int = 0
    steps: int = Field(6_000, ge=1)
    minutes: float | None = MINUTES
    batch: int = Field(16, ge=1, description="whole images a step; while cropping, three times as many crops")
    crop: int = Field(32, ge=16, description="side of the crops that most of the training sees, in pixels")
    crop_share: float = Field(0.85, ge=0, le=1, description="share of the training on crops; whole images behind it")
    chroma_weight: float = Field(4.0, ge=0, description="weight of the colour-difference error")
    squared_weight: float = Field(0.0, ge=0, description="weight of the squared error, which is what PSNR measures")
    learning_rate: float = Field(2e-3, gt=0)
    channels: tuple[int, ...] = (16, 32, 64)
    latent_noise: float = Field(0.1, ge=0, description="standard deviation of the noise on training latents")
    mean_pull: float = Field(3e-4, ge=0, description="weight of the squared latent mean")
    warm_start: bool = Field(False, description="begin with the weights in data/priors/toy/vae")
    decoder_only: bool = Field(False, description="leave the encoder as it is: models trained on its latents still fit")
    threads: int = Field(2, ge=1)
    device: Device = "cpu"

    @model_validator(mode="after")
    def _decoder_has_an_encoder(self) -> Self:
        if self.decoder_only and not self.warm_start:
            raise ValueError("decoder_only trains the decoder of an encoder that is there: set warm_start too")
        return self


def main() -> None:
    """Train, whiten, save, and report the held-out error."""
    params = read_params("vae", Params)
    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)  # only the initial weights use the global generator
    vae = build(params.channels)
    if params.warm_start:
        load_weights(vae, OUT / "diffusion_pytorch_model.safetensors")
    if params.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    vae = vae.to(params.device, memory_format=torch.channels_last)
    trainer = Trainer(WORK, {"vae": vae}, params.learning_rate, params.steps, params.seed, minutes=params.minutes)
    rgba = torch.from_numpy(World(Path("data/world"), "train").rgba).to(params.device)
    generator, start = trainer.generator, time.monotonic()
    for step in trainer.steps():
        cropping = trainer.share < params.crop_share
        images = sample_images(rgba, params.batch * (3 if cropping else 1), generator) * 2 - 1
        images = random_crop(images, params.crop, generator) if cropping else images
        images = images.contiguous(memory_format=torch.channels_last)  # without it the CPU takes six times as long
        loss = reconstruction_loss(vae, images, params, generator)
        trainer.update(loss)
        if step % 20 == 0:
            rate = (step + 1 - trainer.first) / (time.monotonic() - start)
            report(step=step, total=params.steps, loss=round(float(loss.detach()), 4), text=f"{rate:.1f} steps/s")
    vae = trainer.averaged("vae")
    if not params.decoder_only:
        whiten(vae, torch.cat([_means(vae, sample_images(rgba, 64, generator)) for _ in range(24)]))
    vae.to(torch.float16).save_pretrained(OUT)
    held_out = World(Path("data/world"), "held-out")
    report(step=params.steps, total=params.steps, text=f"held-out PSNR {psnr(vae.float(), held_out):.2f} dB")


def build(channels: tuple[int, ...]) -> Any:
    """An AutoencoderKL with 4 latent channels and no attention; downsampling by 2 between the channel widths."""
    from diffusers import AutoencoderKL

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
    """Random images [n, 3, h, w] in 0..1 of a world's `rgba`, each over one of the named backgrounds."""
    device = rgba.device
    index = torch.randint(len(rgba), (n,), generator=generator, device=device).sort().values
    colours = torch.tensor(list(BACKGROUNDS.values()), device=device)
    return composite(rgba[index], colours[torch.randint(len(colours), (n,), generator=generator, device=device)])


def random_crop(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """One window of side² for the whole batch, kept off the outer eighth, where there is mostly background."""
    size = images.shape[-1]
    margin = size // 8
    most = size - margin - side + 1
    top, left = torch.randint(margin, most, (2,), generator=generator, device=generator.device).tolist()
    return images[:, :, top : top + side, left : left + side]


def reconstruction_loss(vae: Any, images: Tensor, params: Params, generator: torch.Generator) -> Tensor:
    """L1 on pixels, twice L1 on 4x4 averages, L1 on image gradients and on chroma, squares, and the pull of the mean.

    Without the chroma term the model stays grey for a long time: most of the error is brightness.
    """
    mean = vae.encode(images).latent_dist.mean
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    decoded = vae.decode(mean + params.latent_noise * noise).sample
    error = decoded - images
    loss = error.abs().mean() + 2 * F.avg_pool2d(error, 4).abs().mean()
    loss = loss + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    chroma = F.avg_pool2d(torch.stack([error[:, 0] - error[:, 1], error[:, 2] - error[:, 1]], dim=1), 4)
    loss = loss + params.chroma_weight * chroma.abs().mean() + params.squared_weight * error.square().mean()
    return loss + params.mean_pull * mean.square().mean()


@torch.no_grad()
def whiten(vae: Any, latents: Tensor) -> None:
    """Fold the ZCA whitening of latents [n, 4, h, w] into the two 1x1 convolutions; the variance becomes negligible."""
    flat = latents.cpu().permute(1, 0, 2, 3).flatten(1).double()  # which Metal lacks
    mean = flat.mean(dim=1, keepdim=True)
    values, vectors = torch.linalg.eigh((flat - mean) @ (flat - mean).T / flat.shape[1])
    forward = (vectors @ torch.diag(values.rsqrt()) @ vectors.T).float()
    backward = (vectors @ torch.diag(values.sqrt()) @ vectors.T).float()
    shift = mean[:, 0].float()
    quant, post = vae.quant_conv, vae.post_quant_conv
    channels = len(shift)
    weight = quant.weight[:channels, :, 0, 0].clone()
    quant.weight[:channels, :, 0, 0] = forward @ weight
    quant.bias[:channels] = forward @ (quant.bias[:channels] - shift)
    quant.weight[channels:].zero_()
    quant.bias[channels:] = -12.0  # log variance
    old = post.weight[:, :, 0, 0].clone()
    post.weight[:, :, 0, 0] = old @ backward
    post.bias += old @ shift


@torch.no_grad()
def psnr(vae: Any, world: World, n: int = 600) -> float:
    """Mean PSNR in dB of reconstructions of n images of a world, a third of them over each background."""
    generator = torch.Generator().manual_seed(1)
    total, batch, rgba = 0.0, 50, torch.from_numpy(world.rgba)
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


if __name__ == "__main__":
    main()
