"""What a run would do, and why: a reason for each stage that is not as its lock says."""

from dataclasses import dataclass
from typing import Any, Literal

from flows.engine.declaration import Declaration
from flows.engine.dvc_store import DvcStore, FileState
from flows.engine.method import Stage
from flows.engine.record import parameter_changes
from flows.engine.run import Run
from flows.engine.run_files import LockEntry
from flows.engine.seen_states import file_states

LONGEST_VALUE = 40


@dataclass(frozen=True)
class Step:
    """One stage of a plan.

    Attributes:
        stage: its name.
        action: `keep`; `make` (restored if the cache has it, else run); `follow` (made only if an earlier stage's
            output changes).
        reasons: why, for people; empty for `keep`.
    """

    stage: str
    action: Literal["keep", "make", "follow"]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The steps in the method's order."""

    steps: tuple[Step, ...]

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return all(s.action == "keep" for s in self.steps)


def make_plan(
    run: Run,
    declaration: Declaration,
    store: DvcStore,
    stages: list[Stage],
    force: bool = False,
    declared: bool = False,
) -> Plan:
    """Compare a declaration with what a run's lock says; writes nothing.

    Args:
        run: the run, which need not exist yet.
        declaration: what it is asked to be.
        store: DVC.
        stages: those of the method that are wanted, in its order.
        force: make every stage anew.
        declared: the declaration is already on the disk, so its inputs' files are compared as they are.
    """
    locked = run.locked()
    known = [s.name for s in stages if s.name in locked] if (run.folder / "dvc.yaml").is_file() else []
    states = file_states(run, store, locked, known) if known else {}
    moving: set[str] = set()
    steps = []
    for stage in stages:
        reasons = _reasons(stage, declaration, locked.get(stage.name), states.get(stage.name, FileState()), declared)
        reasons = ["asked to compute it again"] if force else reasons
        waits = [n for n in declaration.method.needs(stage) if n in moving]
        if reasons:
            steps.append(Step(stage.name, "make", tuple(reasons)))
        elif waits:
            steps.append(Step(stage.name, "follow", (f"if the output of {' or '.join(waits)} changes",)))
        else:
            steps.append(Step(stage.name, "keep"))
        if reasons or waits:
            moving.add(stage.name)
    return Plan(tuple(steps))


def _reasons(
    stage: Stage, declaration: Declaration, lock: LockEntry | None, files: FileState, declared: bool
) -> list[str]:
    if lock is None:
        return ["new"]
    reasons = []
    params = lock.get("params") or {}
    if (params.get("code.yaml") or {}).get(stage.name) != declaration.code[stage.name]:
        reasons.append("code changed")
    old = (params.get("params.yaml") or {}).get(stage.name) or {}
    changes = parameter_changes(old, declaration.params[stage.name])
    reasons += [f"{name}: {_short(before)} -> {_short(after)}" for name, before, after in changes]
    if lock.get("cmd") != declaration.command(stage):
        reasons.append("its command or wiring changed")
    inner = {s.name for s in declaration.method.stages}
    recorded = {d["path"]: d.get("md5") for d in lock.get("deps") or []}
    for path in declaration.wiring(stage).values():
        digest = None if declared or path in inner else declaration.digest_of_input(path)
        if (digest is not None and digest != recorded.get(path)) or (digest is None and path in files.inputs):
            reasons.append(f"input {path} changed")
    reasons += [f"output {p} {'is missing' if s == 'deleted' else f'is {s}'}" for p, s in files.outputs.items()]
    return reasons


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."
