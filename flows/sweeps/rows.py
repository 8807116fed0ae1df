"""Rows of a sweep as checked requests for runs: every row is checked before the first one runs."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.engine.declaration import code_digests
from flows.engine.method import Input, Method
from flows.engine.priors import chosen_once
from flows.engine.project import Project
from flows.engine.run import NAME, slug
from flows.method_options import option_of
from flows.methods import find_method
from flows.request import Request, make_request
from flows.sweeps.seen_done import SeenDone
from flows.sweeps.table import Row, as_text
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

GENERAL = ("name", "method", "seed", "preset", "device")
SWITCHES = {"true": "on", "false": "off"}
LONGEST_NAME = 80
LONGEST_WORDS = 40


@dataclass(frozen=True)
class Wanted:
    """A run that a sweep asks for.

    Attributes:
        row: as it stands in the file.
        method: of the run.
        name: the run's.
        words: the command line behind `run METHOD`.
        request: what that command line comes to; None for a run that is known to be done.
        key: what the run is decided by, but for the content of its input files.
    """

    row: Row
    method: Method
    name: str
    words: list[str]
    request: Request | None
    key: str


def wanted_runs(
    project: Project, sweep: str, rows: list[Row], method: str, sets: list[str], seen: SeenDone
) -> list[Wanted]:
    """The runs that rows ask for.

    Args:
        project: the project.
        sweep: its name; names of runs that a row does not name begin with it.
        rows: of the file.
        method: of rows that name none.
        sets: `stage.parameter=value` for all rows; a row's own value wins.
        seen: runs that were done before; their rows, which were checked then, are not checked again.

    Raises:
        Prior3dError: the first row that is wrong, and what is wrong with it.
    """
    found: list[Wanted] = []
    places: dict[str, str] = {}
    code: dict[str, dict[str, str]] = {}  # method -> stage -> digest, computed once
    with chosen_once():
        for row in rows:
            name = _name(row, sweep)
            if name in places:
                what = f"two rows are called {name!r}" if "name" in row.values else "two rows ask for the same"
                raise Prior3dError(f"{row.where}: {what}; the other is {places[name]}")
            places[name] = row.where
            found.append(_wanted(project, row, name, method, sets, seen, code))
    return found


def _name(row: Row, sweep: str) -> str:
    """The name that a row gives, else one that its values decide: rows may be added or moved later."""
    if "name" in row.values:
        return as_text(row.values["name"])
    digest = hashlib.sha256(json.dumps(row.values, sort_keys=True).encode()).hexdigest()[:6]
    texts = [value for name, value in row.values.items() if isinstance(value, str) and name not in GENERAL]
    words = slug(texts[0])[:LONGEST_WORDS].strip("-") if texts else "run"
    return f"{sweep}-{words}-{digest}"[-LONGEST_NAME:].lstrip("-._")


def _wanted(
    project: Project,
    row: Row,
    name: str,
    method_name: str,
    sets: list[str],
    seen: SeenDone,
    code: dict[str, dict[str, str]],
) -> Wanted:
    given = row.values.get("method") or method_name
    if not given:
        raise Prior3dError(f"{row.where}: no method; give --method, or a column `method`")
    try:
        method = find_method(as_text(given))
        if method.name not in code:
            code[method.name] = code_digests(method)
        words = [*_words(row, method, sets), f"--name={name}"]
        key = seen.key([method.name, words, code[method.name]])
        if seen.holds(name, key):
            return Wanted(row, method, name, words, None, key)
        request = make_request(project, method, words, code=code[method.name])
        return Wanted(row, method, name, words, request, key)
    except Prior3dError as error:
        raise Prior3dError(f"{row.where}: {error}") from None


def _words(row: Row, method: Method, sets: list[str]) -> list[str]:
    inputs = {i.name: i for i in method.inputs}
    words = [f"--set={text}" for text in sets]
    folder = Path(row.where.rpartition(", ")[0]).parent
    for column, value in row.values.items():
        key = column.replace("-", "_")
        if column in ("name", "method"):
            continue
        if key in inputs:
            text = as_text(value)
            given = text if inputs[key].kind == "text" else _place(folder, inputs[key], text)
            words.append(f"{option_of(key)}={given}")
        elif column in GENERAL:
            words.append(f"--{column}={as_text(value)}")
        elif column in method.optional_stages():
            words.append(f"--set={column}={SWITCHES.get(as_text(value), value)}")
        elif "." in column:
            words.append(f"--set={column}={as_text(value)}")
        else:
            known = [*inputs, *GENERAL, *_parameters(method)]
            hint = did_you_mean(column, known, f"inputs of {method.name}: {', '.join(inputs)}; parameters have a dot")
            raise Prior3dError(f"column {column!r} is no input and no parameter of {method.name}; {hint}")
    return words


def _place(folder: Path, declared: Input, text: str) -> str:
    """A path in a row, relative to the sweep's file or to this folder, made absolute; other words as they are."""
    index = "model_index.json" if declared.kind == "prior" else ""
    found = next((p for p in (folder / text, Path(text).expanduser()) if (p / index if index else p).exists()), None)
    return str(found.resolve()) if found is not None else text


def _parameters(method: Method) -> Iterator[str]:
    for stage in method.stages:
        yield from (f"{stage.name}.{name}" for name in stage.load().Params.model_fields)


def sweep_name(path: Path) -> str:
    """The name of a sweep: its file's, as runs may be called (raises Prior3dError)."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:30]
    if not NAME.match(name):
        raise Prior3dError(f"{path}: runs are named after the file; give it a name of letters and digits")
    return name
