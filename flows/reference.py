"""The parameters of a stage and the inputs of a method, as help text made from their declarations."""

import textwrap
from typing import Any

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.engine.method import Method, Stage
from stages.contract.parameters import kinds_of, settings_fields

WIDTH = 100


def method_reference(method: Method) -> str:
    """Every stage of a method with its parameters: default, unit, range and meaning."""
    lines = ["parameters (change one with --set STAGE.PARAMETER=VALUE):"]
    for stage in method.stages:
        module = stage.load()
        asked = f" (only with {stage.brought_with})" if stage.brought_with else ""
        lines += ["", f"{stage.name}: {_first_line(module.__doc__)}{asked}"]
        lines += [f"  {line}" for line in parameter_lines(module.Params)]
    return "\n".join(lines)


def stage_reference(stage: Stage) -> str:
    """A stage's whole help: what it does, its inputs, its artifact, its parameters, what its presets change."""
    module = stage.load()
    optional: frozenset[str] = getattr(module, "OPTIONAL_INPUTS", frozenset())
    lines = [(module.__doc__ or stage.name).strip(), "", "inputs:"]
    for name, artifact in module.INPUTS.items():
        lines.append(f"  {name}: {artifact.name}{' (optional)' if name in optional else ''}")
    lines += ["", f"output: {module.OUTPUT.name if module.OUTPUT else 'none'}", "", "parameters:"]
    lines += [f"  {line}" for line in parameter_lines(module.Params)]
    for preset, values in getattr(module, "PRESETS", {}).items():
        if values:
            lines += ["", f"preset {preset}:", *(f"  {line}" for line in _preset_lines(values))]
    lines += ["", "to run it by hand, in a run's folder:", f"  python -m stages {stage.name} " + _usage(module)]
    return "\n".join(lines)


def parameter_lines(model: type[BaseModel]) -> list[str]:
    """Per parameter `name = default unit (range)`, then its description, indented; groups under a heading."""
    return _lines(settings_fields(model), model(), "")


def _lines(fields: dict[str, FieldInfo], defaults: Any, prefix: str) -> list[str]:
    """The lines of some fields; `defaults` holds their values, `prefix` is the group's name and a dot."""
    lines = []
    for name, info in fields.items():
        default = getattr(defaults, name)
        if kinds := kinds_of(info.annotation):
            lines += ["", *_kind_lines(kinds, info, default, f"{prefix}{name}.")]
            continue
        if group := settings_fields(info.annotation):
            heading = info.description or _first_line(getattr(info.annotation, "__doc__", ""))
            lines += ["", f"{prefix}{name}: {heading}", *_lines(group, default, f"{prefix}{name}.")]
            continue
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        lines.append(
            " ".join(filter(None, [f"{prefix}{name} = {default}", str(extra.get("unit", "")), allowed_values(info)]))
        )
        lines += textwrap.wrap(info.description or "", WIDTH - 6, initial_indent="    ", subsequent_indent="    ")
    return lines


def _kind_lines(kinds: dict[str, Any], info: FieldInfo, default: Any, prefix: str) -> list[str]:
    """The lines of a group that comes in several kinds: the kind, and the parameters of each."""
    lines = [f"{prefix}kind = {default.kind} (one of {', '.join(kinds)})"]
    lines += textwrap.wrap(info.description or "", WIDTH - 6, initial_indent="    ", subsequent_indent="    ")
    for kind, group in kinds.items():
        lines.append(f"  kind {kind}: {_first_line(group.__doc__)}")
        own = {name: field for name, field in settings_fields(group).items() if name != "kind"}
        lines += [f"  {line}" for line in _lines(own, group(), prefix)]
    return lines


def _preset_lines(values: dict[str, Any], prefix: str = "") -> list[str]:
    """`name = value` for each parameter that a preset changes, with dotted names in groups."""
    lines = []
    for name, value in values.items():
        inner = isinstance(value, dict)
        lines += _preset_lines(value, f"{prefix}{name}.") if inner else [f"{prefix}{name} = {value}"]
    return lines


def allowed_values(info: FieldInfo) -> str:
    """The allowed values, e.g. `(at least 1, at most 512)`."""
    words = []
    for limit in info.metadata:
        match limit:
            case annotated_types.Ge(ge=low):
                words.append(f"at least {low}")
            case annotated_types.Gt(gt=low):
                words.append(f"above {low}")
            case annotated_types.Le(le=high):
                words.append(f"at most {high}")
            case annotated_types.Lt(lt=high):
                words.append(f"below {high}")
            case _:
                continue
    arguments = getattr(info.annotation, "__args__", ())
    if arguments and all(isinstance(a, str) for a in arguments):
        words.append(f"one of {', '.join(arguments)}")
    return f"({', '.join(words)})" if words else ""


def _usage(module: Any) -> str:
    return " ".join(f"--{name.replace('_', '-')} PATH" for name in module.INPUTS)


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().splitlines()[0] if doc else ""
