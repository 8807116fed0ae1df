"""Parameters from presets, `--seed` and `--set`, resolved and validated before anything runs."""

from collections.abc import Collection, Iterable
from typing import Any

import yaml

from flows.engine.method import Method
from prior3d.errors import Prior3dError
from prior3d.settings import Engine, Precision
from prior3d.suggestions import did_you_mean
from stages.contract import yaml_text
from stages.contract.parameters import EngineParams, PriorParams, check_params, merged, settings_fields


def resolve(
    method: Method,
    preset: str,
    seed: int | None,
    sets: list[str],
    precision: Precision = "float32",
    engine: Engine = "torch",
) -> dict[str, dict[str, Any]]:
    """Every parameter of every stage.

    Args:
        method: the method.
        preset: `toy`, `paper` or `turbo`.
        seed: the seed of all stages; None leaves their defaults.
        sets: `stage.parameter=value` in the order given; the value is YAML.
        precision: of the priors' networks, in all stages that load one.
        engine: what runs their U-Nets, in all stages that have the choice.

    Returns:
        stage -> parameter -> plain value, ready for `params.yaml`.

    Raises:
        Prior3dError: an unknown name (with the nearest known one) or a value out of its range.
    """
    chosen = {s.name: _preset(method, s.name, s.load(), preset) for s in method.stages}
    for name in chosen if seed is not None else ():
        chosen[name]["seed"] = seed
    for stage in method.stages:
        if issubclass(stage.load().Params, PriorParams):
            chosen[stage.name]["precision"] = precision
        if issubclass(stage.load().Params, EngineParams):
            chosen[stage.name]["engine"] = engine
    chosen = validated(method, chosen)  # sets change whole, valid values: one key of a group leaves the others
    for text in sorted(sets, key=_brings_values):  # a kind brings values, which others then change
        _apply(method, chosen, text, preset)
    found = validated(method, chosen)
    _check_kinds(method, found)
    return found


def split_switches(
    method: Method, sets: list[str], given: Collection[str] = (), roles: Iterable[str] = (), preset: str = ""
) -> tuple[Method, list[str]]:
    """The method with the optional stages that are switched on (`--set STAGE=on`), and what else is set.

    A stage that the preset has by itself is switched off by `--set STAGE=off`.

    Args:
        method: the whole method.
        sets: what `--set` was given.
        given: names of the method's inputs that a person gave; they bring stages too.
        roles: of its priors; the method may have stages for one role alone.
        preset: it may bring optional stages with it; empty: it brings none.

    Raises:
        Prior3dError: what is switched is no optional stage of the method, or is switched to something else.
    """
    optional, asked, others = method.optional_stages(), method.stages_with(preset), []
    for text in sets:
        stage, equals, value = (part.strip() for part in text.partition("="))
        if not equals or "." in stage or value not in ("on", "off"):
            others.append(text)
        elif stage in optional:
            (asked.add if value == "on" else asked.discard)(stage)
        else:
            always = stage in {s.name for s in method.stages}
            hint = did_you_mean(stage, [] if always else optional, f"those are: {', '.join(optional) or 'none'}", str)
            raise Prior3dError(f"--set {text!r}: {method.name} has no optional stage {stage!r}; {hint}")
    chosen = method.with_stages(asked | method.stages_brought_by(given) | method.stages_for(*roles))
    left_out = {s.name: s for s in method.stages if s.name not in {c.name for c in chosen.stages}}
    for text in others:
        stage = text.partition(".")[0].strip()
        if stage in left_out:
            raise Prior3dError(f"--set {text!r}: {method.name} has {stage} only with {left_out[stage].brought_with}")
    return chosen, others


