"""Score a prior of the toy world on held-out objects that are rendered now, and say what it is good for."""

from typing import Any

import torch

from prior3d.diffusion.known_words import WORD_LEVEL_VOCABULARY
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.diffusion.views import ViewsPrior
from prior3d.toyworld.palette import BACKGROUNDS
from stages.training.datasets.compositing import composite
from stages.training.datasets.held_out import held_out
from stages.training.datasets.rendered_now import held_out_edits, held_out_sets, held_out_views, held_out_world
from stages.training.scores.denoising import denoising_scores
from stages.training.scores.inpainting import inpainting_scores
from stages.training.scores.instruct import instruct_scores
from stages.training.scores.joint_views import given_views_scores, v_errors
from stages.training.scores.text_to_image import autoencoder_scores
from stages.training.scores.views import MOST_INPUTS, novel_view_scores, trials

TOY_IMAGE_SIZE = 64


def is_toy(prior: DiffusionPrior) -> bool:
    """Whether networks are of the toy world: its image size, and a vocabulary that knows only its words."""
    return prior.image_size == TOY_IMAGE_SIZE and len(prior.diffusion.prompts.tokenizer) < WORD_LEVEL_VOCABULARY


def toy_scores(role: str, prior: Any, n: int = 48) -> dict[str, float]:
    """The scores that fit a role, on the first `n` held-out objects or edits.

    Args:
        role: as `prior3d.diffusion.folders.role_of` tells it.
        prior: as its loader gives it.
        n: a multiple of 16.
    """
    if role == "instruct":
        return instruct_scores(prior, held_out_edits(2 * n), n)
    if role == "views":
        return views_scores(prior, n)
    if role == "joint_views":
        sets = held_out_sets(n)
        return v_errors(prior, sets, n) | given_views_scores(prior, sets, n // 2, counts=(1,))
    world = held_out_world(n)
    if role == "inpainting":
        return inpainting_scores(prior, world, n)
    if role == "scorer":
        images = composite(torch.from_numpy(world.rgba), torch.tensor(BACKGROUNDS["white"]).expand(n, 3))
        return {"r_precision": prior.r_precision(images, torch.arange(n), world.captions)}
    return denoising_scores(prior, world, n) | autoencoder_scores(prior, held_out(world, n // 2))


def views_scores(prior: ViewsPrior, n: int, n_inputs: int = 3) -> dict[str, float]:
    """Novel views of three inputs: `n` of them, eight of an object, of objects that are rendered now."""
    objects = n // 8
    world = held_out_views(objects, MOST_INPUTS + 8)
    return novel_view_scores(prior, world, trials(world, objects, 8, seed=0), n_inputs, n_steps=20, seed=0)


def verdict(role: str, scores: dict[str, float]) -> str:
    """One sentence: what a prior with these scores is good for."""
    if role == "inpainting":
        return _said(scores["hole_psnr_db"] >= 20, "fills holes in pictures of toy objects")
    if role == "instruct":
        better = scores["agreed_edit_psnr_db"] - scores["nothing_done_psnr_db"]
        if better <= 0:
            return "its edits are farther from the exact ones than the pictures it was given: not good for editing"
        return _said(scores["agreed_edit_psnr_db"] >= 23, "edits pictures of toy objects as it is told")
    if role == "views":
        return _said(scores["sample_psnr_db_3"] >= 23, "shows other views of toy objects in three posed pictures")
    if role == "joint_views":
        told = _said(
            scores["given_1_captioned_psnr_db"] >= 24, "shows other sides of a toy object in a captioned image"
        )
        alone = scores["given_1_uncaptioned_psnr_db"] >= 22
        return f"{told}; without a caption {'too' if alone else 'they come out torn'}"
    if role == "scorer":
        return _said(scores["r_precision"] >= 0.97, "tells which caption a picture of a toy object belongs to")
    with_camera, opposite = scores["v_error_right_camera"], scores["v_error_opposite_camera"]
    told = "and tells views apart" if with_camera < opposite else "but does not tell a view from the opposite one"
    reads = scores["v_error_no_camera"] < scores["v_error_no_caption"]
    return f"{_said(reads, 'makes toy objects from words')}, {told}"


def _said(reached: bool, what: str) -> str:
    return f"{what}, as well as this project asks" if reached else f"{what}, but less well than this project asks"
