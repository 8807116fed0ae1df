"""The body of training.text_to_image; the package says what it takes, gives and is set by."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from prior3d.devices import choose_device
from prior3d.errors import Prior3dError
from prior3d.toyworld.palette import BACKGROUNDS
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job, Stopped
from stages.training.conditional import open_text_encoder
from stages.training.datasets.latents import Latents
from stages.training.datasets.texts import CaptionedDataset
from stages.training.datasets.tokenizer import build_tokenizer, new_words, with_words
from stages.training.diffusion_loss import noise_scheduler, v_loss, v_schedule
from stages.training.facts import FACTS
from stages.training.families import OLDEST, begin_with_oldest, family_folder
from stages.training.text_to_image import FOLDER, Params
from stages.training.text_to_image.networks import build_text_encoder, build_unet
from stages.training.trainer import Meter, Trainer, lower_precision, prepare
from stages.training.weights import load_weights, samples_before, save_averaged, write_facts, write_index

INDEX = {
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


def run(job: Job, params: Params) -> None:
    """Train in this process, or in several that average their gradients."""
    device = str(choose_device(params.device))
    if params.workers == 1:
        train(0, job, params, device)
        return
    if params.minutes is not None or device != "cpu":
        raise Prior3dError(
            f"{job.name}: {params.workers} workers on {device}; minutes and a GPU need {job.name}.workers: 1"
        )
    meeting_place(job).unlink(missing_ok=True)
    together = torch.multiprocessing.spawn(work, args=(job, params), nprocs=params.workers, join=False)
    told = False
    while not together.join(timeout=0.5):
        if job.stopping and not told:
            told = True
            for process in together.processes:
                os.kill(process.pid, signal.SIGTERM)


def work(rank: int, job: Job, params: Params) -> None:
    """One of several workers; rank 0 reports, writes the checkpoints and saves the result."""
    signal.signal(signal.SIGTERM, job.stop_soon)
    dist.init_process_group("gloo", init_method=f"file://{meeting_place(job)}", rank=rank, world_size=params.workers)
    torch.set_num_threads(1)
    try:
        train(rank, job, params, "cpu")
    except Stopped:
        return  # the parent knows: it was asked to stop


def meeting_place(job: Job) -> Path:
    """The file by which workers find each other."""
    return job.work / "rendezvous"


def train(rank: int, job: Job, params: Params, device: str) -> None:
    """Train to the end, and save."""
    prepare(params.seed)
    folder = family_folder(job.run_folder, FOLDER, params.family)
    world = RenderedDataset(job.inputs["world"], "train")
    if params.warm_start:
        begin_with_oldest(job.run_folder, FOLDER, params.family, ("unet", "text_encoder", "tokenizer", FACTS))
    tokenizer, models = begin(params, folder, device, world.captions if params.family != OLDEST else [])
    trainer = Trainer(job, models, params, samples_before=samples_before(folder, params.warm_start), writes=rank == 0)
    vae = AutoencoderKL.from_pretrained(job.inputs["vae"], torch_dtype=torch.float32)
    vae = vae.to(device, memory_format=torch.channels_last).eval()
    latents = Latents(vae, torch.from_numpy(world.rgba).to(device))
    captions = CaptionedDataset(world, tokenizer, device)
    schedule = v_schedule(device)
    meter = Meter(trainer, "samples")
    for step in trainer.steps():
        generator = torch.Generator(device).manual_seed(hash((params.seed, step, rank)) % 2**62)
        batch, tokens, camera = draw_batch(latents, captions, params, params.batch // params.workers, generator)
        with lower_precision(device, params.precision):
            text = models["text_encoder"](tokens).last_hidden_state
            loss = v_loss(models["unet"], (text, camera), batch, schedule, generator)
        trainer.update(loss)
        meter.take(loss, params.batch)
    if rank == 0:
        save(trainer, tokenizer, folder, params)


def begin(params: Params, folder: Path, device: str, captions: list[str]) -> tuple[Any, dict[str, Any]]:
    """The tokenizer, and the networks that the training begins with; `captions` may hold words that it has not yet.

    The weights on disk know words by the numbers that their own tokenizer gave them; new words come behind these.
    """
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer") if params.warm_start else build_tokenizer()
    tokenizer = with_words(tokenizer, new_words(tokenizer, captions)) if captions else tokenizer
    unet = build_unet(params)
    if params.warm_start:
        load_weights(unet, folder / "unet/diffusion_pytorch_model.safetensors")
        text_encoder = open_text_encoder(folder / "text_encoder", len(tokenizer))
    else:
        text_encoder = build_text_encoder(params, tokenizer)
    models = {
        "unet": unet.to(device, memory_format=torch.channels_last),
        "text_encoder": text_encoder.to(device),
    }
    return tokenizer, models


def draw_batch(
    latents: Latents, captions: CaptionedDataset, params: Params, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A training batch: latents [n, 4, 16, 16], tokens [n, model_max_length], camera embeddings [n, CAMERA_DIM]."""
    device = generator.device
    image = torch.randint(len(captions.rows), (n,), generator=generator, device=device)
    if params.patterned_share > 0:
        index = torch.randint(len(captions.patterned), (n,), generator=generator, device=device)
        here = torch.rand(n, generator=generator, device=device) < params.patterned_share
        image = torch.where(here, captions.patterned[index], image)
    background = torch.randint(len(BACKGROUNDS), (n,), generator=generator, device=device)
    drops = (params.drop_caption, params.drop_camera, params.drop_view_word, params.drop_background)
    tokens, camera = captions.draw(image, background, drops, generator)
    return latents[image, background], tokens, camera


def save(trainer: Trainer, tokenizer: Any, folder: Path, params: Params) -> None:
    """Write the averaged weights as a diffusers folder in half precision, beside its `vae`."""
    for name in trainer.models:
        save_averaged(trainer, name, folder / name)
    tokenizer.save_pretrained(folder / "tokenizer")
    noise_scheduler().save_pretrained(folder / "scheduler")
    write_index(folder, INDEX)
    write_facts(folder, trainer, trainer.done * params.batch)
