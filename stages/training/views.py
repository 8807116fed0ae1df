"""Train the views prior: an epipolar feature transformer and a diffusion model conditioned on its features.

Both are trained together, as in SparseFusion (Zhou and Tulsiani 2023, section 3): the diffusion model predicts v of a
wanted view's latents, given the features; the transformer's own picture is held to the wanted view by a Huber loss. The
diffusion model starts from nothing and is small: its condition is aligned with its latents pixel by pixel, so it has
little to find out. The condition is dropped whole now and then, so that guidance works.
"""

import argparse
import copy
import json
import shutil
import time
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as functional
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.epipolar import EpipolarConfig, EpipolarTransformer
from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.timesteps import stratified_timesteps
from prior3d.diffusion.views import ViewsPrior
from prior3d.diffusion.views_loading import save_epipolar
from prior3d.images.files import write_png
from stages.training.common import (
    MINUTES,
    PRECISION,
    Device,
    Precision,
    Trainer,
    load_weights,
    lower_precision,
    read_params,
    report,
    running_mean,
)
from stages.training.posed import Draw, PosedWorld, co3d_views, draw_scenes, toy_views
from stages.training.text_to_image import TRAIN_TIMESTEPS, Latents, noised, samples_seen
from stages.training.view_scores import sheet, trials

OUT, VAE, WORK = Path("data/priors/toy-views"), Path("data/priors/toy/vae"), Path(".work/training/views")
CONTEXT_SHARES = (0.15, 0.3, 0.25, 0.1, 0.1, 0.1)  # of the steps with 1, 2, ... contexts; more of them cost more


class Params(BaseModel, extra="forbid"):
    """How the views prior is trained."""

    seed: int = 0
    data: str | None = Field(None, description="a category of your own in CO3Dv2's layout; None: the toy world's views")
    out: str = Field(str(OUT), description="folder of the prior; name another one with data of your own")
    steps: int = Field(20_000, ge=1)
    minutes: float | None = MINUTES
    scenes: int = Field(2, ge=1, description="a step")
    queries: int = Field(4, ge=1, description="wanted views of each scene; fewer where contexts leave fewer pictures")
    noises: int = Field(2, ge=1, description="noise levels at which each query is denoised")
    learning_rate: float = Field(1e-3, gt=0)
    channels: tuple[int, int, int] = (32, 48, 80)
    width: int = Field(48, ge=8, multiple_of=8, description="of the epipolar transformer's tokens")
    depth_samples: int = Field(12, ge=2)
    precision: Precision = PRECISION
    regression_weight: float = Field(5.0, ge=0, description="of the Huber loss of the transformer's own picture")
    drop_condition: float = Field(0.1, ge=0, le=1)
    warm_start: bool = Field(False, description="begin with the weights in data/priors/toy-views, not with noise")
    preview_steps: int = Field(500, ge=1, description="steps between two sheets of samples, preview.png")
    threads: int = Field(2, ge=1)
    device: Device = "cpu"

    @model_validator(mode="after")
    def own_data_has_its_own_prior(self) -> Self:
        """Keep the embedded prior from being overwritten."""
        if self.data is not None and Path(self.out) == OUT:
            raise ValueError(f"views: data {self.data} would overwrite the embedded prior {OUT}; set out as well")
        return self

    @property
    def work(self) -> Path:
        """Where checkpoints lie, another place for every prior."""
        return WORK if Path(self.out) == OUT else WORK.with_name(f"views-{Path(self.out).name}")


