"""The small files that a run reads back: each has a form, and what cannot be read is one line that names the remedy.

A kill, a full disk, a power cut or somebody else's repository can leave anything in their place. Two readers:
`read_form` for what a person gave or decided, and `derived` for what can be made again at any time.
"""

import re
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, NotRequired, Required, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

import yaml

from prior3d import limits
from prior3d.errors import Prior3dError
from prior3d.inside import climbs
from stages.contract import yaml_text

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
LARGEST_BYTES = 64_000_000  # a lock of ten thousand files has 2 MB
LONGEST_REASON = 160
AGAIN = "delete it and give the run command again"


class Damaged(Prior3dError):
    """A file that cannot be read, or that is not what it has to be."""


class InputEntry(TypedDict, total=False):
    """An input of a run in its `method.yaml`."""

    file: Required[str]
    text: str
    name: str
    digest: str
    sha256: str
    given: str


class MethodFile(TypedDict, total=False):
    """A run's `method.yaml`."""

    method: Required[str]
    preset: str
    inputs: dict[str, InputEntry]
    stages: dict[str, dict[str, str]]


class File(TypedDict, total=False):
    """A dependency or an output in a lock."""

    path: Required[str]
    md5: str


class LockEntry(TypedDict, total=False):
    """A stage in a lock."""

    cmd: str
    deps: list[File]
    outs: list[File]
    params: dict[str, dict[str, Any]]


class PipelineStage(TypedDict, total=False):
    """A stage in a `dvc.yaml`."""

    outs: list[str | dict[str, Any]]
    deps: list[str | dict[str, Any]]


class Pipeline(TypedDict, total=False):
    """A `dvc.yaml`."""

    stages: dict[str, PipelineStage]


class Measure(TypedDict, total=False):
    """A measured number, as a stage writes it."""

    value: Required[float]
    unit: str
    n: int
    higher_is_better: bool | None


_hints = cache(get_type_hints)  # the forms are written in code: a sweep asks a thousand times for each


def has_form(value: Any, form: Any) -> bool:
    """Whether a value out of a file is what a type says: plain types, `dict`, `list`, `|` and typed dictionaries.

    A typed dictionary may have keys that its type does not name. An int may stand for a float.
    """
    origin, inner = get_origin(form), get_args(form)
    if form is Any:
        return True
    if origin in (Union, UnionType):
        return any(has_form(value, each) for each in inner)
    if origin in (Required, NotRequired):
        return has_form(value, inner[0])
    if origin is dict:
        return isinstance(value, dict) and all(
            has_form(k, inner[0]) and has_form(v, inner[1]) for k, v in value.items()
        )
    if origin is list:
        return isinstance(value, list) and all(has_form(each, inner[0]) for each in value)
    if is_typeddict(form):
        hints = _hints(form)
        return (
            isinstance(value, dict)
            and form.__required_keys__ <= value.keys()
            and all(has_form(v, hints[k]) for k, v in value.items() if k in hints)
        )
    if form in (int, float):
        number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
        return number or (form is float and isinstance(value, float))
    return isinstance(value, form)


def read_form(path: Path, form: Any = dict[str, Any], remedy: str = AGAIN, where: str = "") -> Any:
    """The content of a YAML file of a run.

    Args:
        path: in the run's folder.
        form: what it has to be.
        remedy: what a person can do.
        where: what to call it in a message; empty: by the run and its name in it.

    Raises:
        Damaged: it is missing, cannot be read, is not YAML, or has another form.
    """
    where = where or f"run {path.parent.name}: {path.name}"
    try:
        return parse(_text(path), form)
    except FileNotFoundError:
        raise Damaged(f"{where} is missing; give the run command again") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise Damaged(f"{where} {_short(reason)}; {remedy}") from None


def read_method(folder: Path) -> MethodFile:
    """A run's `method.yaml` (raises Damaged)."""
    described: MethodFile = read_form(folder / "method.yaml", MethodFile)
    outside = next((e["file"] for e in (described.get("inputs") or {}).values() if climbs(e["file"])), None)
    if outside is not None:
        raise Damaged(f"run {folder.name}: method.yaml names {outside!r}, which lies outside the run; {AGAIN}")
    return described


def read_lock(path: Path) -> dict[str, LockEntry]:
    """The stages of a `dvc.lock`; empty without one (raises Damaged)."""
    try:
        return parse_lock(_text(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        run = path.parent.parent.name if path.parent.name == "history" else path.parent.name
        raise Damaged(f"run {run}: {path.name} is damaged: it {_short(reason)}; give the run command again") from None


def parse_lock(text: str) -> dict[str, LockEntry]:
    """The stages of a lock (raises ValueError)."""
    stages: dict[str, LockEntry] = parse(text, dict[str, Any]).get("stages")
    if not has_form(stages, dict[str, LockEntry]):
        raise ValueError("is not a DVC lock")
    files = [f for entry in stages.values() for f in [*(entry.get("deps") or []), *(entry.get("outs") or [])]]
    if not all(MD5.fullmatch(f["md5"]) for f in files if "md5" in f):
        raise ValueError("is not a DVC lock: an md5 in it is none")
    return stages


def parse(text: str, form: Any) -> Any:
    """YAML of a form (raises ValueError)."""
    try:
        values = yaml_text.load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"is not valid YAML ({error})") from None
    if not has_form(values, form):
        raise ValueError("has another form than it must have" if isinstance(values, dict) else "holds no mapping")
    return values


def derived(path: Path, form: Any) -> Any | None:
    """The content of a JSON file that can be made again; None if it is not there, or not as it must be."""
    try:
        return parse_json(_text(path), form)
    except (OSError, ValueError):
        return None


def parse_json(text: str | bytes, form: Any) -> Any:
    """JSON of a form (raises ValueError)."""
    values = limits.parse_json(text)
    if not has_form(values, form):
        raise ValueError("has another form than it must have")
    return values


def text_of(path: Path) -> str | None:
    """A text file as it is; None if it is not there, or cannot be read as text."""
    try:
        return _text(path)
    except (OSError, ValueError):
        return None


def _text(path: Path) -> str:
    content = limits.read_bytes(path, LARGEST_BYTES)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def _short(reason: object) -> str:
    text = " ".join(str(reason).split())
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 3]}..."
