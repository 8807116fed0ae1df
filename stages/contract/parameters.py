"""Parameters of a stage: a pydantic model of plain values and of settings groups, and errors that name a wrong key."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from prior3d.errors import Prior3dError
from prior3d.settings import Engine, Precision
from prior3d.suggestions import did_you_mean
from stages.contract.presets import Values, merged

DEGREES: dict[str, Any] = {"unit": "degrees"}


class StageParams(BaseModel):
    """Base of every stage's parameters: unknown keys are errors, values do not change.

    Attributes:
        renamed: a name that an earlier version had -> where the value is now, e.g. `sds.guidance_scale`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    renamed: ClassVar[dict[str, str]] = {}

    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of every random choice of this stage")


class PriorParams(StageParams):
    """Base of the parameters of every stage that asks a frozen diffusion prior.

    Textual inversion is none: its gradients pass through the whole U-Net and the text encoder, which stay in float32.
    """

    precision: Precision = Field(
        "float32",
        description="of the frozen prior's networks; latents, fields and losses stay in float32. `--precision` sets it "
        "for all stages",
    )


class EngineParams(PriorParams):
    """Base of the parameters of every stage whose prior's U-Net takes a text and sees single views."""

    engine: Engine = Field(
        "torch",
        description="what runs the frozen U-Net; openvino: on a CPU, needs the extra of that name. `--engine` sets it "
        "for all stages",
    )

    @model_validator(mode="after")
    def _engine_gives_no_gradient(self) -> "EngineParams":
        """VSD trains a LoRA within the U-Net."""
        loss = getattr(getattr(self, "sds", None), "loss", None)
        if self.engine == "openvino" and getattr(loss, "kind", "") == "vsd":
            raise ValueError(
                "engine openvino gives no gradient of the U-Net, in which loss vsd trains a LoRA; set engine=torch, or "
                "another sds.loss.kind"
            )
        return self


def check_params(model: type[BaseModel], values: Values, where: str) -> BaseModel:
    """Validate parameters; what is missing, in a group too, has the model's default.

    Args:
        model: the stage's `Params`.
        values: key to value, groups as mappings.
        where: what to call them in the message, e.g. the stage's name.

    Raises:
        Prior3dError: every wrong key and value, with what was found, what is allowed and near names.
    """
    try:
        return model(**merged(model().model_dump(), values))
    except ValidationError as error:
        raise Prior3dError("; ".join(_explain(model, where, e) for e in _told(error.errors()))) from None


def settings_fields(kind: Any) -> dict[str, Any]:
    """Name to pydantic's FieldInfo of a parameter model or a settings dataclass; empty for anything else.

    Of a group that comes in several kinds it has the parameters of all of them.
    """
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return dict(kind.model_fields)
    if kinds := kinds_of(kind):
        return {name: info for each in kinds.values() for name, info in settings_fields(each).items()}
    return dict(getattr(kind, "__pydantic_fields__", {}))


def kinds_of(kind: Any) -> dict[str, Any]:
    """The settings classes of a group that comes in several kinds, by their `kind`; empty for anything else."""
    members = {member: getattr(member, "__pydantic_fields__", {}) for member in getattr(kind, "__args__", ())}
    if not members or not all("kind" in fields for fields in members.values()):
        return {}
    return {fields["kind"].default: member for member, fields in members.items()}


def _told(problems: list[Any]) -> list[Any]:
    """Problems without lists that are called too short because each of their values is wrong, which is told."""
    places = [problem["loc"] for problem in problems]
    return [
        problem
        for problem in problems
        if problem["type"] != "too_short"
        or not any(
            len(place) > len(problem["loc"]) and place[: len(problem["loc"])] == problem["loc"] for place in places
        )
    ]


def _explain(model: type[BaseModel], where: str, problem: Any) -> str:
    parts, kind, tag = _without_tags(model, [str(part) for part in problem["loc"]])
    name = ".".join(parts)
    if problem["type"] == "union_tag_invalid":
        found, known = problem["ctx"]["tag"], list(kinds_of(kind))
        hint = did_you_mean(
            found, known, f"known: {', '.join(known)}", shown=lambda near: f"{where}.{name}.kind={near}"
        )
        return f"{where}.{name}.kind: there is no {found!r}; {hint}"
    if tag and problem["type"] == "unexpected_keyword_argument" and parts[-1] in settings_fields(kind):
        owners = [label for label, each in kinds_of(kind).items() if parts[-1] in settings_fields(each)]
        group = ".".join(parts[:-1])
        return f"{where}.{name}: is for kind {' or '.join(owners)}; set {where}.{group}.kind too, found kind {tag}"
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return _no_such_parameter(model, where, name)
    if problem["type"] in ("dataclass_type", "model_attributes_type"):
        inner = ", ".join(settings_fields(_kind_of(model, name.split("."))))
        return f"{where}.{name}: is a group of parameters; name one of them, as {where}.{name}.NAME: {inner}"
    if problem["type"] in ("tuple_type", "list_type"):
        found = problem.get("input")
        inner = ",".join(str(found).replace(",", " ").split()) or "1,2"
        return f"{where}.{name}: is a list, which stands in brackets: {where}.{name}=[{inner}]; found {found!r}"
    message = problem["msg"].removeprefix("Value error, ")
    if not name:  # several parameters that do not fit together; the message names them
        return f"{where}: {message}"
    if isinstance(problem.get("input"), dict):  # the same within a group
        return f"{where}.{name}: {message}"
    return f"{where}.{name}: {message[:1].lower()}{message[1:]}; found {problem.get('input')!r}"


def _no_such_parameter(model: type[BaseModel], where: str, name: str) -> str:
    """What to say about an unknown name: its new name, else a near one, else all that are known."""
    renamed: dict[str, str] = getattr(model, "renamed", {})
    if name in renamed:
        return f"{where}.{name} is now called {where}.{renamed[name]}"
    *groups, last = name.split(".")
    known = list(settings_fields(_kind_of(model, groups)))
    inner = [f"{n}.{f}" for n, info in model.model_fields.items() for f in settings_fields(info.annotation)]
    inner = inner if not groups else []  # a name in a group is looked for in the group
    all_known = f"known: {', '.join(known)}"
    further = did_you_mean(name, inner, all_known, shown=lambda near: f"{where}.{near}")
    hint = did_you_mean(last, known, further, shown=lambda near: ".".join([where, *groups, near]))
    return f"{where}.{name}: there is no such parameter; {hint}"


def _without_tags(model: type[BaseModel], loc: list[str]) -> tuple[list[str], Any, str]:
    """An error's place without the tags of kinds, the settings class that its last part is in, and that class's tag."""
    kind, parts, tag = model, list[str](), ""
    for part in loc:
        if part in kinds_of(kind):
            tag = part
            continue
        parts.append(part)
        info = settings_fields(kind).get(part)
        if info is None or not settings_fields(info.annotation):
            break
        kind = info.annotation  # type: ignore[assignment]
    return parts, kind, tag


def _kind_of(model: type[BaseModel], groups: list[str]) -> Any:
    """The settings class of a group within groups; the model itself for no group."""
    kind: Any = model
    for group in groups:
        kind = settings_fields(kind)[group].annotation
    return kind


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
