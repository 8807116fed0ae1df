"""What `ls` and the gallery say about each run. It is kept in `.prior3d/summaries.json` until the run's files change: a
thousand runs are then listed without reading a thousand locks.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from flows.engine.project import Project
from flows.engine.run import Run, all_runs
from flows.engine.run_files import derived, has_form, read_method
from flows.terminal import duration_text
from flows.versions.comparison import better_direction
from flows.versions.history import Version, asked, find_version
from flows.versions.images import thumbnail_source
from flows.versions.text import number_text, unit_of, words
from prior3d.errors import Prior3dError
from prior3d.files import write_whole

FORMAT = 4  # raise it when summaries are made in another way
SHOWN_MEASURES = 4


@dataclass(frozen=True)
class Summary:
    """One run as it is now.

    Attributes:
        name: the run.
        method: its method.
        prompt: its prompt, or the names of its files.
        n_stages: how many its method has.
        n_made: how many of them have a result.
        n_versions: how many versions it has.
        number: its present version; None if it is none.
        values: what the gallery sorts by: name, prompt, when, seconds, measures with a better direction.
        facts: (name, value) pairs for a card.
        thumbnail: the key of its thumbnail; empty without one.
        problem: why the rest is unknown; empty if all is well.
    """

    name: str
    method: str = ""
    prompt: str = ""
    n_stages: int = 0
    n_made: int = 0
    n_versions: int = 0
    number: int | None = None
    values: dict[str, Any] = field(default_factory=dict)
    facts: list[list[str]] = field(default_factory=list)
    thumbnail: str = ""
    problem: str = ""


class Kept(TypedDict):
    """A summary, and the states of the files that it was made of."""

    seen: list[list[int]]
    summary: dict[str, Any]


def summaries(project: Project) -> list[Summary]:
    """A summary of every run, by name."""
    place = project.state / "summaries.json"
    before = _kept(place)
    now: dict[str, dict[str, Any]] = {}
    for run in all_runs(project):
        seen, known = _signature(run), before.get(run.name)
        if known is None or known["seen"] != seen:
            known = {"seen": seen, "summary": asdict(summarise(run))}
        now[run.name] = known
    if now != before:
        place.parent.mkdir(exist_ok=True)
        write_whole(place, json.dumps({"format": FORMAT, "runs": now}))
    return [Summary(**entry["summary"]) for entry in now.values()]


def summarise(run: Run) -> Summary:
    """The summary of a run, read from its files; one of a damaged run says what is wrong with it."""
    try:
        described = read_method(run.folder)
        stages, n_versions = described.get("stages") or {}, len(run.versions())
        about = (run.name, str(described.get("method")), asked(described.get("inputs") or {}), len(stages))
        if not (run.folder / "dvc.lock").is_file():
            return Summary(*about, n_versions=n_versions)
        version = find_version(run.project, run.name)
        return Summary(
            *about,
            n_made=len(set(stages) & set(version.lock)),
            n_versions=n_versions,
            number=version.number,
            values=_values(version),
            facts=_facts(version),
            thumbnail=next((key for key, _ in thumbnail_source(version)), ""),
        )
    except Prior3dError as error:
        return Summary(run.name, problem=str(error))


def _values(version: Version) -> dict[str, Any]:
    values: dict[str, Any] = {"name": version.run.name, "prompt": version.prompt}
    if version.record:
        values["when"] = version.record.when
    values["seconds"] = round(sum(c.get("seconds", 0.0) for c in version.cost().values()), 2)
    for measures in version.metrics().values():
        values |= {name: m["value"] for name, m in measures.items() if better_direction(name, m) is not None}
    return values


def _facts(version: Version) -> list[list[str]]:
    """Working time, and the measures of the last stages that have a better direction."""
    seconds = sum(c.get("seconds", 0.0) for c in version.cost().values())
    facts = [["working time", duration_text(seconds)]]
    for stage in reversed(version.lock):
        for name, m in version.metrics().get(stage, {}).items():
            if better_direction(name, m) is not None and m.get("unit") != "yes/no" and len(facts) <= SHOWN_MEASURES:
                facts.append([words(name), number_text(m["value"]) + unit_of(name, m)])
    return facts


def _signature(run: Run) -> list[list[int]]:
    """File states that change whenever the content of a summary does."""
    return [_stat(run.folder / name) for name in ("dvc.lock", "method.yaml", "history")]


def _stat(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_ino, status.st_mtime_ns, status.st_size]


def _kept(place: Path) -> dict[str, dict[str, Any]]:
    values = derived(place, dict[str, Any]) or {}
    runs: dict[str, Any] = values.get("runs") or {}
    return runs if values.get("format") == FORMAT and has_form(runs, dict[str, Kept]) else {}
