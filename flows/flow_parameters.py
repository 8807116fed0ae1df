"""A method's inputs as the parameters of a Prefect flow: one typed signature, and the values that a run has for it."""

import inspect
import json
from collections.abc import Iterator
from typing import Any, Literal

from flows.engine.declaration import Declaration
from flows.engine.method import Input, Method
from flows.engine.parameters import resolve
from prior3d.settings import Engine, Precision

PRESET, PRECISION = Literal["toy", "paper", "turbo"], Literal["auto", "float32", "bfloat16", "float16"]
# What every flow takes beside its method's inputs: annotation, default, what it is.
COMMON: dict[str, tuple[Any, Any, str]] = {
    "name": (str | None, None, "the run's folder under data/runs; none: made from the words or the file"),
    "preset": (PRESET | None, None, "parameters to start from; none: by the prior"),
    "seed": (int | None, None, "of every stage"),
    "set": (dict[str, Any], {}, 'parameters by their dotted names, e.g. {"coarse_nerf.steps": 100}'),
    "device": (str, "auto", "auto, cpu, cuda, cuda:N or mps"),
    "precision": (PRECISION, "auto", "of the frozen priors' networks"),
    "engine": (Engine, "torch", "what runs frozen U-Nets; openvino: on a CPU, needs the extra of that name"),
    "restore": (bool, True, "take from the cache what it holds"),
    "project": (str | None, None, "a folder in the project, on the machine that makes the run; none: its own folder"),
}


def signature_of(method: Method) -> inspect.Signature:
    """The parameters of a method's flow: its inputs, then what every run takes."""
    found = [_parameter(i.name, *_of_input(i)) for i in method.inputs]
    found += [_parameter(name, annotation, default) for name, (annotation, default, _) in COMMON.items()]
    return inspect.Signature(found)


def description_of(method: Method) -> str:
    """The docstring of a method's flow, which Prefect's pages show beside the form."""
    said = {i.name: i.help for i in method.inputs} | {name: text for name, (_, _, text) in COMMON.items()}
    lines = [f"    {name}: {text}" for name, text in said.items()]
    return "\n".join([f"{method.summary[:1].upper()}{method.summary[1:]}.", "", "Args:", *lines])


def _of_input(declared: Input) -> tuple[Any, Any]:
    if declared.default is None:
        return str, inspect.Parameter.empty
    return (str, declared.default) if declared.default else (str | None, None)


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def parameters_of(declaration: Declaration, name: str, device: str) -> dict[str, Any]:
    """The values that a run has for them; `set` is what differs from the preset."""
    given = {key: _shown(declaration, key, content) for key, content in declaration.inputs.items()}
    seeds = {values.get("seed") for values in declaration.params.values()}
    seed = seeds.pop() if len(seeds) == 1 else None
    precision: Precision = next((v["precision"] for v in declaration.params.values() if "precision" in v), "float32")
    engine: Engine = next((v["engine"] for v in declaration.params.values() if "engine" in v), "torch")
    usual = resolve(declaration.method, declaration.preset, seed, [], precision, engine)
    changed = dict(_changes(usual, declaration.params))
    own = {"name": name, "preset": declaration.preset, "seed": seed, "set": changed, "device": device}
    return given | own | {"precision": precision, "engine": engine}


def _shown(declaration: Declaration, name: str, content: Any) -> str:
    if not isinstance(content, bytes):
        return declaration.given.get(name) or str(content)
    kind = next(i.kind for i in declaration.method.inputs if i.name == name)
    return str(json.loads(content)["name"]) if kind == "prior" else content.decode().strip()


def _changes(usual: dict[str, Any], now: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in now.items():
        known = usual.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            yield from _changes(known, value, f"{before}{key}.")
        elif value != known:
            yield f"{before}{key}", value