def validated(method: Method, values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Parameters of all stages, checked and complete (raises Prior3dError)."""
    models = {s.name: s.load().Params for s in method.stages}
    return {n: check_params(models[n], values.get(n) or {}, n).model_dump(mode="json") for n in models}


def _check_kinds(method: Method, values: dict[str, dict[str, Any]]) -> None:
    """Refuse what stages of a method would make that those behind them cannot take (raises Prior3dError)."""
    for stage in method.stages:
        found = values[stage.name].get("kind")
        if stage.only_kinds and found not in stage.only_kinds:
            takers = ", ".join(s.name for s in method.stages if stage.name in s.inputs.values())
            raise Prior3dError(
                f"{stage.name}.kind: found {found!r}, but {method.name} goes on with {' or '.join(stage.only_kinds)} "
                f"alone ({takers}); set {stage.name}.kind={stage.only_kinds[0]}"
            )


def _preset(method: Method, stage: str, module: Any, preset: str) -> dict[str, Any]:
    """A preset's values for a stage: the stage's own, the method's over them; `turbo` is `paper` without guidance."""
    base = "paper" if preset == "turbo" else preset
    own = dict(getattr(module, "PRESETS", {}).get(base, {}))
    chosen = merged(own, method.presets.get(base, {}).get(stage, {}))
    return merged(chosen, _without_guidance(module.Params)) if preset == "turbo" else chosen


def _without_guidance(model: Any) -> dict[str, Any]:
    """A text guidance of 1, which is none, in every group that has one."""
    groups = {name: settings_fields(info.annotation) for name, info in settings_fields(model).items()}
    return {name: {"guidance_scale": 1.0} for name, fields in groups.items() if "guidance_scale" in fields}


def _brings_values(text: str) -> tuple[bool, int]:
    """Where a `--set` comes: first the kind of a whole stage, then of its groups, then all others as they are given."""
    key = text.partition("=")[0].strip()
    return (False, key.count(".")) if key.endswith(".kind") else (True, 0)


def _values_of_kind(method: Method, stage: str, group: str, kind: Any, preset: str) -> dict[str, Any]:
    """What a kind brings with it into a stage's parameters: the preset's values that suit it.

    The group is empty where the kind is the stage's own.
    """
    module = next(s for s in method.stages if s.name == stage).load()
    base = "paper" if preset == "turbo" else preset
    brought = getattr(module, "KINDS", {}).get(group, {}).get(base, {}).get(str(kind), {})
    return merged(brought, _without_guidance(module.Params)) if preset == "turbo" else dict(brought)


def _apply(method: Method, chosen: dict[str, dict[str, Any]], text: str, preset: str) -> None:
    key, equals, value_text = text.partition("=")
    stage, dot, parameter = key.strip().partition(".")
    if not equals or not dot or not parameter:
        raise Prior3dError(f"--set {text!r}: write stage.parameter=value, e.g. --set {_example(method)}")
    if stage not in chosen:
        known = f"stages of {method.name}: {', '.join(chosen)}"
        hint = did_you_mean(stage, chosen, known, shown=lambda near: f"{near}.{parameter}")
        raise Prior3dError(f"--set {text!r}: {method.name} has no stage {stage!r}; {hint}")
    try:
        value = yaml_text.load(value_text)
    except yaml.YAMLError:
        raise Prior3dError(f"--set {text!r}: {value_text!r} is not a YAML value; quote it if it is a text") from None
    *groups, last = parameter.split(".")
    if last == "kind":
        asked: dict[str, Any] = {"kind": value}
        for name in reversed(groups):
            asked = {name: asked}
        brought = _values_of_kind(method, stage, ".".join(groups), value, preset)
        chosen[stage] = merged(merged(chosen[stage], asked), brought)
        return
    target = chosen[stage]
    for group in groups:
        target[group] = dict(target.get(group) or {})
        target = target[group]
    target[last] = value


def _example(method: Method) -> str:
    for stage in method.stages:
        for name, field in stage.load().Params.model_fields.items():
            if name != "seed" and isinstance(field.default, int | float):
                return f"{stage.name}.{name}={field.default}"
    return f"{method.stages[0].name}.seed=1"
