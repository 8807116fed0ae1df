"""The body of training.views; the package says what it takes, gives and is set by."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DModel

from prior3d.devices import choose_device
from prior3d.diffusion.epipolar import EpipolarConfig, EpipolarTransformer
from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.own_networks import save_own
from prior3d.diffusion.views import ViewsPrior
from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from stages.contract.job import Job
from stages.training.datasets.co3d import co3d_views
from stages.training.datasets.latents import Latents
from stages.training.datasets.posed import PosedDataset, draw_scenes, toy_views
from stages.training.diffusion_loss import noise_scheduler, v_schedule
from stages.training.scores.views import sheet, trials
from stages.training.trainer import Meter, Trainer, prepare
from stages.training.views import Params
from stages.training.views.losses import both_losses
from stages.training.weights import load_weights, samples_before, save_averaged, write_facts, write_index

INDEX = {
    "_class_name": "ViewsPrior",
    "epipolar": ["prior3d.diffusion.epipolar", "EpipolarTransformer"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def run(job: Job, params: Params) -> None:
    """Train and save."""
    device, folder = str(choose_device(params.device)), job.run_folder / params.out
    prepare(params.seed, params.threads)
    vae = AutoencoderKL.from_pretrained(job.inputs["vae"], torch_dtype=torch.float32).to(device).eval()
    dataset = posed_dataset(job, params, vae.config.sample_size)
    models = begin(params, folder, vae.config.sample_size, device)
    trainer = Trainer(job, models, params, samples_before=samples_before(folder, params.warm_start))
    train(trainer, params, dataset, vae)
    save(trainer, job.inputs["vae"], folder, params, most_images(dataset))


def posed_dataset(job: Job, params: Params, size: int) -> PosedDataset:
    """The scenes to train on: the toy world's, or those of a category of one's own.

    Raises:
        Prior3dError: neither is given.
    """
    if params.data is not None:
        return co3d_views(Path(params.data), size)
    if "views" not in job.inputs:
        raise Prior3dError(f"{job.name}: nothing to train on; give --views FOLDER, or set {job.name}.data")
    return toy_views(job.inputs["views"], "train")


def begin(params: Params, folder: Path, size: int, device: str) -> dict[str, Any]:
    """The networks that the training begins with."""
    models = build(params, size)
    if params.warm_start:
        load_weights(models["unet"], folder / "unet/diffusion_pytorch_model.safetensors")
        load_weights(models["epipolar"], folder / "epipolar/model.safetensors")
    models = {name: model.to(device) for name, model in models.items()}
    models["unet"].to(memory_format=torch.channels_last)
    return models


def build(params: Params, image_size: int) -> dict[str, Any]:
    """The diffusion model and the epipolar transformer, untrained."""
    config = EpipolarConfig(image_size=image_size, width=params.width, depth_samples=params.depth_samples)
    unet = UNet2DModel(
        sample_size=config.rays,
        in_channels=8 + config.features,  # noisy latents, features, latents of the regressed image
        out_channels=4,
        layers_per_block=1,
        block_out_channels=params.channels,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=16,
        resnet_time_scale_shift="scale_shift",
    )
    return {"unet": unet, "epipolar": EpipolarTransformer(config)}


def train(trainer: Trainer, params: Params, dataset: PosedDataset, vae: Any) -> None:
    """Take all steps."""
    device = trainer.device
    here = dataset.to(str(device))
    latents, schedule = Latents(vae, here.pixels), v_schedule(device)
    meter, most = Meter(trainer, "views"), most_images(dataset)
    for step in trainer.steps():
        drawing = torch.Generator().manual_seed(hash((params.seed, step)) % 2**62)
        generator = torch.Generator(device).manual_seed(hash((params.seed, step, 6)) % 2**62)
        batch = draw_scenes(dataset, params.scenes, *step_sizes(params, step, most), drawing).to(str(device))
        v, regression = both_losses(trainer.models, here, latents, batch, params, schedule, generator)
        loss = v + params.regression_weight * regression
        trainer.update(loss)
        meter.take(loss, batch.queries.numel(), partial("v {:.4f}, regression {:.4f}".format, v, regression))
        if (step + 1) % params.preview_steps == 0:
            preview(trainer, vae, dataset)


def most_images(dataset: PosedDataset) -> int:
    """Images of the largest scene."""
    return max(len(scene) for scene in dataset.scenes)


def step_sizes(params: Params, step: int, most: int) -> tuple[int, int]:
    """Contexts and queries of every scene in one step, where the largest scene has `most` images."""
    generator = torch.Generator().manual_seed(hash((params.seed, step, 5)) % 2**62)
    shares = torch.tensor(params.context_shares[: most - 1])
    n_contexts = int(torch.multinomial(shares, 1, generator=generator)) + 1
    return n_contexts, min(params.queries, most - n_contexts)


def preview(trainer: Trainer, vae: Any, dataset: PosedDataset) -> None:
    """Write `preview.png` beside the checkpoint: what the averaged weights make of three scenes of the training."""
    diffusion = LatentDiffusion(unet=trainer.averaged("unet"), vae=vae, schedule=v_schedule(trainer.device))
    prior = ViewsPrior(diffusion, trainer.averaged("epipolar"))
    n_views = min(len(scene) for scene in dataset.scenes)
    n_inputs = min(3, n_views - 1)
    shown = trials(dataset, 3, min(6, n_views - n_inputs), seed=0, n_inputs=n_inputs)
    image = sheet(prior, dataset, shown, n_inputs, n_steps=10, seed=0).clamp(0, 1)
    write_png(trainer.path.with_name("preview.png"), image.numpy())


def save(trainer: Trainer, vae_folder: Path, folder: Path, params: Params, most: int) -> None:
    """Write the averaged weights as a diffusers-like folder in half precision, with the autoencoder they belong to."""
    save_averaged(trainer, "unet", folder / "unet")
    save_own(trainer.averaged("epipolar"), folder / "epipolar")
    noise_scheduler().save_pretrained(folder / "scheduler")
    shutil.copytree(vae_folder, folder / "vae", dirs_exist_ok=True)
    write_index(folder, INDEX)
    samples = params.scenes * sum(step_sizes(params, step, most)[1] for step in range(trainer.done))
    write_facts(folder, trainer, samples)
