"""The page of a sweep: a row a run, with its thumbnail, what differs between the rows, and what was measured."""

from dataclasses import dataclass
from typing import Any

from flows.engine.failures import Failure, read_failures
from flows.engine.project import Project
from flows.sweeps.running import DONE, FAILED, State
from flows.versions.comparison import better_direction
from flows.versions.history import find_version
from flows.versions.images import thumbnail, thumbnail_source
from flows.versions.render import render
from flows.versions.tables import Cell
from flows.versions.text import unit_of, value_text
from prior3d.errors import Prior3dError

MOST_MEASURES = 12


@dataclass(frozen=True)
class Shown:
    """One row: its run, its image, its values in the columns that differ, its measures, how its stages failed."""

    state: State
    image: str | None
    values: list[str]
    measures: list[Cell]
    failures: list[Failure]


def page_of_sweep(project: Project, sweep: str, states: list[State]) -> str:
    """The page, which needs nothing else."""
    measured = [_measures(project, s) if s.state == DONE else {} for s in states]
    names = _names(measured)
    columns = _columns(states)
    cells = {name: _cells([m.get(name) for m in measured]) for name in names}
    rows = [
        Shown(
            state,
            _image(project, state) if state.state == DONE else None,
            [str(state.wanted.row.values.get(c, "")) for c in columns],
            [cells[name][index] for name in names],
            read_failures(project.runs / state.wanted.name) if state.state == FAILED else [],
        )
        for index, state in enumerate(states)
    ]
    return render(
        "sweep.html.j2",
        ["common.js"],
        title=f"sweep {sweep}",
        subtitle=f"sweep {sweep}",
        data={},
        sweep=sweep,
        rows=rows,
        columns=columns,
        measures=[(name.partition(".")[2], unit_of(name, _unit(measured, name))) for name in names],
        done=sum(s.state == DONE for s in states),
    )


def _measures(project: Project, state: State) -> dict[str, Any]:
    """`stage.name` -> measure, of those with a better direction."""
    try:
        version = find_version(project, state.wanted.name)
    except Prior3dError:
        return {}
    return {
        f"{stage}.{name}": measure
        for stage, measures in version.metrics().items()
        for name, measure in measures.items()
        if better_direction(name, measure) is not None
    }


def _names(measured: list[dict[str, Any]]) -> list[str]:
    """Measures that some run has and that are not the same in all, of later stages first."""
    names = list(dict.fromkeys(name for m in measured for name in m))
    differing = [n for n in names if len({m[n]["value"] for m in measured if n in m}) > 1]
    return (differing or names)[::-1][:MOST_MEASURES]


def _columns(states: list[State]) -> list[str]:
    """The columns of the file in which rows differ."""
    names = list(dict.fromkeys(name for s in states for name in s.wanted.row.values))
    rows = [s.wanted.row.values for s in states]
    return [n for n in names if n != "name" and (len({str(row.get(n)) for row in rows}) > 1 or len(rows) == 1)]


def _cells(entries: list[Any]) -> list[Cell]:
    known = [float(e["value"]) for e in entries if e]
    better = next((e["higher_is_better"] for e in entries if e), None)
    best = (max if better else min)(known) if len(set(known)) > 1 else None
    return [
        Cell(value_text(float(e["value"]), e.get("unit", "")), "best" if float(e["value"]) == best else "")
        if e
        else Cell("-")
        for e in entries
    ]


def _unit(measured: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(m[name] for m in measured if name in m)


def _image(project: Project, state: State) -> str | None:
    name = state.wanted.name
    try:
        key = next((key for key, _ in thumbnail_source(find_version(project, name))), "")
        return thumbnail(project, name, key) if key else None
    except Prior3dError:
        return None
