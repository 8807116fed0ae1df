"""A captured scene edited by an instruction: its pictures are replaced one by one while the field is fitted to them.

Haque et al. 2023, Instruct-NeRF2NeRF, section 3.2: every few steps a picture is rendered from the field as it is now,
noised to a random level, and denoised by InstructPix2Pix, which is told the instruction and shows the untouched
photograph; the result takes the photograph's place in the dataset. The other variants are that paper's comparisons.

By default the edits of all pictures are averaged over the surfaces they show before the field is fitted to them, and
kept where they are strong and agree (`consensus`): a weak prior is right on average only.
"""

from typing import Literal

from pydantic import Field

from stages.artifacts import FIELD, POSED_IMAGES, PRIOR, PROMPT
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    variant: Literal["iterative", "one_time", "per_frame", "sds"] = Field(
        "iterative",
        description="the method, or what it is compared with: all pictures edited once, or edited and no field fitted "
        "to them, or score distillation",
    )
    steps: int = Field(180, ge=1, le=1_000_000, description="optimiser steps")
    edit_every: int = Field(4, ge=1, le=100_000, description="iterative: steps between two edits")
    guidance_scale: float = Field(3.0, ge=0, le=100, description="how much the instruction is followed")
    image_guidance_scale: float = Field(1.5, ge=0, le=100, description="how much the photograph is held to")
    noise_range: tuple[float, float] = Field(
        (0.98, 0.98), description="range of the noise level, uniform", json_schema_extra={"unit": "of T"}
    )
    denoising_steps: int = Field(10, ge=1, le=1000, description="DDIM steps of one edit")
    transfer: bool = Field(
        True, description="apply what the prior changed to the photograph, so that its autoencoder costs no detail"
    )
    least_change: float = Field(
        0.1,
        ge=0,
        le=1,
        description="with transfer, without consensus: mean changes below it are left out",
        json_schema_extra={"unit": "of colour range"},
    )
    relevance_threshold: float = Field(
        0.0,
        ge=0,
        le=1,
        description="edit only where the prior's prediction differs because of the instruction, by such a share of the "
        "greatest difference; 0: everywhere",
    )
    relevance_samples: int = Field(4, ge=1, le=100, description="noises a picture from which that is judged")
    relevance_noise: float = Field(
        0.8, ge=0, le=1, description="level of that noise", json_schema_extra={"unit": "of T"}
    )
    consensus: bool = Field(
        True,
        description="average what all pictures' edits change over the surfaces they show; iterative: all pictures "
        "are then edited together, as often as each would have its turn",
    )
    guesses: int = Field(
        4,
        ge=0,
        le=100,
        description="with consensus: answers of each picture in one step, without guidance, that tell where it is "
        "edited; 0: none",
    )
    guess_noise: float = Field(
        0.8, gt=0, le=1, description="noise level of that step", json_schema_extra={"unit": "of T"}
    )
    least_likely: float = Field(
        0.3,
        ge=0,
        le=1,
        description="with guesses: surfaces of like colours are left as they are where these make less than such a "
        "share of the edit",
    )
    least_share: float = Field(
        0.6,
        ge=0,
        le=1,
        description="with consensus: changes weaker, or less agreed on, than such a share of the strongest are "
        "left out",
    )
    like_colours: float = Field(
        0.1,
        ge=0,
        le=1,
        description="with least_share: surfaces of like colours are changed, or left, together; 0: each by itself",
        json_schema_extra={"unit": "of colour range"},
    )
    own_share: float = Field(
        0.5, ge=0, le=1, description="with like_colours: how much each place counts by itself, beside its like"
    )
    edits_averaged: int = Field(1, ge=1, le=100, description="edits, of different noise, whose mean is an edit")
    final_noise: float = Field(
        0.0, ge=0, le=1, description="what the upper end of noise_range goes to, linearly; 0: it stays",
        json_schema_extra={"unit": "of T"},
    )  # fmt: skip
    kept_share: float = Field(0.0, ge=0, lt=1, description="iterative: how much of a picture's last edit is kept")
    edit_size: int = Field(
        0, ge=0, le=2048, description="shorter side of pictures shown to the prior; 0: the prior's own for an embedded "
        "one, else the photograph's", json_schema_extra={"unit": "pixels"},
    )  # fmt: skip
    tell_camera: Literal["auto", "yes", "no"] = Field(
        "auto", description="tell a prior that takes one the camera; auto: if it stands where the toy world's do"
    )
    background: float = Field(1.0, ge=0, le=1, description="grey level that objects are shown over")
    rays_per_step: int = Field(2048, ge=16, le=262_144, description="rays a step")
    segments: int = Field(64, ge=8, le=1024, description="coarse pieces of a ray")
    samples_per_segment: int = Field(3, ge=1, le=32, description="samples in a piece")
    density_rate: float = Field(0.05, ge=0, le=10, description="Adam's learning rate of density logits")
    colour_rate: float = Field(0.05, gt=0, le=10, description="Adam's learning rate of colours and sky")
    decay_to: float = Field(0.05, gt=0, le=1, description="what both fall to, as a fraction; 1: they stay")
    smoothness_weight: float = Field(0.1, ge=0, description="weight of the differences between neighbouring nodes")
    smooth_change: bool = Field(True, description="colours: those of what was added to them")
    perceptual_weight: float = Field(0.0, ge=0, description="weight of LPIPS on patches; needs perceptual_weights")
    perceptual_weights: str = Field("", description="file with VGG16 and LPIPS weights (none is shipped)")
    patch: int = Field(32, ge=16, le=512, description="side of those patches", json_schema_extra={"unit": "pixels"})
    held_out_every: int = Field(10, ge=0, le=1000, description="as in scene_fit: these views are not edited")
    preview_scales: tuple[tuple[float, ...], tuple[float, ...]] = Field(
        ((1.0, 1.5, 2.0), (2.0, 3.0, 5.0)), description="image and text guidance of the preview's grid; empty: none"
    )


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {
        "steps": 15_000,
        "edit_every": 10,
        "noise_range": (0.02, 0.98),
        "rays_per_step": 16_384,
        "segments": 160,
        "guidance_scale": 7.5,
        "preview_scales": ((1.2, 1.5, 1.8), (5.0, 7.5, 10.0)),
        "denoising_steps": 20,
        "transfer": False,
        "consensus": False,
        "smooth_change": False,
        "decay_to": 1.0,
        "smoothness_weight": 0.02,
        "density_rate": 0.1,
    },
}
INPUTS = {
    "field": FIELD,
    "images": POSED_IMAGES,
    "instruction": PROMPT,
    "prior": PRIOR,
}
OUTPUT = FIELD
