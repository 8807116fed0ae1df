"""Textual inversion: a new word whose meaning, to a prior, is the object of one picture.

Gal et al. 2022, as RealFusion uses it (Melas-Kyriazi et al. 2023, section 3.3): the word begins as the word of the
prior's vocabulary that a scorer finds nearest to the picture; then its row of the text encoder's table, and nothing
else, is moved so that the prior denoises random versions of the picture well.
"""

from typing import Annotated

from pydantic import Field

from prior3d.settings import Range
from stages.artifacts import CONCEPT, OBJECT_IMAGE, PRIOR
from stages.contract.parameters import StageParams

Probability = Annotated[float, Field(ge=0, le=1)]


class Params(StageParams):
    """What the stage can be told; the defaults are the `toy` preset."""

    steps: int = Field(60, ge=0, le=100_000, description="optimisation steps", json_schema_extra={"unit": "steps"})
    batch: int = Field(8, ge=1, le=256, description="versions of the picture a step")
    learning_rate: float = Field(0.05, gt=0, le=1, description="of the word's row")
    weight_decay: float = Field(0.01, ge=0, le=1, description="of the word's row (AdamW)")
    token: str = Field("<object>", description="how prompts write the word")
    initial_word: str = Field(
        "",
        max_length=80,
        description="word that it begins as (up to n_rows words); empty: the one that the scorer finds nearest, or of "
        "several rows the two that scorer and prior agree on",
    )
    n_candidates: int = Field(4000, ge=1, description="most frequent words of the vocabulary that the scorer looks at")
    n_rows: int = Field(
        5,
        ge=1,
        le=8,
        description="tokens that the word stands for; small text encoders need one a word",
    )
    templates: tuple[str, ...] = Field(("a {}",), min_length=1, description="sentences that hold the word at {}")
    view_words: bool = Field(True, description="name the view (front, side, back, overhead) in the sentences")
    camera_conditioning: bool = Field(True, description="give the picture's camera to priors that take one")
    named_backgrounds: bool = Field(True, description="put white, grey and black behind, and name it")
    rotation_deg: float = Field(
        5.0, ge=0, le=180, description="largest turn of a version", json_schema_extra={"unit": "degrees"}
    )
    scale: Range = Field((0.93, 1.07), description="smallest and largest enlargement of a version")
    mirrored: Probability = Field(0.5, description="how often a version is a mirror image, seen from the other side")
    jitter: float = Field(0.04, ge=0, le=1, description="largest change of a colour channel's brightness")
    grey: Probability = Field(0.0, description="how often a version has no colours")
    blurred: Probability = Field(0.1, description="how often a version is blurred")
    as_released: bool = Field(
        False, description="RealFusion's code, not its paper: versions reach the encoder in [0, 1], not in [-1, 1]"
    )
    blur_pixels: float = Field(
        0.25, ge=0, le=20, description="the strongest blur's standard deviation", json_schema_extra={"unit": "pixels"}
    )


SENTENCES = (
    "a photo of a {}", "a picture of a {}", "a rendering of a {}", "a close-up photo of a {}", "a photo of one {}",
    "a clean photo of the {}", "a bright photo of the {}", "a dark photo of a {}", "a good photo of the {}",
    "a cropped photo of a {}",
)  # fmt: skip
PRESETS: dict[str, dict] = {
    "toy": {},
    "paper": {
        "steps": 3000,
        "batch": 4,  # one, accumulated over four
        "learning_rate": 2e-3,
        "n_rows": 1,
        "templates": SENTENCES,
        "view_words": False,
        "named_backgrounds": False,
        "rotation_deg": 10.0,
        "scale": (0.85, 1.15),
        "grey": 0.1,
        "blur_pixels": 2.0,
    },
}
INPUTS = {"image": OBJECT_IMAGE, "prior": PRIOR, "scorer": PRIOR}
OPTIONAL_INPUTS = frozenset({"scorer"})
OUTPUT = CONCEPT
