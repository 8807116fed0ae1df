"""Train the toy prior itself: a small latent diffusion model on captions and continuous cameras.

A UNet2DConditionModel predicts v on the autoencoder's latents. It sees the caption through a CLIPTextModel that is
trained with it, and the camera through its class embedding; both are dropped independently, so guidance works on
either, and view words stand in half of the captions, so plain prompts work too.
"""

import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from pydantic import BaseModel, Field
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.priors.camera_embedding import CAMERA_DIM, camera_embedding
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.training.common import Renders, Trainer, World, composite, load_weights, read_params, report
from stages.training.tokenizer import build_tokenizer

OUT, WORK = Path("data/priors/toy"), Path(".work/training/text_to_image")
TRAIN_TIMESTEPS = 1000


class Params(BaseModel, extra="forbid"):
    """How the text-to-image model is trained."""

    seed: int = 0
    steps: int = Field(12_000, ge=1)
    batch: int = Field(32, ge=1, description="over all workers")
    learning_rate: float = Field(1e-3, gt=0)
    channels: tuple[int, int, int] = (48, 96, 144)
    text_width: int = 128
    drop_caption: float = Field(0.12, ge=0, le=1)
    drop_camera: float = Field(0.15, ge=0, le=1)
    drop_view_word: float = Field(0.5, ge=0, le=1)
    drop_background: float = Field(0.1, ge=0, le=1)
    patterned_share: float = Field(0.0, ge=0, le=1, description="samples drawn from patterned objects only")
    warm_start: bool = Field(False, description="begin with the weights that lie in data/priors/toy, not with noise")
    workers: int = Field(2, ge=1, description="processes, one thread each, that average their gradients")
    device: str = "cpu"


class Latents:
    """Latents of every image over every background, encoded when first asked for and then kept in memory."""

    def __init__(self, vae: Any, world: Renders, device: str):
        self.vae, self.world, self.device = vae, world, device
        side = world.rgba.shape[1] // 4
        self.store = np.zeros((len(world), len(BACKGROUNDS), 4, side, side), np.float16)
        self.known = np.zeros((len(world), len(BACKGROUNDS)), bool)
        self.colours = torch.tensor(list(BACKGROUNDS.values()))

    @torch.no_grad()
    def __getitem__(self, index: tuple[Tensor, Tensor]) -> Tensor:
        """Latents [n, 4, side, side] of images [n] over backgrounds [n]."""
        image, background = (part.numpy() for part in index)
        latents = torch.from_numpy(self.store[image, background].astype(np.float32))
        missing = np.flatnonzero(~self.known[image, background])
        if len(missing):
            rgba = torch.from_numpy(self.world.rgba[image[missing]])
            pixels = composite(rgba, self.colours[index[1][missing]]).to(self.device) * 2 - 1
            latents[missing] = self.vae.encode(pixels).latent_dist.mean.cpu()
            self.store[image[missing], background[missing]] = latents[missing].numpy().astype(np.float16)
            self.known[image[missing], background[missing]] = True
        return latents


def build(params: Params, tokenizer: Any) -> tuple[Any, Any, Any]:
    """The UNet, the text encoder and the noise schedule, untrained."""
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=params.channels,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=params.text_width,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        class_embed_type="projection",
        projection_class_embeddings_input_dim=CAMERA_DIM,
    )
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=params.text_width,
        intermediate_size=4 * params.text_width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=params.text_width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
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
    return unet, CLIPTextModel(config), scheduler


def draw_batch(
    latents: Latents, world: World, params: Params, n: int, generator: torch.Generator
) -> tuple[Tensor, list[str], Tensor]:
    """A training batch: latents [n, 4, 16, 16], captions [n], camera embeddings [n, CAMERA_DIM]."""
    image = torch.randint(len(world), (n,), generator=generator)
    if params.patterned_share > 0:
        patterned = world.patterned[torch.randint(len(world.patterned), (n,), generator=generator)]
        image = torch.where(torch.rand(n, generator=generator) < params.patterned_share, patterned, image)
    background = torch.randint(len(BACKGROUNDS), (n,), generator=generator)
    drops = (params.drop_caption, params.drop_camera, params.drop_view_word, params.drop_background)
    captions, camera = draw_conditions(world, image, background, drops, generator)
    return latents[image, background], captions, camera


def draw_conditions(
    world: World,
    image: Tensor,
    background: Tensor,
    drops: tuple[float, float, float, float],
    generator: torch.Generator,
) -> tuple[list[str], Tensor]:
    """What is said of images [n] over backgrounds [n]: captions and camera embeddings [n, CAMERA_DIM].

    Whole captions, cameras, view words and backgrounds are left out with the probabilities `drops`.
    """
    views = torch.from_numpy(np.array(world.views[image.numpy()]))
    keep = torch.rand(len(image), 4, generator=generator) >= torch.tensor(drops)
    names, captions, words = list(BACKGROUNDS), [], view_words(toy_orbit(views[:, 0], views[:, 1]))
    for i in range(len(image)):
        view = words[i] if keep[i, 2] else None
        named = names[int(background[i])] if keep[i, 3] else None
        captions.append(full_caption(world.caption(int(image[i])), view, named) if keep[i, 0] else "")
    return captions, camera_embedding(views[:, 0], views[:, 1]) * keep[:, 1:2]


