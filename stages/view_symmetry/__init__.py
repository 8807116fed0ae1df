"""Whether the object looks alike on both sides of a vertical plane: then every input view counts twice.

Beyond SparseFusion's paper. Planes come from the outlines of the inputs (`prior3d.reconstruction.symmetry`). Whether
they help is measured: each input is left out in turn, and a field is fitted to the others, then for each plane to the
others and their mirror images; planes with which the view left out comes out worse are dropped. How well it came out
is kept, for `view_features` to hold the prior against. Without masks, or with one input, there are no planes.
"""

from pydantic import Field

from stages.artifacts import POSED_IMAGES, SYMMETRY
from stages.contract.parameters import FitParams


class Params(FitParams):
    """What the stage can be told; those of a fit are for the fits to inputs without the one left out."""

    planes: int = Field(3, ge=0, le=8, description="mirror planes at most; 0: the object is not taken for symmetric")
    tolerance: float = Field(
        0.003, ge=0, le=1, description="how much worse than the best plane a further one may fit the outlines",
        json_schema_extra={"unit": "of their pixels"},
    )  # fmt: skip
    weight: float = Field(
        0.5, gt=0, le=1, description="how often rays of a mirror image are drawn, beside those of an input view"
    )
    left_out: int = Field(3, ge=0, le=10, description="inputs left out to measure; 0: planes and prior unmeasured")
    fit_steps: int = Field(
        100, ge=1, le=100_000, description="steps of the fits without an input",
        json_schema_extra={"unit": "steps"},
    )  # fmt: skip


PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {"planes": 0, "left_out": 0, "n_samples": 128, "resolutions": (17, 33, 65, 129)},
}
INPUTS = {"views": POSED_IMAGES}
OUTPUT = SYMMETRY
