"""The tables of a page as data: what differs, what was measured, what it cost, where it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.engine.run_files import Measure
from flows.versions.comparison import StageDifference, better_direction, compare_stage, facts, input_text
from flows.versions.history import Version
from flows.versions.text import unit_of, value_text

ABSENT = "-"


@dataclass(frozen=True)
class Cell:
    """A measured value of one version; `mark` is `best`, `differs` or empty."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table: its head, and one value per version."""

    head: str
    values: list[Any]

    @property
    def differs(self) -> bool:
        """Whether the versions have different values."""
        return any(value != self.values[0] for value in self.values)


@dataclass(frozen=True)
class Measured:
    """One measure of a stage."""

    name: str
    unit: str
    cells: list[Cell]


@dataclass(frozen=True)
class StageCost:
    """What one stage took, per version.

    Attributes:
        seconds: None where it is not known.
        bars: percent of the longest stage.
        memory_mb: on the GPU where it ran on one; None where it is not known.
    """

    stage: str
    seconds: list[float | None]
    bars: list[float]
    memory_mb: list[float | None]


@dataclass(frozen=True)
class Provenance:
    """Where the versions came from.

    Attributes:
        inputs: values are pairs of text and digest; the digest may be empty.
        seeds: per version.
        facts: git revision, machine, and packages that are not the same in all.
        packages: those that are the same in all.
        stages: values are pairs of code digest and output digest.
    """

    inputs: list[Row]
    seeds: list[str]
    facts: list[Row]
    packages: str
    stages: list[Row] = field(default_factory=list)


def stages_of(versions: list[Version]) -> list[str]:
    """The stages of all versions, each once, in their order."""
    return list(dict.fromkeys(stage for v in versions for stage in v.lock))


def inputs_of(versions: list[Version]) -> list[str]:
    """The inputs of all versions, each once, in their order."""
    return list(dict.fromkeys(name for v in versions for name in v.inputs))


def differing_inputs(versions: list[Version]) -> list[Row]:
    """Inputs that are not the same in all versions."""
    rows = [Row(name, [input_text(v.inputs.get(name)) for v in versions]) for name in inputs_of(versions)]
    return [row for row in rows if row.differs]


def stage_differences(versions: list[Version]) -> list[tuple[str, list[StageDifference]]]:
    """Each stage of the later versions against the same stage of the first."""
    first, *others = versions
    return [(stage, [compare_stage(first, other, stage) for other in others]) for stage in stages_of(versions)]


def parameters(versions: list[Version]) -> list[tuple[str, list[Row]]]:
    """Every parameter of every stage."""
    all_params, found = [v.params() for v in versions], []
    for stage in stages_of(versions):
        names = dict.fromkeys(n for p in all_params for n in p.get(stage, {}))
        found.append((stage, [Row(n, [p.get(stage, {}).get(n, ABSENT) for p in all_params]) for n in names]))
    return found


def measurements(versions: list[Version]) -> list[tuple[str, list[Measured]]]:
    """Every measure of every stage that has one; where one direction is better, the best value is marked."""
    metrics, found = [v.metrics() for v in versions], []
    for stage in stages_of(versions):
        rows = []
        for name in dict.fromkeys(n for m in metrics for n in m.get(stage, {})):
            entries = [m.get(stage, {}).get(name) for m in metrics]
            rows.append(Measured(name, unit_of(name, next(e for e in entries if e)), _cells(name, entries)))
        if rows:
            found.append((stage, rows))
    return found


def _cells(name: str, entries: Sequence[Measure | None]) -> list[Cell]:
    known = [float(e["value"]) for e in entries if e]
    better = next((better_direction(name, e) for e in entries if e), None)
    differ = len(set(known)) > 1
    best = (max if better else min)(known) if differ and better is not None else None
    cells = []
    for entry in entries:
        if entry is None:
            cells.append(Cell(ABSENT))
            continue
        value = float(entry["value"])
        text = value_text(value, entry.get("unit", ""))
        cells.append(Cell(text, "best" if value == best else "differs" if differ else ""))
    return cells


def cost(versions: list[Version]) -> list[StageCost]:
    """Seconds and peak memory of each stage; the last row is for all of them together."""
    costs, rows = [v.cost() for v in versions], []
    longest = max((c.get("seconds", 0.0) for cost in costs for c in cost.values()), default=0.0) or 1.0
    for stage in stages_of(versions):
        entries = [c.get(stage, {}) for c in costs]
        seconds = [e.get("seconds") for e in entries]
        memory = [e.get("peak_gpu_memory_mb", e.get("peak_memory_mb")) for e in entries]
        rows.append(StageCost(stage, seconds, [100 * (s or 0) / longest for s in seconds], memory))
    totals: list[float | None] = [sum(c.get("seconds", 0.0) for c in cost.values()) for cost in costs]
    peaks: list[float | None] = [max((c.get("peak_memory_mb", 0.0) for c in k.values()), default=0.0) for k in costs]
    return [*rows, StageCost("all", totals, [], peaks)]


def provenance(versions: list[Version]) -> Provenance:
    """Priors, seeds, code and artifacts by digest; git revision, machine and packages as they were recorded."""
    inputs = []
    for name in inputs_of(versions):
        entries = [v.inputs.get(name) for v in versions]
        inputs.append(Row(name, [(input_text(e), (e or {}).get("digest", "")) for e in entries]))
    known = [facts(v) for v in versions]
    packages = [v.record.packages if v.record else {} for v in versions]
    same = {k: n for k, n in packages[0].items() if all(p.get(k) == n for p in packages)}
    others = dict.fromkeys(k for f in known for k in f if k not in same)
    return Provenance(
        inputs,
        [", ".join(sorted({str(s) for s in v.seeds().values()})) or ABSENT for v in versions],
        [Row(key, [f.get(key, "not recorded") for f in known]) for key in others],
        ", ".join(f"{k} {n}" for k, n in same.items()),
        [Row(stage, [(v.code(stage), _output(v, stage)) for v in versions]) for stage in stages_of(versions)],
    )


def _output(version: Version, stage: str) -> str:
    outs = (version.lock.get(stage) or {}).get("outs") or []
    return next((str(o.get("md5")) for o in outs if o["path"] == stage), ABSENT)
