"""Gaussian splats out of a file of another program: read, checked, and put where meshes are made.

A file names no cameras. So the splats get cameras on three rings round the unit box, which the mesh is made from.
"""

from typing import Literal

from pydantic import Field

from prior3d.settings import Fraction, Pixels
from stages.artifacts import FIELD, SPLAT_FILE
from stages.contract.parameters import StageParams


class Params(StageParams):
    """What the stage can be told."""

    placement: Literal["auto", "keep", "box"] = Field(
        "auto",
        description="keep: where the file has them; box: moved and scaled into the unit box; auto: kept if the box "
        "already holds most of them",
    )
    inside: Fraction = Field(
        0.96, gt=0, description="share of the Gaussians that counts as most; box: so many lie inside along each axis"
    )
    extent: Literal["bounded", "unbounded"] = Field(
        "bounded", description="bounded: an object with nothing behind it; unbounded: a place, drawn over grey"
    )
    image_size: Pixels = Field(
        384, ge=32, le=2048, description="side of the images whose depths and colours make the mesh"
    )
    preview_size: Pixels = Field(256, ge=32, le=2048, description="side of each image of the preview")


PRESETS: dict[str, dict] = {"toy": {}, "paper": {"image_size": 800}}
INPUTS = {"splats": SPLAT_FILE}
OUTPUT = FIELD
