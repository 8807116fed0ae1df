"""Runs and versions by what they were asked for and what they measured: `prior3d find`."""

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from flows.engine.project import Project
from flows.engine.record import Record
from flows.engine.run import Run, all_runs
from flows.versions.history import Version, asked, numbered_version, records
from flows.versions.text import number_text
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

CONDITION = re.compile(r"^\s*(?P<name>[\w.]+)\s*(?P<sign>>=|<=|==|!=|>|<|=)\s*(?P<value>.+?)\s*$")
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
GENERAL = ("seconds", "version")


@dataclass(frozen=True)
class Condition:
    """`mesh_psnr>28`: a measure (perhaps with its stage), a parameter (`stage.name`) or `seconds`, and a value."""

    name: str
    sign: str
    value: float | str

    def holds(self, found: Any) -> bool:
        """Whether a value fulfils it; texts are compared with texts, numbers with numbers."""
        if isinstance(found, bool) or not isinstance(found, int | float):
            return self.sign in ("=", "==", "!=") and SIGNS[self.sign](str(found).lower(), str(self.value).lower())
        return isinstance(self.value, float) and SIGNS[self.sign](float(found), self.value)


@dataclass(frozen=True)
class Wanted:
    """What a search asks for; empty fields do not matter.

    Attributes:
        prompt: a part of the prompt or of a file's name, or a pattern with `*` and `?`; case does not matter.
        method: the method's name.
        prior: name of a prior, or the beginning of its digest.
        where: conditions that must all hold.
    """

    prompt: str = ""
    method: str = ""
    prior: str = ""
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Match:
    """A version that was found, and its value for each condition."""

    label: str
    method: str
    prompt: str
    when: str
    values: dict[str, Any]


def condition(text: str) -> Condition:
    """A condition out of its text (raises Prior3dError)."""
    found = CONDITION.match(text)
    if found is None:
        raise Prior3dError(f"--where {text!r}: write NAME, one of > < >= <= = !=, and a value, e.g. 'mesh_psnr>28'")
    try:
        value: float | str = float(found["value"])
    except ValueError:
        value = found["value"].strip("'\"")
    if isinstance(value, str) and found["sign"] not in ("=", "==", "!="):
        raise Prior3dError(f"--where {text!r}: {value!r} is no number; {found['sign']} compares numbers")
    return Condition(found["name"], found["sign"], value)


def find(project: Project, wanted: Wanted, every_version: bool = True) -> list[Match]:
    """All versions that a search asks for, by run and number.

    Args:
        project: the project.
        wanted: what to look for.
        every_version: also earlier versions, not only the newest of each run.

    Raises:
        Prior3dError: no version has a measure or parameter of a condition's name.
    """
    matches, names, unseen = [], set(GENERAL), {c.name for c in wanted.where}
    for run, number, version, record in _versions(project, every_version):
        if not _is_asked_for(record, wanted):
            continue
        known = values(record)
        names |= known.keys()
        if unseen - known.keys() or any(c.name not in known for c in wanted.where):
            known |= _parameters(version())
            names |= known.keys()
        unseen -= known.keys()
        if all(c.name in known and c.holds(known[c.name]) for c in wanted.where):
            shown = {c.name: known[c.name] for c in wanted.where}
            matches.append(Match(f"{run.name}@{number}", record.method, asked(record.inputs), record.when, shown))
    if unseen and len(names) > len(GENERAL):
        name = sorted(unseen)[0]
        hint = did_you_mean(name, names, "measures: " + ", ".join(sorted(n for n in names if "." not in n)))
        raise Prior3dError(f"--where {name}: no version that was looked at has such a measure or parameter; {hint}")
    return matches


def _versions(project: Project, every_version: bool) -> Iterator[tuple[Run, int, Callable[[], Version | None], Record]]:
    """Run, number, a way to read the lock, and record of the versions that have one."""
    for run in all_runs(project):
        files = run.versions()
        for number, file, record in records(files if every_version else files[-1:]):
            if record is not None:
                yield run, number, lambda run=run, file=file: _readable(run, file), record  # type: ignore[misc]


def _readable(run: Run, file: Any) -> Version | None:
    try:
        return numbered_version(run, file)
    except Prior3dError:
        return None  # `verify` names it


def _is_asked_for(record: Record, wanted: Wanted) -> bool:
    if wanted.method and record.method != wanted.method:
        return False
    if wanted.prior and not any(_is_prior(entry, wanted.prior) for entry in record.inputs.values()):
        return False
    if not wanted.prompt:
        return True
    texts = [str(e.get("text") or e.get("given") or "") for e in record.inputs.values()]
    return any(_fits(text, wanted.prompt) for text in texts)


def _is_prior(entry: Any, wanted: str) -> bool:
    return "digest" in entry and (entry.get("name") == wanted or str(entry["digest"]).startswith(wanted.lower()))


def _fits(text: str, wanted: str) -> bool:
    text, wanted = text.lower(), wanted.lower()
    return fnmatch(text, wanted) if any(c in wanted for c in "*?") else wanted in text


def values(record: Record) -> dict[str, Any]:
    """Everything that a version measured, by its name alone and with its stage; a later stage's wins."""
    found: dict[str, Any] = {"seconds": record.seconds}
    for stage, measures in record.metrics.items():
        for name, measure in measures.items():
            found[name] = found[f"{stage}.{name}"] = measure["value"]
    return found


def _parameters(version: Version | None) -> dict[str, Any]:
    """`stage.name` -> value, of plain and nested parameters."""
    found: dict[str, Any] = {}

    def add(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{name}.{key}", inner)
        else:
            found[name] = value

    for stage, params in (version.params() if version else {}).items():
        add(stage, params)
    return found


def rows_of(matches: Iterable[Match]) -> list[list[str]]:
    """Matches as rows of a table, the first with the heads; conditions are columns."""
    found = list(matches)
    names = list(found[0].values) if found else []
    rows = [["version", "method", *names, "asked for"]]
    for match in found:
        shown = [_shown(match.values[name]) for name in names]
        rows.append([match.label, match.method, *shown, match.prompt[:60]])
    return rows


def _shown(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number_text(float(value)) if number else str(value)
