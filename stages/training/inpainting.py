"""Train the inpainting prior: the text-to-image model that also sees a mask and the image with its hole grey."""

from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.inpainting import InpaintingPrior, InpaintSettings
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.training.common import Trainer, World, composite, lower_precision, read_params
from stages.training.conditional import (
    TOY,
    ConditionalParams,
    copy_parts,
    frozen_prior,
    open_text_encoder,
    open_unet,
    prepare,
    run,
    samples_before,
    save,
)
from stages.training.masks import half, random_masks
from stages.training.text_to_image import Latents, SpokenWorld, v_loss

OUT, WORK = Path("data/priors/toy-inpainting"), Path(".work/training/inpainting")
CHANNELS = 9
FROZEN = ("vae", "scheduler", "tokenizer", "text_encoder")


class Params(ConditionalParams):
    """How the inpainting prior is trained."""

    drop_caption: float = Field(0.1, ge=0, le=1)
    drop_view_word: float = Field(0.5, ge=0, le=1)
    drop_background: float = Field(0.3, ge=0, le=1)


def main() -> None:
    """Train and save."""
    train(read_params("inpainting", Params))


def train(params: Params) -> None:
    """Train with these parameters in the current folder's `data`."""
    from transformers import CLIPTokenizer

    prepare(params)
    copy_parts(OUT, FROZEN, WORK / "checkpoint.pt")
    tokenizer = CLIPTokenizer.from_pretrained(OUT / "tokenizer")
    text_encoder = open_text_encoder(OUT / "text_encoder", len(tokenizer)).requires_grad_(False).eval()
    text_encoder = text_encoder.to(params.device)
    unet = open_unet((OUT if params.warm_start else TOY) / "unet", CHANNELS).to(params.device)
    before = samples_before(OUT, params)
    trainer = Trainer(
        WORK,
        {"unet": unet},
        params.learning_rate,
        params.steps,
        params.seed,
        samples_before=before,
        minutes=params.minutes,
    )
    prior = InpaintingPrior(frozen_prior(OUT, trainer.averaged("unet"), text_encoder, tokenizer, params.device))
    world, held_out = (World(Path("data/world"), split) for split in ("train", "held-out"))
    latents = Latents(prior.diffusion.vae, torch.from_numpy(world.rgba).to(params.device))
    spoken = SpokenWorld(world, tokenizer, params.device)
    alphas = prior.alphas_cumprod

    def loss_of(generator: torch.Generator) -> Tensor:
        batch, tokens, camera, condition = draw_batch(latents, spoken, prior, params, generator)
        with lower_precision(params.device, params.precision):
            text = text_encoder(tokens).last_hidden_state
            return v_loss(unet, text, batch, camera, alphas, generator, condition)

    run(trainer, params, loss_of, lambda: demonstration(prior, held_out))
    save(trainer, OUT, "StableDiffusionInpaintPipeline", params)


def draw_batch(
    latents: Latents, world: SpokenWorld, prior: InpaintingPrior, params: Params, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A training batch.

    Returns:
        (latents [n, 4, 16, 16], captions as tokens [n, model_max_length], cameras [n, CAMERA_DIM], conditions
        [n, 5, 16, 16]).
    """
    device, n = generator.device, params.batch
    image = torch.randint(len(world.rows), (n,), generator=generator, device=device)
    background = torch.randint(len(BACKGROUNDS), (n,), generator=generator, device=device)
    drops = (params.drop_caption, params.drop_camera, params.drop_view_word, params.drop_background)
    tokens, camera = world.draw(image, background, drops, generator)
    rgba = latents.rgba[image]
    seed = int(torch.randint(2**62, (), generator=generator, device=device))
    masks = random_masks(rgba[..., 3].cpu().float() / 255, torch.Generator().manual_seed(seed))  # one by one, so here
    condition = prior.condition(composite(rgba, latents.colours[background]), masks.to(device))
    return latents[image, background], tokens, camera, condition


def half_masked(world: World, n: int, seed: int) -> tuple[Tensor, Tensor, list[str], Tensor, Tensor]:
    """Different objects with one half of each missing.

    Returns:
        (images [n, 3, h, w], masks [n, 1, h, w], captions [n], cameras [n, CAMERA_DIM], alpha [n, 1, h, w]).
    """
    generator = torch.Generator().manual_seed(seed)
    index = torch.arange(n) * (len(world) // n)
    chosen = torch.randint(len(BACKGROUNDS), (n,), generator=generator)
    rgba = torch.from_numpy(world.rgba[index.numpy()])
    alpha = rgba[..., 3].float() / 255
    views = torch.from_numpy(world.views[index.numpy()])
    words = view_words(toy_orbit(views[:, 0], views[:, 1]))
    names = [list(BACKGROUNDS)[i] for i in chosen.tolist()]
    captions = [full_caption(world.caption(int(index[i])), words[i], names[i]) for i in range(n)]
    masks = torch.stack([half(a, generator) for a in alpha])[:, None].float()
    images = composite(rgba, torch.tensor(list(BACKGROUNDS.values()))[chosen])
    return images, masks, captions, camera_embedding(views[:, 0], views[:, 1]), alpha[:, None]


def demonstration(prior: InpaintingPrior, world: World, n: int = 10, n_steps: int = 20, seed: int = 1) -> Tensor:
    """A picture [3, 3 h, n w]: half-masked objects, what the prior makes of them, what they were."""
    images, masks, captions, camera, _ = half_masked(world, n, seed)
    generator = torch.Generator().manual_seed(seed)
    settings = InpaintSettings(num_inference_steps=n_steps)
    filled = prior.inpaint(images, masks, captions, settings, camera, generator=generator).cpu()
    rows = (torch.where(masks > 0, 0.5, images), filled, images)
    return torch.cat([torch.cat(list(row), dim=-1) for row in rows], dim=-2)


if __name__ == "__main__":
    main()
