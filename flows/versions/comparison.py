"""What differs between two versions: stages, parameters, functions, inputs, measurements, files to the byte."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.engine.record import changed_inputs, parameter_changes
from flows.engine.run_files import LockEntry
from flows.versions.history import Version
from prior3d.errors import Prior3dError

NO_QUALITY = ("charts", "glb_size", "texture_use")  # a worse mesh may have fewer charts, and a smaller file


@dataclass(frozen=True)
class Measure:
    """A measured number of both; None where one has none."""

    name: str
    old: float | None
    new: float | None
    unit: str = ""
    higher_is_better: bool | None = None

    @property
    def better(self) -> bool | None:
        """Whether the new one is better; None if equal, unknown or neither."""
        if self.old is None or self.new is None or self.old == self.new or self.higher_is_better is None:
            return None
        return (self.new > self.old) == self.higher_is_better


@dataclass(frozen=True)
class StageDifference:
    """One stage of both.

    Attributes:
        state: `same`, `changed`, or `new` / `gone` if only one has it.
        parameters: (name, old, new).
        code: old and new digest if they differ.
        functions: those that differ, as `changed prior3d.losses: ramp`; None where a version has no list of them.
        files: path -> `same`, `changed`, `new`, `gone`; None if a list of files was collected.
        measures: metrics that differ.
        cost: seconds and memory of both.
    """

    stage: str
    state: str
    parameters: list[tuple[str, Any, Any]] = field(default_factory=list)
    code: tuple[str, str] | None = None
    functions: list[str] | None = None
    files: dict[str, str] | None = None
    measures: list[Measure] = field(default_factory=list)
    cost: list[Measure] = field(default_factory=list)

    @property
    def byte_identical(self) -> bool | None:
        """Whether every file of its artifact is the same to the byte; None if it is no longer known."""
        return None if self.files is None else all(s == "same" for s in self.files.values())


@dataclass(frozen=True)
class Difference:
    """Everything that differs between two versions."""

    old: Version
    new: Version
    stages: list[StageDifference]
    inputs: list[tuple[str, str, str]]
    provenance: list[tuple[str, str, str]]

    @property
    def anything(self) -> bool:
        """Whether an input, a parameter, code or an artifact differs; machine, packages and cost do not count."""
        return bool(self.inputs) or any(stage.state != "same" for stage in self.stages)


def compare(old: Version, new: Version) -> Difference:
    """Compare two versions of one method.

    Raises:
        Prior3dError: they are of different methods.
    """
    if old.method != new.method:
        raise Prior3dError(
            f"{old.label} is a run of {old.method}, {new.label} one of {new.method}: their stages are not the same; "
            f"see them side by side: prior3d compare {old.label} {new.label}"
        )
    stages = [compare_stage(old, new, name) for name in [*new.lock, *(s for s in old.lock if s not in new.lock)]]
    return Difference(old, new, stages, _inputs(old, new), _provenance(old, new))


def compare_stage(old: Version, new: Version, stage: str) -> StageDifference:
    """One stage of two versions, which may be of different methods."""
    if stage not in old.lock or stage not in new.lock:
        return StageDifference(stage, "new" if stage in new.lock else "gone")
    before, after = old.lock[stage], new.lock[stage]
    parameters = parameter_changes(old.params().get(stage), new.params().get(stage))
    code = None if old.code(stage) == new.code(stage) else (old.code(stage), new.code(stage))
    same = _artifact_md5(before, stage) == _artifact_md5(after, stage) and not parameters and code is None
    return StageDifference(
        stage,
        "same" if same else "changed",
        parameters,
        code,
        changed_functions(old.functions(stage), new.functions(stage)) if code else [],
        _files(old, new, stage),
        [m for m in measures(old.metrics().get(stage, {}), new.metrics().get(stage, {})) if m.old != m.new],
        _cost(old.cost().get(stage, {}), new.cost().get(stage, {})),
    )


def _artifact_md5(entry: LockEntry, stage: str) -> Any:
    return next((o.get("md5") for o in entry.get("outs") or [] if o["path"] == stage), None)


def changed_functions(old: dict[str, str] | None, new: dict[str, str] | None) -> list[str] | None:
    """Functions that differ: `changed module: name`, `new ...`, `gone ...`; None if one list is missing."""
    if old is None or new is None:
        return None
    words = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            words.append(f"{'new' if name not in old else 'gone' if name not in new else 'changed'} {name}")
    return words


def _files(old: Version, new: Version, stage: str) -> dict[str, str] | None:
    """The artifact's files; what a stage took and its loss over time are compared as numbers, not as bytes."""
    before, after = _artifact(old, stage), _artifact(new, stage)
    if before is None or after is None:
        same = _artifact_md5(old.lock[stage], stage) == _artifact_md5(new.lock[stage], stage)
        return {stage: "same"} if same else None
    return {
        path: "same"
        if before.get(path) == after.get(path)
        else "new"
        if path not in before
        else "gone"
        if path not in after
        else "changed"
        for path in sorted(before.keys() | after.keys())
    }


