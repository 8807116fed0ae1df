"""The body of training.inpainting; the package says what it takes, gives and is set by."""

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from prior3d.devices import choose_device
from prior3d.diffusion.inpainting import InpaintingPrior
from prior3d.toyworld.palette import BACKGROUNDS
from stages.artifacts.datasets import RenderedDataset
from stages.contract.job import Job
from stages.training.conditional import copy_parts, frozen_prior, open_text_encoder, open_unet, save, train
from stages.training.datasets.compositing import composite
from stages.training.datasets.latents import Latents
from stages.training.datasets.masks import random_masks
from stages.training.datasets.texts import CaptionedDataset
from stages.training.diffusion_loss import v_loss
from stages.training.inpainting import FOLDER, Params
from stages.training.scores.inpainting import sample_sheet
from stages.training.trainer import Trainer, lower_precision, prepare
from stages.training.weights import samples_before

N_CHANNELS = 9  # noisy latents, mask, latents of the masked image
FROZEN = ("vae", "scheduler", "tokenizer", "text_encoder")


def run(job: Job, params: Params) -> None:
    """Train and save."""
    device = str(choose_device(params.device))
    folder, toy = job.run_folder / FOLDER, job.inputs["text_to_image"]
    prepare(params.seed, params.threads)
    before = samples_before(folder, params.warm_start)
    unet = open_unet((folder if params.warm_start else toy) / "unet", N_CHANNELS).to(device)
    trainer = Trainer(job, {"unet": unet}, params, samples_before=before)
    copy_parts(toy, folder, FROZEN, trainer.path)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    text_encoder = open_text_encoder(folder / "text_encoder", len(tokenizer)).requires_grad_(False).eval().to(device)
    prior = InpaintingPrior(frozen_prior(folder, trainer.averaged("unet"), text_encoder, tokenizer, device))
    world, held_out = (RenderedDataset(job.inputs["world"], split) for split in ("train", "held-out"))
    latents = Latents(prior.diffusion.vae, torch.from_numpy(world.rgba).to(device))
    captions = CaptionedDataset(world, tokenizer, device)

    def loss_of(generator: torch.Generator) -> Tensor:
        batch, tokens, camera, condition = draw_batch(latents, captions, prior, params, generator)
        with lower_precision(device, params.precision):
            text = text_encoder(tokens).last_hidden_state
            return v_loss(unet, (text, camera), batch, prior.schedule, generator, condition=condition)

    train(trainer, params.batch, loss_of, lambda: sample_sheet(prior, held_out))
    save(trainer, toy, folder, "StableDiffusionInpaintPipeline", params)


def draw_batch(
    latents: Latents, captions: CaptionedDataset, prior: InpaintingPrior, params: Params, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A training batch.

    Returns:
        (latents [n, 4, 16, 16], captions as tokens [n, model_max_length], cameras [n, CAMERA_DIM], conditions
        [n, 5, 16, 16]).
    """
    device, n = generator.device, params.batch
    image = torch.randint(len(captions.rows), (n,), generator=generator, device=device)
    background = torch.randint(len(BACKGROUNDS), (n,), generator=generator, device=device)
    drops = (params.drop_caption, params.drop_camera, params.drop_view_word, params.drop_background)
    tokens, camera = captions.draw(image, background, drops, generator)
    rgba = latents.rgba[image]
    seed = int(torch.randint(2**62, (), generator=generator, device=device))
    masks = random_masks(rgba[..., 3].cpu().float() / 255, torch.Generator().manual_seed(seed))  # one by one, so here
    condition = prior.condition(composite(rgba, latents.colours[background]), masks.to(device))
    return latents[image, background], tokens, camera, condition
