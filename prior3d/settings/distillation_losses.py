"""Which loss score distillation takes: one class for each, told apart by `kind`."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from prior3d.settings import STRICT, Fraction, FractionOfSteps, FractionOfT


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SdsLoss:
    """Score distillation sampling (DreamFusion, Poole et al. 2022)."""

    kind: Literal["sds"] = Field(default="sds", description="which loss")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CsdLoss:
    """Classifier score distillation (Yu et al. 2023): only what guidance adds."""

    kind: Literal["csd"] = Field(default="csd", description="which loss")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class IsmLoss:
    """Interval score matching (LucidDreamer, Liang et al. 2023): two points of one DDIM inversion."""

    kind: Literal["ism"] = Field(default="ism", description="which loss")
    interval_start: FractionOfT = Field(default=0.1, gt=0, description="between the two noise levels, at the start")
    interval_end: FractionOfT = Field(default=0.025, gt=0, description="the same once it has settled")
    settles_at: FractionOfSteps = Field(
        default=0.3, description="until when the interval goes linearly from its start to its end"
    )
    inversion_step: FractionOfT = Field(
        default=0.2, gt=0, description="longest step of the DDIM inversion below the lower noise level"
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class VsdLoss:
    """Variational score distillation (ProlificDreamer, Wang et al. 2023): a LoRA learns what the renders look like."""

    kind: Literal["vsd"] = Field(default="vsd", description="which loss")
    particles: int = Field(
        default=1,
        ge=1,
        le=16,
        description="objects made together, one drawn a step; the first is the result. Only for stages that start from "
        "nothing",
    )
    rank: int = Field(default=4, ge=1, le=128, description="rank of the LoRA on the attention of the U-Net")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="of the LoRA")
    recompute: bool = Field(
        default=False,
        description="compute the U-Net's blocks again in the LoRA's backward pass: the same gradients with less memory "
        "and more work",
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class X0Loss:
    """The clean image in place of the noise, with its contrast taken back (MVDream, Shi et al. 2023)."""

    kind: Literal["x0"] = Field(default="x0", description="which loss")
    rescale: Fraction = Field(
        default=0.5,
        description="how far the guided clean images' standard deviation, over all views of a step, is drawn to the "
        "unguided ones'",
    )


DistillationLoss = Annotated[SdsLoss | CsdLoss | IsmLoss | VsdLoss | X0Loss, Field(discriminator="kind")]
