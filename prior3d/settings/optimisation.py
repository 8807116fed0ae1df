"""Settings of optimisers and of what a field is made of at its start."""

from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, FractionOfSteps, Resolution, WorldUnits


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OptimiserSettings:
    """Adam, and how its learning rate falls towards the end."""

    learning_rate: float = Field(
        default=0.01, gt=0, le=1, description="of networks and textures; grids take ten times as much"
    )
    betas: tuple[float, float] = Field(default=(0.9, 0.99), description="decay rates of Adam's moments")
    epsilon: float = Field(
        default=1e-6,
        gt=0,
        le=1,
        description="gradients far below it hardly move a value; smaller ones leave colours speckled",
    )
    decay_from: FractionOfSteps = Field(default=1.0, description="when the learning rate begins to fall")
    decay_to: float = Field(
        default=1.0, gt=0, le=1, description="fraction of the learning rate at the end; 1 is no decay"
    )
    max_gradient_norm: float = Field(
        default=0.0,
        ge=0,
        description="a step's gradient of all parameters is scaled down to this length, so that steps of different "
        "losses weigh alike; 0: never",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TrainingSettings:
    """AdamW in the training of a network, its learning rate over time, and the moving average of the weights.

    The learning rate rises over the first steps, stays, and falls by a cosine.
    """

    betas: tuple[float, float] = Field(default=(0.9, 0.99), description="decay rates of AdamW's moments")
    weight_decay: float = Field(default=1e-3, ge=0, le=1, description="of AdamW (Loshchilov and Hutter 2019)")
    max_gradient_norm: float = Field(default=1.0, gt=0, description="longer gradients are scaled down to this length")
    warm_up_steps: int = Field(default=100, ge=1, description="over which the learning rate rises from near 0")
    decay_from: FractionOfSteps = Field(default=0.4, lt=1, description="when the learning rate begins to fall")
    decay_to: float = Field(default=0.01, gt=0, le=1, description="fraction of the learning rate at the end")
    ema_decay: float = Field(
        default=0.999, ge=0, lt=1, description="of the moving average of the weights, which is what is saved"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FieldSettings:
    """An object's radiance field at its start."""

    encoding: Literal["dense", "tiled"] = Field(
        default="dense", description="dense grids (fast on a CPU), or the paper's tiled grids with a network"
    )
    grid_resolutions: tuple[Resolution, ...] = Field(
        default=(17, 33), min_length=1, description="nodes along an axis of each dense grid"
    )
    tiled_finest: int = Field(default=2048, ge=16, le=8192, description="cells along an axis of the finest tiled grid")
    tiled_log2_entries: int = Field(
        default=19, ge=4, le=24, description="rows of each tiled grid's table, as a power of two"
    )
    hidden: int = Field(
        default=0, ge=0, le=1024, description="width of the network after the grid; 0: the grid holds the values"
    )
    density_bias: float = Field(default=-2.0, ge=-20, le=20, description="added to the density's logit everywhere")
    blob_density: float = Field(
        default=5.0, ge=0, le=50, description="height of the initial blob on the density's logit"
    )
    blob_radius: WorldUnits = Field(default=0.4, gt=0, le=2, description="standard deviation of the initial blob")
    ball_radius: WorldUnits = Field(default=1.2, gt=0, le=2, description="nothing exists farther from the origin")
    near_plane: WorldUnits = Field(default=0.0, ge=0, le=2, description="nothing is drawn nearer to a camera")
    occupancy_resolution: int = Field(
        default=0,
        ge=0,
        le=256,
        description="cells along an axis of the grid that says where the field is empty, so that nothing is computed "
        "there; 0: no such grid",
    )
    occupied_samples: int = Field(
        default=0,
        ge=0,
        le=2048,
        description="samples along a ray, spread over where that grid is not empty, in place of n_samples from end to "
        "end; 0: from end to end",
    )
