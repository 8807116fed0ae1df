"""Parameters that several trainings share."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from prior3d.settings.optimisation import TrainingSettings
from stages.contract.parameters import StageParams

Precision = Literal["float32", "bfloat16"]
Fraction = Annotated[float, Field(ge=0, le=1)]


def precision() -> Any:
    """The field of a training that can use bfloat16."""
    return Field("float32", description="of the networks' layers; weights, geometry and losses stay in float32")


def threads() -> Any:
    """The field of a training in one process."""
    return Field(2, ge=1, description="CPU threads")


class TrainingParams(StageParams):
    """How any network is trained.

    A checkpoint goes on although a parameter in `not_in_key` changed: these say where and for how long, not what.
    """

    not_in_key: ClassVar[frozenset[str]] = frozenset({"minutes", "device", "threads", "preview_steps"})

    steps: int = Field(10_000, ge=1, description="optimiser steps", json_schema_extra={"unit": "steps"})
    minutes: float | None = Field(
        None, gt=0, allow_inf_nan=False, json_schema_extra={"unit": "minutes"},
        description="time after which the training ends if its steps are not done; None: no limit",
    )  # fmt: skip
    learning_rate: float = Field(1e-3, gt=0, description="highest learning rate of AdamW")
    optimiser: TrainingSettings = Field(TrainingSettings(), description="AdamW, learning rate over time, average")
    warm_start: bool = Field(False, description="begin with this training's own weights in data/priors, not with noise")
    family: str = Field(
        "toy", description="of priors, in data/priors; another one begins with the toy family's weights (warm_start)"
    )
    device: str = Field("cpu", description="auto, cpu, cuda, cuda:N or mps")


class ConditionalParams(TrainingParams):
    """How a prior that begins with the text-to-image model is trained."""

    steps: int = Field(8_000, ge=1, description="optimiser steps", json_schema_extra={"unit": "steps"})
    batch: int = Field(32, ge=1, description="samples a step")
    learning_rate: float = Field(5e-4, gt=0, description="highest learning rate of AdamW")
    precision: Precision = precision()
    drop_camera: Fraction = Field(0.15, description="fraction of samples without camera")
    warm_start: bool = Field(False, description="begin with this prior's own weights on disk, not with text-to-image")
    threads: int = threads()


class CardParams(StageParams):
    """What every stage that scores a prior and writes its card can be told."""

    threads: int = Field(2, ge=1, description="CPU threads")
