"""Scores of the inpainting and the instruct prior on held-out objects: for cards, `priors check` and benchmarks.

Every PSNR is the mean over images of the PSNR in dB of the pixels that are meant; an image counts at most 50 dB.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from prior3d.dataset_update.consensus import agreed_edit
from prior3d.diffusion.inpainting import InpaintingPrior, InpaintSettings
from prior3d.diffusion.instruct import EditSettings, InstructPrior
from prior3d.diffusion.prior import DiffusionPrior
from stages.training import render_edits, render_world
from stages.training.common import Edits, World
from stages.training.inpainting import half_masked
from stages.training.instruct import held_out_edits

BATCH = 16
SAME = 1.5 / 255  # colours that differ by no more are the same pixel, but for rounding


def held_out_world(n_objects: int) -> World:
    """The first held-out objects of the toy world, one view each, rendered now."""
    with tempfile.TemporaryDirectory() as folder:
        params = render_world.ViewParams.model_validate({"views_per_object": 1, "workers": 0})
        render_world.render_objects(Path(folder), "held-out", n_objects, params, rng_key=3, chunk=n_objects)
        return World(Path(folder), "held-out")


def held_out_edit_renders(n_edits: int) -> Edits:
    """The first held-out edits of the toy world, one view each, rendered now."""
    with tempfile.TemporaryDirectory() as folder:
        params = render_edits.Params.model_validate({"views_per_edit": 1, "workers": 0})
        render_edits.render_pairs(Path(folder), "held-out", n_edits, params, chunk=n_edits)
        return Edits(Path(folder), "held-out")


@torch.no_grad()
def inpainting_scores(
    prior: InpaintingPrior, world: World, n: int, guidance_scale: float = 2.0, n_steps: int = 25, seed: int = 0
) -> dict[str, float]:
    """Fill the missing half of `n` objects and compare with what was there.

    Returns:
        `hole_psnr_db`: of the hole; `object_in_hole_psnr_db`: of the object's pixels in it; `known_psnr_db`: of the
        pixels outside it, as they come out of the decoder; `vae_known_psnr_db`: the autoencoder's own of the same.
    """
    images, masks, captions, camera, alpha = half_masked(world, n, seed)
    labels = camera if prior.camera_conditioned else None
    generator = torch.Generator().manual_seed(seed)

    def fill(part: slice) -> Tensor:
        return prior.inpaint(
            images[part],
            masks[part],
            captions[part],
            InpaintSettings(guidance_scale, n_steps, keep_known=False),
            None if labels is None else labels[part],
            generator=generator,
        )

    filled, own = _in_batches(fill, n), reconstructed(prior, images)
    hole, known = masks > 0, masks == 0
    return {
        "hole_psnr_db": psnr_where(filled, images, hole),
        "object_in_hole_psnr_db": psnr_where(filled, images, hole & (alpha > 0.5)),
        "known_psnr_db": psnr_where(filled, images, known),
        "vae_known_psnr_db": psnr_where(own, images, known),
    }


@torch.no_grad()
def instruct_scores(
    prior: InstructPrior,
    edits: Edits,
    n: int,
    guidance_scale: float = 3.0,
    image_guidance_scale: float = 1.5,
    n_steps: int = 20,
    seed: int = 0,
) -> dict[str, float]:
    """Carry out `n` colour and pattern edits and compare with the exact edited renders.

    Returns:
        `edit_psnr_db`: of the whole image; `nothing_done_psnr_db`: the same of the unedited image, which an edit has to
        beat; `edited_pixels_psnr_db`, `unedited_pixels_psnr_db`: of the pixels that the exact edit changes, and of the
        rest; `agreed_*`: the same three of what several answers agree on (`agreed_edit`), with its own guidance;
        `vae_psnr_db`, `vae_unedited_pixels_psnr_db`: the autoencoder's own of the edited render.
    """
    before, after, instructions, camera, _ = held_out_edits(edits, n, seed, ("colour", "pattern"))
    labels = camera if prior.camera_conditioned else None
    generator = torch.Generator().manual_seed(seed)

    def edit(part: slice) -> Tensor:
        return prior.edit(
            before[part],
            before[part],
            instructions[part],
            EditSettings(guidance_scale, image_guidance_scale, n_steps),
            None if labels is None else labels[part],
            generator=generator,
        )

    agreed_generator = torch.Generator().manual_seed(seed)

    def agree(part: slice) -> Tensor:
        told = None if labels is None else labels[part]
        return agreed_edit(prior, before[part], instructions[part], told, generator=agreed_generator)

    edited, agreed, own = _in_batches(edit, n), _in_batches(agree, n), reconstructed(prior, after)
    changed = (before - after).abs().amax(dim=1, keepdim=True) > SAME
    everywhere = torch.ones_like(changed)
    return {
        "edit_psnr_db": psnr_where(edited, after, everywhere),
        "nothing_done_psnr_db": psnr_where(before, after, everywhere),
        "edited_pixels_psnr_db": psnr_where(edited, after, changed),
        "unedited_pixels_psnr_db": psnr_where(edited, after, ~changed),
        "agreed_edit_psnr_db": psnr_where(agreed, after, everywhere),
        "agreed_edited_pixels_psnr_db": psnr_where(agreed, after, changed),
        "agreed_unedited_pixels_psnr_db": psnr_where(agreed, after, ~changed),
        "vae_psnr_db": psnr_where(own, after, everywhere),
        "vae_unedited_pixels_psnr_db": psnr_where(own, after, ~changed),
    }


def reconstructed(prior: DiffusionPrior, images: Tensor) -> Tensor:
    """Images [n, 3, h, w] as the autoencoder gives them back."""
    return _in_batches(lambda part: prior.decode(prior.encode(images[part].to(prior.device))), len(images))


def psnr_where(first: Tensor, second: Tensor, where: Tensor) -> float:
    """Mean over images [n, 3, h, w] of the PSNR in dB of some pixels [n, 1, h, w]; images without any do not count."""
    counted = where.flatten(1).any(dim=1)
    weight = where[counted].float()
    error = ((first - second)[counted].square() * weight).sum(dim=(1, 2, 3)) / (3 * weight.sum(dim=(1, 2, 3)))
    return float((-10 * error.clamp(min=1e-5).log10()).mean())


def _in_batches(make: Callable[[slice], Tensor], n: int) -> Tensor:
    return torch.cat([make(slice(first, min(first + BATCH, n))).cpu() for first in range(0, n, BATCH)])
