"""What a person filled in, turned into the words of a command line; what is wrong is said beside its field."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from flows.engine.method import Input, Method
from flows.engine.project import Project
from flows.engine.run import Run
from flows.method_options import PRESETS, option_of
from flows.methods import find_method
from flows.request import Request, make_request
from flows.studio.catalogue import OPTION, without_dashes
from flows.studio.uploads import Uploads
from prior3d.errors import Prior3dError

ABOUT = {"run name": "name", "--seed": "seed", "--preset": "preset", "--set": "set"}  # how messages begin -> the field
LONGEST = 4_000


class Given(TypedDict, total=False):
    """A file or folder: what was dropped, or a path on this machine."""

    upload: str
    path: str


class Form(TypedDict, total=False):
    """What the page sends; a program may send the same."""

    method: str
    start: str
    key: str
    inputs: dict[str, str | Given]
    name: str
    seed: str
    preset: str
    set: str


class FieldError(Prior3dError):
    """Something to put right in one field of the page."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field = field


@dataclass(frozen=True)
class Checked:
    """A form that can be run: its request, the words behind `run METHOD`, and what tells it from others."""

    method: Method
    request: Request
    words: list[str]
    inputs: dict[str, str]
    asked: str


def check(
    project: Project, uploads: Uploads, form: Form, taken: Callable[[str, dict[str, str]], Collection[str]]
) -> Checked:
    """Check a form to its last value.

    Args:
        project: the project.
        uploads: what was dropped.
        form: what was filled in.
        taken: the names of runs that the queue needs for something else, given method and inputs.

    Raises:
        FieldError: the first thing that is wrong, with its field.
    """
    method = find_method(form.get("method", ""))
    given = {name: value for name, value in form.get("inputs", {}).items() if value}
    _require(method, given, form.get("start", ""))
    values, asked = _values(method, given, uploads)
    words = [f"{option_of(name)}={value}" for name, value in values.items()] + _options(form) + ["--plain"]
    try:
        request = make_request(project, method, words)
    except Prior3dError as error:
        raise FieldError(_field_of(str(error), method), without_dashes(str(error))) from None
    name = request.run.name
    if not form.get("name"):
        name = _free(project, name, taken(method.name, values))
    words.append(f"--name={name}")
    if name != request.run.name:
        request = make_request(project, method, words)
    return Checked(method, request, words, values, asked or method.name)


def _free(project: Project, name: str, taken: Collection[str]) -> str:
    """A name that no run in the queue has; one that lies in the project belongs to a run of something else."""
    number, free = 2, name
    while free in taken or (free != name and Run(project, free).folder.exists()):
        free, number = f"{name}-{number}", number + 1
    return free


def _require(method: Method, given: dict[str, Any], start: str) -> None:
    """Hold that nothing is missing which the method cannot do without."""
    for declared in method.inputs:
        if declared.default is None and declared.name not in given:
            raise FieldError(declared.name, _missing(declared))
    if method.one_of and not set(method.one_of) & set(given):
        wanted = start if start in method.one_of else method.one_of[0]
        raise FieldError(wanted, _missing(next(i for i in method.inputs if i.name == wanted)))


def _missing(declared: Input) -> str:
    if declared.kind == "text":
        return f"say this in words: {declared.help}"
    return f"add this {'folder' if declared.kind == 'folder' else 'file'}: {declared.help}"


def _values(method: Method, given: dict[str, Any], uploads: Uploads) -> tuple[dict[str, str], str]:
    """The value of each input on a command line, and what was asked for, for people."""
    known = {declared.name: declared for declared in method.inputs}
    values: dict[str, str] = {}
    texts, names = [], []
    for name, value in given.items():
        if name not in known:
            raise FieldError(name, f"{method.name} takes no {name}; leave it out, or choose another method")
        try:
            values[name] = _value(known[name], value, uploads)
        except Prior3dError as error:
            raise FieldError(name, str(error)) from None
        if known[name].kind == "text":
            texts.append(values[name])
        elif known[name].kind != "prior":
            names.append(Path(values[name]).name)
    return values, " ".join((texts or names or [""])[0].split())


def _value(declared: Input, value: str | Given, uploads: Uploads) -> str:
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise Prior3dError(f"this has {len(value):,} characters; use at most {declared.longest:,}")
        return value
    if "upload" in value:
        return str(uploads.place(value["upload"]))
    return value.get("path", "")


def _options(form: Form) -> list[str]:
    named = {"name": form.get("name", "").strip(), "seed": form.get("seed", "").strip()}
    words = [f"--{option}={value}" for option, value in named.items() if value]
    if form.get("preset"):
        if form["preset"] not in PRESETS:
            raise FieldError("preset", f"there is no preset {form['preset'][:40]!r}; use one of {', '.join(PRESETS)}")
        words.append(f"--preset={form['preset']}")
    seed = named["seed"]
    if seed and not (seed.isdecimal() and len(seed) < 10):
        raise FieldError("seed", f"{seed[:40]!r} is no seed; use a whole number from 0 to 999999999")
    lines = [line.strip() for line in form.get("set", "").splitlines()]
    return words + [f"--set={line}" for line in lines if line]


def _field_of(message: str, method: Method) -> str:
    """The field that a message is about; the method's if it names none."""
    for beginning, field in ABOUT.items():
        if message.startswith(beginning):
            return field
    names = {option_of(i.name): i.name for i in method.inputs}
    found = OPTION.search(message)
    if found and found[0] in names:
        return names[found[0]]
    about_prior = next((i.name for i in method.inputs if i.kind == "prior"), "") if message.startswith("prior ") else ""
    if about_prior:
        return about_prior
    stages = {s.name for s in method.stages}
    return "set" if any(re.match(rf"(--set )?{re.escape(stage)}\b", message) for stage in stages) else "method"