def main() -> None:
    """Train with the parameters of `params.yaml`, or on data of one's own with those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "out", "steps", "minutes", "threads", "device"):
        parser.add_argument(f"--{name}", help=Params.model_fields[name].description)
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    if not given:
        train(read_params("views", Params))
    else:
        train(Params(**given), embedded_prior("toy") / "vae")


def train(params: Params, vae_folder: Path = VAE) -> None:
    """Train with these parameters in the current folder's `data`, and save."""
    from diffusers import AutoencoderKL

    torch.set_num_threads(params.threads)
    torch.manual_seed(params.seed)  # only the initial weights use the global generator
    torch.set_flush_denormal(True)
    vae = AutoencoderKL.from_pretrained(vae_folder, torch_dtype=torch.float32).to(params.device).eval()
    size: int = vae.config.sample_size
    world = toy_views(Path("data/views"), "train") if params.data is None else co3d_views(Path(params.data), size)
    unet, epipolar, scheduler = build(params, size)
    out, samples_before = Path(params.out), 0
    if params.warm_start:
        samples_before = samples_seen(out)
        load_weights(unet, out / "unet/diffusion_pytorch_model.safetensors")
        load_weights(epipolar, out / "epipolar/model.safetensors")
    models = {name: model.to(params.device) for name, model in (("unet", unet), ("epipolar", epipolar))}
    unet.to(memory_format=torch.channels_last)
    here = world.to(params.device)
    latents = Latents(vae, here.pixels)
    alphas = scheduler.alphas_cumprod.to(params.device)
    trainer = Trainer(
        params.work,
        models,
        params.learning_rate,
        params.steps,
        params.seed,
        samples_before=samples_before,
        minutes=params.minutes,
    )
    start, means, samples = time.monotonic(), torch.zeros(2, device=params.device), 0
    most = max(len(scene) for scene in world.scenes)
    for step in trainer.steps():
        drawing = torch.Generator().manual_seed(hash((params.seed, step)) % 2**62)
        generator = torch.Generator(params.device).manual_seed(hash((params.seed, step, 6)) % 2**62)
        drawn = draw_scenes(world, params.scenes, *step_sizes(params, step, most), drawing)
        losses = both_losses(models, here, latents, drawn.to(params.device), params, alphas, generator)
        trainer.update(losses[0] + params.regression_weight * losses[1])
        samples += drawn.queries.numel()
        done = step + 1 - trainer.first
        means = running_mean(means, torch.stack(losses), min(done, 100))
        if step % 20 == 0:
            v, colours = means.tolist()
            text = f"v {v:.4f}, colours {colours:.4f}, {samples / (time.monotonic() - start):.1f} views/s"
            report(step=step, total=params.steps, loss=round(v + colours, 4), text=text)
        if (step + 1) % params.preview_steps == 0:
            preview(trainer, vae, scheduler, world, params.work)
    save(trainer, scheduler, params, most, vae_folder)


def preview(trainer: Trainer, vae: Any, scheduler: Any, world: PosedWorld, folder: Path) -> None:
    """Write `preview.png` beside the checkpoint: what the averaged weights make of three scenes of the training."""
    diffusion = LatentDiffusion(unet=trainer.averaged("unet"), vae=vae, scheduler=scheduler)
    prior = ViewsPrior(diffusion, trainer.averaged("epipolar"))
    views = min(len(scene) for scene in world.scenes)
    n_inputs = min(3, views - 1)
    shown = trials(world, 3, min(6, views - n_inputs), seed=0, n_inputs=n_inputs)
    write_png(folder / "preview.png", sheet(prior, world, shown, n_inputs, n_steps=10, seed=0).clamp(0, 1).numpy())


def build(params: Params, image_size: int) -> tuple[Any, EpipolarTransformer, Any]:
    """The diffusion model, the epipolar transformer and the noise schedule, untrained."""
    from diffusers import DDIMScheduler, UNet2DModel

    config = EpipolarConfig(image_size=image_size, width=params.width, depth_samples=params.depth_samples)
    unet = UNet2DModel(
        sample_size=config.rays,
        in_channels=8 + config.features,  # noisy latents, features, latents of the regressed picture
        out_channels=4,
        layers_per_block=1,
        block_out_channels=params.channels,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        attention_head_dim=16,
        resnet_time_scale_shift="scale_shift",
    )
    scheduler = DDIMScheduler(
        num_train_timesteps=TRAIN_TIMESTEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )
    return unet, EpipolarTransformer(config), scheduler


