"""What is remembered of a version beside its lock: when, why, what changed, what it took, where it came from.

`history/0003.lock` alone can bring a version back. Beside it, for people and comparisons, `history/0003.json`;
`history/code/DIGEST.json` lists the functions behind a stage's code digest. Versions without them are read as well.
"""

import contextlib
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from flows.engine.checksums import note_sums
from flows.engine.declaration import Declaration
from flows.engine.environment import GitState, git_state, package_versions
from flows.engine.fingerprint import functions
from flows.engine.licences import licences
from flows.engine.project import Project
from flows.engine.results import read_cost, read_metrics
from flows.engine.run import Run
from flows.engine.run_files import (
    Damaged,
    InputEntry,
    LockEntry,
    Measure,
    derived,
    has_form,
    read_lock,
    read_method,
)
from prior3d.files import write_whole
from prior3d.inside import climbs

ABSENT = "(none)"


@dataclass(frozen=True)
class Record:
    """One version of a run.

    Attributes:
        when: UTC, ISO 8601, to the millisecond: two runs of one second are told apart.
        how: `run`, `accept`, or `restore of 2`.
        reasons: stage -> why it was made, as the plan said.
        outcomes: stage -> Completed, Restored or Cached.
        changes: against the version before; nothing for the first.
        seconds: working time of the stages that were computed for it.
        metrics: stage -> name -> {value, unit, n, higher_is_better}.
        cost: stage -> seconds, peak_memory_mb, peak_gpu_memory_mb.
        inputs: method input -> file, and text, or name and digest, or what a file was called (`given`).
        stages: stage -> module and wiring.
        git: revision of the project, and whether tracked files differed from it; empty without git.
        packages: the project's direct dependencies and their versions.
        licences: method input -> its licence, where its file, its folder or the prior's card states one.
    """

    when: str
    how: str
    method: str
    preset: str
    reasons: dict[str, list[str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    metrics: dict[str, dict[str, Measure]] = field(default_factory=dict)
    cost: dict[str, dict[str, float]] = field(default_factory=dict)
    inputs: dict[str, InputEntry] = field(default_factory=dict)
    stages: dict[str, dict[str, str]] = field(default_factory=dict)
    device: str = ""
    git: GitState = field(default_factory=GitState)
    packages: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    licences: dict[str, str] = field(default_factory=dict)


def remember(
    run: Run,
    declaration: Declaration,
    how: str,
    reasons: dict[str, list[str]],
    outcomes: Mapping[str, str],
    warn: Callable[[str], None],
) -> str | None:
    """Add the present state to the run's versions, with its record, if it is a new one; returns its number.

    The lock is written last: a version that is there has its record. A missing or damaged record is written again.

    Args:
        run: it is held.
        declaration: what the run is asked to be.
        how: what made it.
        reasons: why each stage was made.
        outcomes: how each stage ended.
        warn: receives a line about a version that cannot be read; it is left as it is.
    """
    versions, number = run.versions(), run.next_version()
    file = run.folder / "history" / f"{number or versions[-1].stem}.json"
    known = read_record(file)
    if known is not None:
        if number is None:
            return None
        reasons = reasons or known.reasons  # a kill fell between the record and the lock
    old = _lock_before([v for v in versions if v.stem != file.stem], warn)
    file.parent.mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        file.rmdir()  # an empty folder in its place
    new = run.locked()
    list_functions(run, declaration, new)
    made = versions[-1].stat().st_mtime if number is None else time.time()
    record = asdict(describe(run, declaration.inputs, old, new, how, reasons, dict(outcomes), made))
    locks = {f"{number}.lock": run.lock_bytes()} if number is not None else {}
    write_noted(file.parent, {file.name: (json.dumps(record, indent=1) + "\n").encode()}, locks)
    if number is not None:
        run.remember(number)
    return number


def list_functions(run: Run, declaration: Declaration, lock: dict[str, Any]) -> None:
    """Write the functions behind each stage's code digest, where the lock has the code of today."""
    for stage in declaration.method.stages:
        digest = locked_code(lock, stage.name)
        listed = code_file(run, digest)
        if digest == declaration.code[stage.name] and not listed.is_file():
            listed.parent.mkdir(exist_ok=True)
            content = json.dumps(_functions_of(run.project, stage.module, listed.name), indent=0).encode()
            write_noted(run.folder / "history", {f"code/{listed.name}": content})


def _functions_of(project: Project, module: str, name: str) -> dict[str, dict[str, str]]:
    """The functions of a stage: parsed once for each digest in a project, which takes half a second for a method."""
    kept = project.state / "code" / name
    known: dict[str, dict[str, str]] | None = derived(kept, dict[str, dict[str, str]])
    if known is None:
        known = functions(module)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, json.dumps(known))
    return known


def write_noted(history: Path, contents: dict[str, bytes], others: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Write files of a run's history, with their digests and those of others that are written next."""
    note_sums(history, contents | dict(others))
    for name, content in contents.items():
        write_whole(history / name, content)


def _lock_before(versions: list[Path], warn: Callable[[str], None]) -> dict[str, LockEntry]:
    """The newest lock of some versions that can be read; empty without one."""
    for file in reversed(versions):
        try:
            return read_lock(file)
        except Damaged:
            warn(
                f"version {int(file.stem)} of run {file.parent.parent.name} is damaged ({file.name} is no lock): it "
                "cannot be restored; bring it back from git or a copy, or delete it"
            )
    return {}


def describe(
    run: Run,
    given: Mapping[str, bytes | Path],
    old: dict[str, Any],
    new: dict[str, Any],
    how: str,
    reasons: dict[str, list[str]],
    outcomes: dict[str, str],
    made: float,
) -> Record:
    """The record of a run, which is held, as it lies on the disk.

    Args:
        run: whose.
        given: method input -> its content, or where its file or folder lies.
        old: the lock of the version before; empty for none.
        new: its lock.
        how: what made it.
        reasons: why each stage was made.
        outcomes: how each stage ended.
        made: when, in seconds since 1970.
    """
    described, outcomes = read_method(run.folder), _with_earlier_work(old, new, how, outcomes)
    cost = {stage: read_cost(run.folder, stage) for stage in new}
    return Record(
        when=datetime.fromtimestamp(made, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        how=how,
        method=described["method"],
        preset=described.get("preset", ""),
        reasons={k: list(v) for k, v in reasons.items() if v},
        outcomes=outcomes,
        changes=lock_changes(old, new) if old else [],
        seconds=round(sum(cost[s].get("seconds", 0.0) for s in new if outcomes.get(s) == "Completed"), 2),
        metrics={stage: read_metrics(run.folder, stage) for stage in new},
        cost=cost,
        inputs=described.get("inputs") or {},
        stages=described.get("stages") or {},
        licences=licences(described.get("inputs") or {}, given, run.settings().get("priors") or {}),
        **_surroundings(run),
    )


def _surroundings(run: Run) -> dict[str, Any]:
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    device = str(run.settings().get("device", ""))
    return {"device": device, "git": git_state(run.project.root), "packages": package_versions(), "machine": machine}


def _with_earlier_work(old: dict[str, Any], new: dict[str, Any], how: str, outcomes: dict[str, str]) -> dict[str, str]:
    """Outcomes in which a stage that an earlier, interrupted command made counts as Completed."""
    found = dict(outcomes)
    for stage, entry in new.items():
        if old.get(stage, {}).get("outs") != entry.get("outs") and found.get(stage, "Cached") == "Cached":
            found[stage] = "Completed" if how == "run" else found.get(stage, "Cached")
    return found


def code_file(run: Run, digest: str) -> Path:
    """Where the functions behind a stage's code digest are listed."""
    return run.folder / "history" / "code" / f"{digest}.json"


def read_record(path: Path) -> Record | None:
    """A version's record; None without one that can be read."""
    hints = get_type_hints(Record)
    values = derived(path, dict[str, Any])
    if values is None:
        return None
    values = {name: value for name, value in values.items() if name in hints}
    try:
        datetime.fromisoformat(values["when"].replace("Z", "+00:00"))
        record = Record(**values)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    whole = all(has_form(value, hints[name]) for name, value in values.items())
    return record if whole and not any(climbs(entry["file"]) for entry in record.inputs.values()) else None


def locked_code(lock: dict[str, Any], stage: str) -> str:
    """The code digest that a lock has of a stage."""
    entry = (lock.get(stage) or {}).get("params") or {}
    return str((entry.get("code.yaml") or {}).get(stage, ""))


def locked_params(lock: dict[str, Any], stage: str) -> dict[str, Any]:
    """The parameters that a lock has of a stage."""
    entry = (lock.get(stage) or {}).get("params") or {}
    return dict((entry.get("params.yaml") or {}).get(stage) or {})


def lock_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a person would say has changed between two locks: parameters, code, inputs, stages."""
    lines = []
    for stage in [*new, *(s for s in old if s not in new)]:
        if stage not in old or stage not in new:
            lines.append(f"{stage}: {'new' if stage in new else 'gone'}")
            continue
        for name, before, after in parameter_changes(locked_params(old, stage), locked_params(new, stage)):
            lines.append(f"{stage}.{name}: {before} -> {after}")
        if locked_code(old, stage) != locked_code(new, stage):
            lines.append(f"{stage}: code")
    return lines + [f"input {path}" for path in changed_inputs(old, new)]


def changed_inputs(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The files that came from outside and differ between two locks."""
    before, after = _outside(old), _outside(new)
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _outside(lock: dict[str, Any]) -> dict[str, Any]:
    deps = (d for entry in lock.values() for d in entry.get("deps") or [])
    return {d["path"]: d.get("md5") for d in deps if d["path"] not in lock}


def parameter_changes(old: Any, new: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """Every parameter that differs: (dotted name, old value, new value)."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*new, *(k for k in old if k not in new)]
        return [
            found
            for key in keys
            for found in parameter_changes(
                old.get(key, ABSENT), new.get(key, ABSENT), f"{where}.{key}" if where else str(key)
            )
        ]
    return [] if old == new else [(where, old, new)]
