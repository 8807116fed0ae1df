"""Settings: every knob of the library, as frozen dataclasses that check their own values.

A settings class says of each field its default, its range, its unit and what it does, once. The algorithm that takes it
needs nothing else, and a stage's parameters are made of the same classes. Importing this package loads pydantic only.

Example:
    >>> from prior3d.settings.distillation import SdsSettings
    >>> SdsSettings(guidance_scale=100).guidance_scale
    100.0
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

STRICT = ConfigDict(extra="forbid")  # an unknown name is an error, not a silent default


def rising(pair: tuple[float, float]) -> tuple[float, float]:
    """Check that a range does not fall (raises ValueError)."""
    if pair[0] > pair[1]:
        raise ValueError(f"the first number must not be above the second, found {list(pair)}")
    return pair


Range = Annotated[tuple[float, float], AfterValidator(rising)]
Resolution = Annotated[int, Field(ge=2, le=513)]
Degrees = Annotated[float, Field(json_schema_extra={"unit": "degrees"})]
DegreeRange = Annotated[Range, Field(json_schema_extra={"unit": "degrees"})]
WorldUnits = Annotated[float, Field(json_schema_extra={"unit": "world units"})]
WorldUnitRange = Annotated[Range, Field(json_schema_extra={"unit": "world units"})]
FractionOfSteps = Annotated[float, Field(ge=0, le=1, json_schema_extra={"unit": "of steps"})]
StepRange = Annotated[Range, Field(json_schema_extra={"unit": "of steps"})]
FractionOfT = Annotated[float, Field(ge=0, le=1, json_schema_extra={"unit": "of T"})]
StrengthRange = Annotated[
    tuple[FractionOfT, FractionOfT], AfterValidator(rising), Field(json_schema_extra={"unit": "of T"})
]
Strengths = Annotated[
    tuple[Annotated[float, Field(ge=0, lt=1)], ...], Field(min_length=1, json_schema_extra={"unit": "of T"})
]
ColourRange = Annotated[float, Field(json_schema_extra={"unit": "of colour range"})]
Steps = Annotated[int, Field(json_schema_extra={"unit": "steps"})]
Samples = Annotated[int, Field(json_schema_extra={"unit": "samples"})]
Rays = Annotated[int, Field(json_schema_extra={"unit": "rays"})]
Pixels = Annotated[int, Field(json_schema_extra={"unit": "pixels"})]
PixelLength = Annotated[float, Field(json_schema_extra={"unit": "pixels"})]
Texels = Annotated[int, Field(json_schema_extra={"unit": "texels"})]
Frames = Annotated[int, Field(json_schema_extra={"unit": "frames"})]
Nodes = Annotated[int, Field(json_schema_extra={"unit": "nodes"})]
Decibels = Annotated[float, Field(json_schema_extra={"unit": "dB"})]
Precision = Literal["float32", "bfloat16", "float16"]
Engine = Literal["torch", "openvino"]
GreyLevel = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
