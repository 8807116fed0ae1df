"""Train the toy prior itself: a small latent diffusion model on captions and continuous cameras.

A UNet2DConditionModel predicts v on the autoencoder's latents. It sees the caption through a CLIPTextModel that is
trained with it, and the camera through its class embedding; both are dropped independently, so guidance works on
either, and view words stand in half of the captions, so plain prompts work too.
"""

import copy
import json
import time
from pathlib import Path
from typing import Any, Self

import torch
import torch.distributed as dist
import torch.nn.functional as F
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.camera_embedding import CAMERA_DIM, camera_embedding
from prior3d.diffusion.noise import add_noise, velocity
from prior3d.diffusion.timesteps import stratified_timesteps
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.training.common import (
    MINUTES,
    PRECISION,
    Device,
    Precision,
    Trainer,
    World,
    composite,
    load_weights,
    lower_precision,
    read_params,
    report,
    running_mean,
)
from stages.training.tokenizer import build_tokenizer

OUT, WORK = Path("data/priors/toy"), Path(".work/training/text_to_image")
TRAIN_TIMESTEPS = 1000


class Params(BaseModel, extra="forbid"):
    """How the text-to-image model is trained."""

    seed: int = 0
    steps: int = Field(12_000, ge=1)
    minutes: float | None = MINUTES
    batch: int = Field(32, ge=1, description="over all workers")
    learning_rate: float = Field(1e-3, gt=0)
    precision: Precision = PRECISION
    channels: tuple[int, int, int] = (48, 96, 144)
    text_width: int = 128
    drop_caption: float = Field(0.12, ge=0, le=1)
    drop_camera: float = Field(0.15, ge=0, le=1)
    drop_view_word: float = Field(0.5, ge=0, le=1)
    drop_background: float = Field(0.1, ge=0, le=1)
    patterned_share: float = Field(0.0, ge=0, le=1, description="samples drawn from patterned objects only")
    warm_start: bool = Field(False, description="begin with the weights that lie in data/priors/toy, not with noise")
    workers: int = Field(2, ge=1, description="processes, one thread each, that average their gradients")
    device: Device = "cpu"

    @model_validator(mode="after")
    def one_worker_has_one_clock(self) -> Self:
        """Workers wait for each other, so all do the same steps."""
        if self.workers > 1 and (self.minutes is not None or self.device != "cpu"):
            raise ValueError(
                f"text_to_image: {self.workers} workers on {self.device}; minutes and a GPU need workers: 1"
            )
        return self


class Latents:
    """Latents of every image over every background, in half precision in the memory of the device that has the images.

    On the CPU they are encoded when first asked for, on a GPU all at the beginning. They are encoded so many at a time,
    whoever asks: an image's last bits depend on how many it is encoded with, and must not on where a training stopped.
    """

    def __init__(self, vae: Any, rgba: Tensor, at_once: int | None = None):
        """Take images [n, size, size, 4] uint8, premultiplied, on the autoencoder's device.

        `at_once` are encoded together; None: 16 on the CPU, 1024 elsewhere.
        """
        on_cpu = rgba.device.type == "cpu"
        self.vae, self.rgba, self.at_once = vae, rgba, at_once or (16 if on_cpu else 1024)
        self.colours = torch.tensor(list(BACKGROUNDS.values()), device=rgba.device)
        shape = len(rgba), len(BACKGROUNDS)
        side = rgba.shape[1] // 4
        self.store = torch.zeros(*shape, 4, side, side, dtype=torch.float16, device=rgba.device)
        self.known = torch.zeros(shape, dtype=torch.bool, device=rgba.device)
        self.complete = False
        if not on_cpu:
            self.encode_all()

    def __getitem__(self, index: tuple[Tensor, Tensor]) -> Tensor:
        """Latents [n, 4, side, side] of images [n] over backgrounds [n]."""
        image, background = index
        if not self.complete:
            missing = ~self.known[image, background]
            self._encode(image[missing], background[missing])
        return self.store[image, background].float()

    def encode_all(self) -> None:
        """Encode every image over every background."""
        ranges = (torch.arange(n, device=self.rgba.device) for n in self.known.shape)
        self._encode(*torch.cartesian_prod(*ranges).T)
        self.complete = True

    @torch.no_grad()
    def _encode(self, images: Tensor, backgrounds: Tensor) -> None:
        for image, background in zip(images.split(self.at_once), backgrounds.split(self.at_once), strict=True):
            if not len(image):
                continue
            place = torch.arange(self.at_once, device=image.device) % len(image)
            pixels = composite(self.rgba[image[place]], self.colours[background[place]]) * 2 - 1
            latents = self.vae.encode(pixels).latent_dist.mean[: len(image)]
            self.store[image, background] = latents.half()
            self.known[image, background] = True


