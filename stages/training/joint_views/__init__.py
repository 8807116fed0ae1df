"""Train the joint-view prior: the text-to-image model, whose frames see each other, and some of which are given.

A step's sets are of several kinds: the ring of four; the ring and a given view (in some sets flipped too, as a second
given view from the mirrored azimuth); five views, some given; free views at random cameras; nine to thirteen views;
single views, which keep what the text-to-image model knows. A set has one timestep; given views stand at 0 and count
for nothing in the loss. The text is left out in half of the sets with given views, so that an image alone is enough;
text encoder and autoencoder are the text-to-image prior's; the former may learn too (`train_text`).
"""

from pydantic import Field

from stages.artifacts import RENDERED_DATASET, TEXT_TO_IMAGE_FOLDER
from stages.training.parameters import Fraction, Precision, TrainingParams, precision, threads


class Params(TrainingParams):
    """How the joint-view prior is trained."""

    batch: int = Field(8, ge=1, description="sets a step", json_schema_extra={"unit": "sets"})
    learning_rate: float = Field(5e-4, gt=0, description="highest learning rate of AdamW")
    precision: Precision = precision()
    shares: tuple[float, float, float, float, float, float] = Field(
        (0.2, 0.35, 0.15, 0.05, 0.1, 0.15),
        description="of the kinds of sets: ring, one given, some given, free, many, single",
    )
    drop_caption: Fraction = Field(0.1, description="fraction of sets without caption where no view is given")
    drop_caption_given: Fraction = Field(0.5, description="fraction of sets without caption where views are given")
    drop_view_word: Fraction = Field(0.5, description="fraction of captions without view word")
    drop_background: Fraction = Field(0.1, description="fraction of captions without background")
    drop_camera: Fraction = Field(0.1, description="fraction of single views, and of sets' given views, without camera")
    mirror_share: Fraction = Field(0.25, description="of sets with one given view: given it flipped as well")
    timestep_power: float = Field(0.75, gt=0, description="timesteps are T u^this of uniform u; below 1, more noise")
    train_text: bool = Field(False, description="train the text encoder too; False: it stays text-to-image's")
    threads: int = threads()


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"sets": RENDERED_DATASET, "text_to_image": TEXT_TO_IMAGE_FOLDER}
OUTPUT = None
FOLDER = "data/priors/toy-mv"