def _artifact(version: Version, stage: str) -> dict[str, str] | None:
    files = version.files(stage)
    return None if files is None else {p: md5 for p, md5 in files.items() if p.partition("/")[0] == stage}


def measures(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[Measure]:
    """All metrics of both, in the new one's order."""
    found = []
    for name in [*new, *(n for n in old if n not in new)]:
        entry = new.get(name) or old[name]
        values = [float(e["value"]) if e else None for e in (old.get(name), new.get(name))]
        found.append(Measure(name, values[0], values[1], str(entry.get("unit", "")), better_direction(name, entry)))
    return found


def better_direction(name: str, entry: Mapping[str, Any]) -> bool | None:
    """Whether a higher value of a measure is a better result; None where neither is, or what it says is the cost."""
    return None if name in NO_QUALITY else entry.get("higher_is_better")


def _cost(old: dict[str, float], new: dict[str, float]) -> list[Measure]:
    units = {"seconds": "s"}
    return [
        Measure(name, old.get(name), new.get(name), units.get(name, "MB"))
        for name in [*new, *(n for n in old if n not in new)]
    ]


def _inputs(old: Version, new: Version) -> list[tuple[str, str, str]]:
    """Inputs whose content differs: (name, old, new)."""
    paths = changed_inputs(old.lock, new.lock)
    before, after = old.inputs, new.inputs
    named = {e["file"]: n for n, e in (before | after).items()}
    found = []
    for path in paths:
        name = named.get(path, path)
        recorded = old.record is not None and new.record is not None
        shown = [input_text(e.get(name)) if recorded or old.run is not new.run else "?" for e in (before, after)]
        found.append((name, shown[0], shown[1]))
    return found


def input_text(entry: Mapping[str, Any] | None) -> str:
    """An input for people: its text, or the name and digest of a prior, file or folder."""
    if entry is None:
        return "(none)"
    if "text" in entry:
        return str(entry["text"])
    if "digest" in entry:
        return f"{entry.get('name')} ({entry['digest'][:8]})"
    called = str(entry.get("given") or entry.get("file"))
    return f"{called} ({entry['md5'][:8]})" if "md5" in entry else called


def _provenance(old: Version, new: Version) -> list[tuple[str, str, str]]:
    """Git revision, machine and packages where they differ; empty unless both were recorded."""
    if old.record is None or new.record is None:
        return []
    before, after = facts(old), facts(new)
    keys = [*after, *(k for k in before if k not in after)]
    return [(k, before.get(k, "-"), after.get(k, "-")) for k in keys if before.get(k) != after.get(k)]


def facts(version: Version) -> dict[str, str]:
    """Where a version came from: git revision, device, machine, packages."""
    record = version.record
    if record is None:
        return {}
    git = record.git
    found = (
        {"git revision": f"{git['revision'][:12]}{' + changes' if git.get('dirty') else ''}"}
        if "revision" in git
        else {}
    )
    return found | {"device": record.device, "machine": record.machine} | record.packages


def as_json(difference: Difference) -> dict[str, Any]:
    """The difference as plain values."""

    def plain(m: Measure) -> dict[str, Any]:
        return {"old": m.old, "new": m.new, "unit": m.unit, "better": m.better}

    return {
        "old": difference.old.label,
        "new": difference.new.label,
        "method": difference.new.method,
        "inputs": {n: {"old": a, "new": b} for n, a, b in difference.inputs},
        "stages": {
            s.stage: {
                "state": s.state,
                "parameters": {n: {"old": a, "new": b} for n, a, b in s.parameters},
                "code": {"old": s.code[0], "new": s.code[1], "functions": s.functions} if s.code else None,
                "metrics": {m.name: plain(m) for m in s.measures},
                "cost": {m.name: plain(m) for m in s.cost},
                "byte_identical": s.byte_identical,
                "files": s.files,
            }
            for s in difference.stages
        },
        "provenance": {n: {"old": a, "new": b} for n, a, b in difference.provenance},
    }
