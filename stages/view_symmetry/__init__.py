"""Whether the object looks alike on both sides of a vertical plane: then every input view counts twice.

Beyond SparseFusion's paper. Planes come from the outlines of the inputs (`prior3d.reconstruction.symmetry`). Whether
they help is measured: each input is left out in turn. A field is fitted to the others, then for each plane to the
others and their mirror images. Planes with which the left-out view comes out worse are dropped. The scores are kept:
`view_features` compares the prior with them. Without masks, or with one input, there are no planes.
"""

from typing import ClassVar

from pydantic import Field

from prior3d.settings import Decibels, Pixels, Steps
from prior3d.settings.reconstruction import FitSettings
from stages.artifacts import POSED_IMAGES, SYMMETRY
from stages.contract.parameters import StageParams
from stages.contract.presets import FIT_NAMES


class Params(StageParams):
    """What the stage can be told; `fit` is for the fits that leave an input out."""

    max_planes: int = Field(3, ge=0, le=8, description="mirror planes at most; 0: the object is not taken as symmetric")
    tolerance: float = Field(
        0.003,
        ge=0,
        le=1,
        description="how much less of the outlines a further plane may explain than the best plane",
        json_schema_extra={"unit": "of their pixels"},
    )
    weight: float = Field(
        0.5, gt=0, le=1, description="how often rays of a mirror image are drawn, relative to those of an input view"
    )
    leave_one_out: int = Field(3, ge=0, le=10, description="inputs left out in turn; 0: planes and prior unmeasured")
    score_tolerance_db: Decibels = Field(
        0.5,
        ge=0,
        le=100,
        description="planes that show left-out inputs this much worse than the best plane are dropped",
    )
    score_size: Pixels = Field(64, ge=8, le=1024, description="side at which left-out inputs are compared")
    fit_steps: Steps = Field(100, ge=1, le=100_000, description="steps of each fit that leaves an input out")
    fit: FitSettings = FitSettings()

    renamed: ClassVar[dict[str, str]] = FIT_NAMES | {"planes": "max_planes", "left_out": "leave_one_out"}


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {"max_planes": 0, "leave_one_out": 0, "fit": {"n_samples": 128, "resolutions": (17, 33, 65, 129)}},
}
INPUTS = {"views": POSED_IMAGES}
OUTPUT = SYMMETRY