class SpokenWorld:
    """What can be said of each image of a world, as tokens in the device's memory.

    Attributes:
        tokens: [texts, model_max_length] of every text that is said of any image; the first is empty.
        rows: [n, 2, backgrounds + 1] the text of image i without and with its view word, without and with a background.
        cameras: [n, CAMERA_DIM] embedded.
        patterned: [m] the images of patterned objects.
    """

    def __init__(self, world: World, tokenizer: Any, device: str):
        views = torch.from_numpy(world.views)
        words = view_words(toy_orbit(views[:, 0], views[:, 1]))
        texts: dict[str, int] = {"": 0}
        rows = [
            texts.setdefault(full_caption(world.caption(i), view, background), len(texts))
            for i in range(len(world))
            for view in (None, words[i])
            for background in (None, *BACKGROUNDS)
        ]
        self.tokens = tokenize(tokenizer, list(texts)).to(device)
        self.rows = torch.tensor(rows, device=device).view(len(world), 2, -1)
        self.cameras = camera_embedding(views[:, 0], views[:, 1]).to(device)
        self.patterned = world.patterned.to(device)

    def draw(
        self, image: Tensor, background: Tensor, drops: tuple[float, float, float, float], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """What is said of images [n] over backgrounds [n]: tokens [n, model_max_length], cameras [n, CAMERA_DIM].

        Whole captions, cameras, view words and backgrounds are left out with the probabilities `drops`.
        """
        device = self.rows.device
        drawn = torch.rand(len(image), 4, generator=generator, device=device)
        caption, camera, view, named = (drawn >= torch.tensor(drops, device=device)).long().T
        row = self.rows[image, view, named * (background + 1)]
        return self.tokens[caption * row], self.cameras[image] * camera[:, None]


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
    latents: Latents, world: SpokenWorld, params: Params, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A training batch: latents [n, 4, 16, 16], tokens [n, model_max_length], camera embeddings [n, CAMERA_DIM]."""
    device = generator.device
    image = torch.randint(len(world.rows), (n,), generator=generator, device=device)
    if params.patterned_share > 0:
        place = torch.randint(len(world.patterned), (n,), generator=generator, device=device)
        here = torch.rand(n, generator=generator, device=device) < params.patterned_share
        image = torch.where(here, world.patterned[place], image)
    background = torch.randint(len(BACKGROUNDS), (n,), generator=generator, device=device)
    drops = (params.drop_caption, params.drop_camera, params.drop_view_word, params.drop_background)
    tokens, camera = world.draw(image, background, drops, generator)
    return latents[image, background], tokens, camera


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
    t = stratified_timesteps(len(latents), TRAIN_TIMESTEPS, generator, power=timestep_power)
    noisy, target = noised(latents, t, alphas, generator)
    seen = noisy if condition is None else torch.cat([noisy, condition], dim=1)
    seen = seen.contiguous(memory_format=torch.channels_last)
    predicted = unet(seen, t, text, class_labels=camera).sample
    return F.mse_loss(predicted.float(), target)


def noised(latents: Tensor, t: Tensor, alphas: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Latents [n, c, h, w] with fresh noise at timesteps t [n], and their velocity v, for cumulative alphas [T]."""
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    return add_noise(latents, noise, alphas[t]), velocity(latents, noise, alphas[t])


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
    latents, spoken = (
        Latents(vae, torch.from_numpy(world.rgba).to(params.device)),
        SpokenWorld(world, tokenizer, params.device),
    )
    alphas = scheduler.alphas_cumprod.to(params.device)
    trainer = Trainer(
        WORK,
        models,
        params.learning_rate,
        params.steps,
        params.seed,
        writes=rank == 0,
        samples_before=samples_before,
        minutes=params.minutes,
    )
    start, mean, share = time.monotonic(), torch.zeros((), device=params.device), params.batch // params.workers
    for step in trainer.steps():
        generator = torch.Generator(params.device).manual_seed(hash((params.seed, step, rank)) % 2**62)
        batch, tokens, camera = draw_batch(latents, spoken, params, share, generator)
        with lower_precision(params.device, params.precision):
            text = text_encoder(tokens).last_hidden_state
            loss = v_loss(unet, text, batch, camera, alphas, generator)
        trainer.update(loss)
        mean = running_mean(mean, loss, min(step - trainer.first + 1, 200))
        if rank == 0 and step % 50 == 0:
            rate = (step + 1 - trainer.first) * params.batch / (time.monotonic() - start)
            report(step=step, total=params.steps, loss=round(float(mean), 4), text=f"{rate:.0f} samples/s")
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
    facts = {"steps": trainer.done, "samples": trainer.done * params.batch, "params": params.model_dump()}
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
