"""Train the toy scorer: a small CLIP that tells which caption an image of the toy world belongs to.

Images over random named backgrounds are told from each other by their captions, which name neither view nor
background. Two images with the same caption are no negatives of each other. A linear head on the same image tower names
the view; it is trained along, on kinds that have a front, because a second network would cost a second pass over the
same images, and the caption's loss alone would teach the tower to forget the view. A second head, which is not kept,
names the facts of the caption one by one: that teaches the tower shapes sooner than contrast alone does. Most of the
training sees a part of the patches (Li et al. 2023, FLIP), those of the object first, and so twice as many images.
"""

from pydantic import Field

from stages.artifacts import RENDERED_DATASET
from stages.training.parameters import Fraction, TrainingParams, threads


class Params(TrainingParams):
    """How the scorer is trained."""

    steps: int = Field(6_000, ge=1, description="optimiser steps", json_schema_extra={"unit": "steps"})
    batch: int = Field(128, ge=2, description="image-caption pairs; each is told from all others of its batch")
    learning_rate: float = Field(1e-3, gt=0, description="highest learning rate of AdamW")
    width: int = Field(128, ge=16, multiple_of=16, description="width of both towers")
    vision_layers: int = Field(4, ge=1, description="layers of the image tower")
    text_layers: int = Field(2, ge=1, description="layers of the text tower")
    patch: int = Field(8, ge=1, description="side of a patch", json_schema_extra={"unit": "pixels"})
    view_weight: float = Field(0.3, ge=0, description="weight of the view classifier's loss")
    facts_weight: float = Field(1.0, ge=0, description="weight of naming kind, colours and pattern")
    blurred_share: Fraction = Field(0.3, description="fraction of images at half resolution, as renders of fields are")
    patches_seen: float = Field(
        0.45, gt=0, le=1, description="fraction of the patches seen at first; those without object are left out first"
    )
    partly_seen_share: Fraction = Field(
        0.75, description="fraction of the steps on a part of the patches; all are seen after it"
    )
    pixel_noise: float = Field(0.03, ge=0, description="largest standard deviation of noise on the pixels")
    threads: int = threads()


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"world": RENDERED_DATASET}
OUTPUT = None
FOLDER = "data/priors/toy-scorer"