def step_sizes(params: Params, step: int, most_pictures: int) -> tuple[int, int]:
    """Contexts and queries of every scene in one step, where the largest scene has `most_pictures`."""
    generator = torch.Generator().manual_seed(hash((params.seed, step, 5)) % 2**62)
    shares = torch.tensor(CONTEXT_SHARES[: most_pictures - 1])
    n_contexts = int(torch.multinomial(shares, 1, generator=generator)) + 1
    return n_contexts, min(params.queries, most_pictures - n_contexts)


def both_losses(
    models: dict[str, Any],
    world: PosedWorld,
    latents: Any,
    drawn: Draw,
    params: Params,
    alphas: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The diffusion model's loss on the queries' latents, and the Huber loss of the transformer's own pictures."""
    queries, cameras = drawn.queries.flatten(), [world.cameras[i.flatten()] for i in (drawn.contexts, drawn.queries)]
    truth = world.images(queries, drawn.query_background)
    with lower_precision(params.device, params.precision):
        features, pictures = (part.float() for part in models["epipolar"](drawn.context_images(world), *cameras))
    with torch.no_grad():
        regressed = latents.vae.encode(pictures.detach() * 2 - 1).latent_dist.mean
    condition = torch.cat([features, regressed], dim=1)  # no gradient of this loss makes the picture anything but true
    clean, many = latents[queries, drawn.query_background], params.noises
    with lower_precision(params.device, params.precision):
        v = v_loss(
            models["unet"],
            clean.repeat(many, 1, 1, 1),
            condition.repeat(many, 1, 1, 1),
            params.drop_condition,
            alphas,
            generator,
        )
    return v, huber(pictures - truth).mean()


def v_loss(
    unet: Any, latents: Tensor, condition: Tensor, drop: float, alphas: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean squared error of the predicted velocity v = √ᾱ ε - √(1-ᾱ) x (Salimans and Ho 2022)."""
    n, device = len(latents), condition.device
    t = stratified_timesteps(n, TRAIN_TIMESTEPS, generator, shuffled=True)
    noisy, target = noised(latents, t, alphas, generator)
    keep = (torch.rand(n, 1, 1, 1, generator=generator, device=device) >= drop).float()
    given = torch.cat([noisy, condition * keep], dim=1)
    predicted = unet(given.contiguous(memory_format=torch.channels_last), t).sample
    return functional.mse_loss(predicted.float(), target)


def huber(error: Tensor, knee: float = 0.1) -> Tensor:
    """Quadratic below the knee and linear above: knee (√(1 + (e / knee)²) - 1) (Charbonnier et al. 1994)."""
    return ((1 + (error / knee).square()).sqrt() - 1) * knee


def save(trainer: Trainer, scheduler: Any, params: Params, most_pictures: int, vae_folder: Path = VAE) -> None:
    """Write the averaged weights as a diffusers-like folder in half precision, with the autoencoder they belong to."""
    out = Path(params.out)
    copy.deepcopy(trainer.averaged("unet")).half().save_pretrained(out / "unet")
    save_epipolar(trainer.averaged("epipolar"), out / "epipolar")
    scheduler.save_pretrained(out / "scheduler")
    shutil.copytree(vae_folder, out / "vae", dirs_exist_ok=True)
    index = {
        "_class_name": "ViewsPrior",
        "epipolar": ["prior3d.diffusion.epipolar", "EpipolarTransformer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (out / "model_index.json").write_text(json.dumps(index, indent=2))
    samples = params.scenes * sum(step_sizes(params, step, most_pictures)[1] for step in range(trainer.done))
    facts = {"steps": trainer.done, "samples": samples, "params": params.model_dump()}
    facts |= {"samples_before": trainer.samples_before}  # of the weights that a warm start began with
    (out / "training.json").write_text(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
