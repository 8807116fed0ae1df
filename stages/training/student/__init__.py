"""Train a feed-forward generator, text to field in one pass, by score distillation of the joint-view prior.

A step draws captions, makes a field of each, renders a ring of four views and asks the prior which clean images it sees
in them under noise. The renders are drawn towards these. No exact object is seen. A share of a step's fields may learn
from views on disk instead: of finished runs (`gather_runs`), or of exact objects (`render_sets`), to compare with.
"""

from pydantic import Field

from prior3d.settings.optimisation import TrainingSettings
from stages.artifacts import JOINT_VIEWS_FOLDER, RENDERED_DATASET
from stages.training.parameters import Fraction, TrainingParams, threads


class Params(TrainingParams):
    """How the generator is trained."""

    optimiser: TrainingSettings = Field(
        TrainingSettings(ema_decay=0.99, warm_up_steps=50), description="AdamW, learning rate over time, average"
    )
    steps: int = Field(2_000, ge=1, description="optimiser steps", json_schema_extra={"unit": "steps"})
    batch: int = Field(2, ge=1, description="captions a step")
    learning_rate: float = Field(1.5e-3, gt=0, description="highest learning rate of AdamW")
    guidance_scale: float = Field(2.5, ge=1, description="of the prior, on the caption; 1 is none")
    guidance_rescale: Fraction = Field(0.5, description="how much of guidance's contrast is taken back; 1: all")
    least_noise: Fraction = Field(
        0.5, description="lowest noise level asked about, of all timesteps, in the second half"
    )
    least_noise_at_start: Fraction = Field(0.85, description="the same at the start; it falls over the first half")
    most_noise: Fraction = Field(0.98, description="highest noise level")
    views_share: Fraction = Field(
        0.0, description="of the fields that learn from the views on disk, not from the prior"
    )
    rays: int = Field(2048, ge=1, le=16384, description="pixels a field and step that are compared")
    n_samples: int = Field(24, ge=4, description="samples a ray")
    opacity_weight: float = Field(2e-3, ge=0, description="weight of the entropy of opacity")
    width: int = Field(192, ge=8, description="of the network's tokens")
    layers: int = Field(4, ge=1, description="of the network's transformer")
    nodes: int = Field(32, ge=8, multiple_of=8, description="of the field's grid, along an axis")
    folder: str = Field("distilled", description="of the student, in data/students")
    threads: int = threads()


PRESETS: dict[str, dict] = {"toy": {}}
INPUTS = {"joint_views": JOINT_VIEWS_FOLDER, "views": RENDERED_DATASET}
OPTIONAL_INPUTS = frozenset({"views"})
OUTPUT = None
FOLDER = "data/students"