def v_loss(
    unet: Any,
    text: Tensor,
    latents: Tensor,
    camera: Tensor,
    alphas: Tensor,
    generator: torch.Generator,
    condition: Tensor | None = None,
    timestep_power: float = 1.0,
) -> Tensor:
    """Mean squared error of the predicted velocity v = √ᾱ ε - √(1-ᾱ) x (Salimans and Ho 2022).

    A `condition` [n, further channels, 16, 16] is seen behind the noisy latents. Timesteps are T u^timestep_power of
    uniform u: below 1, strong noise comes more often.
    """
    n = len(latents)
    # one timestep from each of n equal strata: the same expectation as independent draws, with less variance
    share = ((torch.arange(n) + torch.rand(n, generator=generator)) / n) ** timestep_power
    t = (share * TRAIN_TIMESTEPS).long().clamp(max=TRAIN_TIMESTEPS - 1)
    noise = torch.randn(latents.shape, generator=generator)
    alpha = alphas[t].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    device = text.device
    seen = noisy.to(device)
    if condition is not None:
        seen = torch.cat([seen, condition.to(device)], dim=1)
    predicted = unet(seen, t.to(device), text, class_labels=camera.to(device)).sample
    return F.mse_loss(predicted, target.to(device))


def train(rank: int, params: Params) -> None:
    """What each worker runs; rank 0 reports, keeps the checkpoints and saves the result."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTokenizer

    if params.workers > 1:
        meeting = f"file://{(WORK / 'rendezvous').resolve()}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=params.workers)
        torch.set_num_threads(1)
    torch.manual_seed(params.seed)
    torch.set_flush_denormal(True)  # decayed moments become denormal numbers, which slow a CPU down
    # the weights on disk know words by the numbers that their own tokenizer gave them
    tokenizer = CLIPTokenizer.from_pretrained(OUT / "tokenizer") if params.warm_start else build_tokenizer()
    unet, text_encoder, scheduler = build(params, tokenizer)
    samples_before = 0
    if params.warm_start:
        samples_before = samples_seen(OUT)
        load_weights(unet, OUT / "unet/diffusion_pytorch_model.safetensors")
        load_weights(text_encoder, OUT / "text_encoder/model.safetensors")
    models = {
        "unet": unet.to(params.device, memory_format=torch.channels_last),
        "text_encoder": text_encoder.to(params.device),
    }
    vae = (
        AutoencoderKL.from_pretrained(OUT / "vae", torch_dtype=torch.float32)
        .to(params.device, memory_format=torch.channels_last)
        .eval()
    )
    world = World(Path("data/world"), "train")
    latents = Latents(vae, world, params.device)
    trainer = Trainer(
        WORK,
        models,
        params.learning_rate,
        params.steps,
        params.seed,
        writes=rank == 0,
        samples_before=samples_before,
    )
    start, mean, share = time.monotonic(), 0.0, params.batch // params.workers
    for step in trainer.steps():
        generator = torch.Generator().manual_seed(hash((params.seed, step, rank)) % 2**62)
        batch, captions, camera = draw_batch(latents, world, params, share, generator)
        text = text_encoder(tokenize(tokenizer, captions).to(params.device)).last_hidden_state
        loss = v_loss(unet, text, batch, camera, scheduler.alphas_cumprod, generator)
        trainer.update(loss)
        mean += (float(loss.detach()) - mean) / min(step - trainer.first + 1, 200)
        if rank == 0 and step % 50 == 0:
            rate = (step + 1 - trainer.first) * params.batch / (time.monotonic() - start)
            report(step=step, total=params.steps, loss=round(mean, 4), text=f"{rate:.0f} samples/s")
    if rank == 0:
        save(trainer, tokenizer, scheduler, OUT, params)


def samples_seen(folder: Path) -> int:
    """How many samples the weights in a prior's folder were trained on, over all their sittings."""
    facts = json.loads((folder / "training.json").read_text())
    return int(facts["samples"]) + int(facts.get("samples_before", 0))


def tokenize(tokenizer: Any, captions: list[str]) -> Tensor:
    """Token ids [n, model_max_length]."""
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


def save(trainer: Trainer, tokenizer: Any, scheduler: Any, folder: Path, params: Params) -> None:
    """Write the averaged weights as a diffusers folder in half precision, beside its `vae`."""
    copy.deepcopy(trainer.averaged("unet")).half().save_pretrained(folder / "unet")
    copy.deepcopy(trainer.averaged("text_encoder")).half().save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    facts = {"steps": trainer.step + 1, "samples": (trainer.step + 1) * params.batch, "params": params.model_dump()}
    facts |= {"samples_before": trainer.samples_before}  # of the weights that a warm start began with
    (folder / "training.json").write_text(json.dumps(facts, indent=2))


def main() -> None:
    """Start the workers."""
    params = read_params("text_to_image", Params)
    WORK.mkdir(parents=True, exist_ok=True)
    if params.workers == 1:
        train(0, params)
        return
    (WORK / "rendezvous").unlink(missing_ok=True)
    torch.multiprocessing.spawn(train, args=(params,), nprocs=params.workers)


if __name__ == "__main__":
    main()
