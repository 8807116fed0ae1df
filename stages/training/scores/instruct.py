"""Scores of the instruct prior on held-out edits, and a sheet of samples."""

import torch
from torch import Tensor

from prior3d.dataset_update.consensus import consensus_edit
from prior3d.diffusion.instruct import EditSettings, InstructPrior
from stages.artifacts.datasets import EditDataset
from stages.training.datasets.held_out import EditPairs, edit_pairs
from stages.training.scores.pixels import in_batches, psnr_where, reconstructed, rows_of

SAME = 1.5 / 255  # colours that differ by no more are the same pixel, but for rounding


@torch.no_grad()
def instruct_scores(
    prior: InstructPrior,
    edits: EditDataset,
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
        rest; `agreed_*`: the same three of what several answers agree on (`consensus_edit`), with its own guidance;
        `vae_psnr_db`, `vae_unedited_pixels_psnr_db`: the autoencoder's own of the edited render.
    """
    pairs = edit_pairs(edits, n, seed, ("colour", "pattern"))
    cameras = pairs.cameras if prior.camera_conditioned else None
    generator, agreed_generator = (torch.Generator().manual_seed(seed) for _ in range(2))

    def edit(part: slice) -> Tensor:
        return prior.edit(
            pairs.before[part],
            pairs.before[part],
            pairs.instructions[part],
            EditSettings(guidance_scale, image_guidance_scale, n_steps),
            None if cameras is None else cameras[part],
            generator=generator,
        )

    def agree(part: slice) -> Tensor:
        camera = None if cameras is None else cameras[part]
        return consensus_edit(prior, pairs.before[part], pairs.instructions[part], camera, generator=agreed_generator)

    edited, agreed = in_batches(edit, n), in_batches(agree, n)
    return _compared(pairs, edited, agreed, reconstructed(prior, pairs.after))


def _compared(pairs: EditPairs, edited: Tensor, agreed: Tensor, own: Tensor) -> dict[str, float]:
    before, after = pairs.before, pairs.after
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


def sample_sheet(prior: InstructPrior, edits: EditDataset, n: int = 10, n_steps: int = 20, seed: int = 1) -> Tensor:
    """A picture [3, 4 h, n w]: held-out objects, one edit of each, what several agree on, the exact edits."""
    pairs = edit_pairs(edits, n, seed, ("colour", "pattern", "category"))
    before, instructions, cameras = pairs.before, pairs.instructions, pairs.cameras
    generator = torch.Generator().manual_seed(seed)
    settings = EditSettings(guidance_scale=3.0, num_inference_steps=n_steps)
    edited = prior.edit(before, before, instructions, settings, cameras, generator=generator)
    agreed = consensus_edit(prior, before, instructions, cameras, generator=generator)
    return rows_of(before, edited.cpu(), agreed.cpu(), pairs.after)
