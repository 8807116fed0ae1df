"""A run, or a file like its `method.yaml`, as the command line that would make it: what was written is read back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

from flows.engine.method import Method
from flows.engine.project import Project
from flows.engine.run import Run
from flows.engine.run_files import Damaged, InputEntry, read_form
from flows.method_options import option_of
from flows.methods import METHODS, find_method
from prior3d.errors import Prior3dError
from prior3d.inside import climbs

BY_HAND = "write it as a run's method.yaml is: method: NAME, and inputs:"


class Recipe(TypedDict, total=False):
    """A run's `method.yaml`, or one written by hand: `params` may then stand in it."""

    method: str
    preset: str
    inputs: dict[str, InputEntry | str]
    stages: dict[str, Any]
    params: dict[str, dict[str, Any]]


def words_of_run(project: Project, name: str, changes: list[str]) -> tuple[Method, list[str]]:
    """The method of a run, and the words behind `run METHOD` that make it again with some changes.

    Raises:
        Prior3dError: there is no such run, or a file of it is damaged.
    """
    run = Run(project, name).require()
    method, words = words_of_file(run.folder / "method.yaml", changes, run.settings().get("priors") or {})
    return method, ["--name", name, *words]


def words_of_file(file: Path, changes: list[str], priors: dict[str, str] | None = None) -> tuple[Method, list[str]]:
    """The method that a file names, and the words behind `run METHOD` that it stands for, with some changes.

    Args:
        file: a run's `method.yaml`, with its `params.yaml` and `inputs` beside it; or one written by hand.
        changes: words that follow, and so win.
        priors: name of a prior -> its folder on this machine.

    Raises:
        Prior3dError: it cannot be read, or names no method.
    """
    if not file.is_file():
        raise Prior3dError(f"--from {str(file)!r}: there is no such file; give a run's method.yaml, or one like it")
    by_hand = {} if file.name == "method.yaml" else {"remedy": BY_HAND, "where": f"--from {str(file)!r}: it"}
    recipe = read_form(file, Recipe, **by_hand)
    if "method" not in recipe:
        raise Prior3dError(f"--from {file}: it names no method; one of {', '.join(METHODS)}")
    method = find_method(recipe["method"])
    params = recipe.get("params")
    if params is None and (file.parent / "params.yaml").is_file():
        params = _params_beside(file, method)
    words = [word for name, entry in (recipe.get("inputs") or {}).items() for word in _input(file, name, entry, priors)]
    words += _switches(method, recipe)
    if "--preset" in changes:
        return method, [*words, *changes]
    words += ["--preset", recipe["preset"]] if recipe.get("preset") else []
    seeded = any(word == "--seed" or word.startswith("--seed=") for word in changes)
    for stage, values in (params or {}).items():
        for key, value in _leaves(values):
            words += [] if seeded and key == "seed" else ["--set", f"{stage}.{key}={json.dumps(value)}"]
    return method, [*words, *changes]


def _params_beside(file: Path, method: Method) -> dict[str, dict[str, Any]]:
    place = file.parent / "params.yaml"
    params = read_form(place, dict[str, dict[str, Any]])
    strange = sorted(params.keys() - {stage.name for stage in method.stages})
    if strange:
        raise Damaged(
            f"{place} sets {', '.join(strange)}, and {method.name} has no such stage; give the whole command again: "
            f"prior3d run {method.name} ..."
        )
    return params


def _switches(method: Method, recipe: Recipe) -> list[str]:
    """The words that switch optional stages as a run had them, whatever its preset brings by itself."""
    had = recipe.get("stages") or {}
    words = [f"{s.name}=on" for s in method.stages if s.optional and s.name in had]
    words += [f"{s.name}=off" for s in method.stages if s.on_with and had and s.name not in had]
    return [word for text in words for word in ("--set", text)]


def _input(file: Path, name: str, entry: InputEntry | str, priors: dict[str, str] | None) -> list[str]:
    """The option and value of one input."""
    if isinstance(entry, str):
        return [f"{option_of(name)}={entry}"]
    if "text" in entry:
        return [f"{option_of(name)}={entry['text']}"]
    if "name" in entry:
        return [f"{option_of(name)}={(priors or {}).get(entry['name'], entry['name'])}"]
    if climbs(entry["file"]):
        raise Prior3dError(f"{file}: its input {name} is {entry['file']!r}, which lies outside of {file.parent}")
    return [f"{option_of(name)}={file.parent / entry['file']}"]


def _leaves(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of parameters in groups."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
