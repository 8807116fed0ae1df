"""What stages' parameters are made of: the base of every model, common groups, and errors that name a wrong key."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict

from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the first number must not be above the second, found {list(pair)}")
    return pair


Resolution = Annotated[int, Field(ge=2, le=513)]
Range = Annotated[tuple[float, float], AfterValidator(_rising)]
DEGREES: JsonDict = {"unit": "degrees"}


class StageParams(BaseModel):
    """Base of every stage's parameters: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of every random choice of this stage")


def check_params(model: type[BaseModel], values: dict[str, Any], where: str) -> BaseModel:
    """Validate parameters.

    Args:
        model: the stage's `Params`.
        values: key to value.
        where: what to call them in the message, e.g. the stage's name.

    Raises:
        Prior3dError: every wrong key and value, with what was found, what is allowed and near names.
    """
    try:
        return model(**values)
    except ValidationError as error:
        raise Prior3dError("; ".join(_explain(model, where, e) for e in error.errors())) from None


def _explain(model: type[BaseModel], where: str, problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = f"known: {', '.join(model.model_fields)}"
        hint = did_you_mean(name, model.model_fields, known, shown=lambda near: f"{where}.{near}")
        return f"{where}.{name}: there is no such parameter; {hint}"
    message = problem["msg"].removeprefix("Value error, ")
    if not name:  # several parameters that do not fit together; the message names them
        return f"{where}: {message}"
    return f"{where}.{name}: {message[:1].lower()}{message[1:]}; found {problem.get('input')!r}"


class GuidedParams(StageParams):
    """Parameters of every stage that asks a text-to-image prior about drawn views; defaults are the toy prior's."""

    guidance_scale: float = Field(3.0, ge=1, le=200, description="classifier-free guidance s; 1 is none")
    timestep_min: float = Field(0.02, ge=0, le=1, description="lowest noise level", json_schema_extra={"unit": "of T"})
    timestep_max: float = Field(0.98, ge=0, le=1, description="highest noise level", json_schema_extra={"unit": "of T"})
    timestep_max_end: float = Field(
        0.98,
        ge=0,
        le=1,
        description="highest noise level at the end (falls linearly)",
        json_schema_extra={"unit": "of T"},
    )
    weighting: Literal["one_minus_alpha", "sqrt_alpha_one_minus_alpha", "constant"] = Field(
        "one_minus_alpha", description="weight w(t) of the score distillation gradient"
    )
    views_per_step: int = Field(4, ge=1, le=64, description="views rendered a step, spread evenly round the object")
    negative_prompt: str = Field("", max_length=1000, description="what guidance moves away from")
    view_words: bool = Field(True, description="name the view (front, side, back, overhead) in the prompt")
    front_deg: float = Field(
        90, ge=0, le=180, description="width of the front and of the back sector", json_schema_extra=DEGREES
    )
    overhead_deg: float = Field(
        60, ge=0, le=90, description="elevation above which a view is overhead", json_schema_extra=DEGREES
    )
    camera_conditioning: bool = Field(True, description="give the exact camera to priors that take one")
    azimuth_deg: Range = Field((0, 360), description="range of the cameras' azimuth", json_schema_extra=DEGREES)
    elevation_deg: Range = Field((-5, 55), description="range of the cameras' elevation", json_schema_extra=DEGREES)
    radius: Range = Field(
        (3.2, 3.2), description="range of the cameras' distance", json_schema_extra={"unit": "world units"}
    )
    fov_deg: Range = Field((40, 40), description="range of the vertical field of view", json_schema_extra=DEGREES)

    @model_validator(mode="after")
    def _noise_levels_rise(self) -> Self:
        """The lowest noise level lies below the highest, at the start and at the end."""
        if self.timestep_min >= min(self.timestep_max, self.timestep_max_end):
            raise ValueError(
                f"timestep_min {self.timestep_min} is not below timestep_max {self.timestep_max} and "
                f"timestep_max_end {self.timestep_max_end}; lower timestep_min"
            )
        return self


PAPER_VIEWS = {
    "guidance_scale": 100.0,
    "weighting": "sqrt_alpha_one_minus_alpha",
    "views_per_step": 1,
    "front_deg": 70.0,
    "elevation_deg": (-60.0, 90.0),  # theta 0..150 degrees from the top
    "radius": (1.0, 1.5),
    "fov_deg": (40.0, 70.0),
}


class FitParams(StageParams):
    """How a field is fitted to views; the defaults are the `toy` preset."""

    learning_rate: float = Field(0.02, gt=0, le=1, description="of networks; grids take ten times as much")
    resolutions: tuple[Resolution, ...] = Field((17, 33), description="dense grids of the field, nodes along an axis")
    n_samples: int = Field(48, ge=4, le=2048, description="samples along a ray", json_schema_extra={"unit": "samples"})
    rays_per_step: int = Field(
        1024, ge=16, le=262_144, description="rays of the input views a step, and as many of the prior's views",
        json_schema_extra={"unit": "rays"},
    )  # fmt: skip
    mask_weight: float = Field(0.5, ge=0, description="weight of the opacity's difference to the mask")
    entropy_weight: float = Field(0.02, ge=0, description="weight of the rays' opacity entropy in bits")
    distortion_weight: float = Field(
        0.5, ge=0, description="weight of the distortion, which gathers a ray's weight in one place"
    )
    sparsity_weight: float = Field(1e-3, ge=0, description="weight of the mean opacity")
    smoothness_weight: float = Field(3.0, ge=0, description="weight of the field's total variation (surface, colours)")
    ramp: Range = Field(
        (0.3, 1.0),
        description="when the three before that begin to rise and are at full weight",
        json_schema_extra={"unit": "of steps"},
    )


AxisName = Literal["auto", "x", "-x", "y", "-y", "z", "-z"]


class MeshParams(StageParams):
    """Parameters of every stage that takes a person's mesh; defaults suit the toy prior, which knows such objects."""

    up: AxisName = Field("auto", description="which axis of the file is up; auto: y of OBJ and GLB, z of PLY and STL")
    front: AxisName = Field("auto", description="where its front looks; auto: z of OBJ and GLB, x of PLY and STL")
    radius: float = Field(
        0.95,
        gt=0,
        le=1,
        description="distance of the farthest vertex from the centre, once scaled",
        json_schema_extra={"unit": "world units"},
    )
    centre: Literal["vertices", "box"] = Field(
        "box", description="what is put at the origin: the mean of the vertices (the paper), or the middle of their box"
    )
    max_faces: int = Field(1_000_000, ge=100, description="a mesh with more faces is decimated")
    decimated_faces: int = Field(100_000, ge=100, description="to this many")
