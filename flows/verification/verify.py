"""One sitting of `prior3d verify`: everything that some runs rest on, or everything that the project has."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.engine.declaration import read_declaration
from flows.engine.dvc_store import DvcStore
from flows.engine.project import Project
from flows.engine.run import Run, all_runs
from flows.engine.run_files import LockEntry, parse_lock
from flows.methods import METHODS
from flows.verification.checkpoints import check_checkpoints
from flows.verification.contents import check_contents
from flows.verification.findings import Check
from flows.verification.histories import History, check_history, check_lock
from flows.verification.priors import check_priors
from prior3d.errors import Prior3dError
from prior3d.inside import remove

KINDS = ("artifact", "object", "lock", "record", "result", "checkpoint", "prior", "input")


def verify(project: Project, names: list[str], heals: bool = True) -> Check:
    """Read what some runs rest on; all runs, the whole cache and the embedded priors if none is named.

    Args:
        project: the project.
        names: of runs.
        heals: whether to put back what can be put back.

    Raises:
        Prior3dError: there is no run of a name, or another process works on it.
    """
    check, everything = Check(project, heals), not names
    runs = _runs(project) if everything else [Run(project, name).require() for name in names]
    with _held(check, runs, everything) as held:
        histories = [check_history(check, run) for run in held]
        for history in histories:
            check_lock(check, history)
        check_contents(check, histories, everything)
        for history in histories:
            _check_inputs(check, history.run)
            check_checkpoints(check, history.run)
        if everything:
            _check_results(check, histories)
        check_priors(check, held, everything)
    return check


def _runs(project: Project) -> list[Run]:
    """Every run, also one whose `method.yaml` is gone."""
    found = {run.name: run for run in all_runs(project)}
    for place in sorted(project.runs.glob("*/history")):
        try:
            found.setdefault(place.parent.name, Run(project, place.parent.name))
        except Prior3dError:
            continue  # no name of a run
    return [found[name] for name in sorted(found)]


@contextmanager
def _held(check: Check, runs: list[Run], everything: bool) -> Iterator[list[Run]]:
    """The runs that nobody works on; one that is worked on is left out, unless a person named it."""
    with ExitStack() as stack:
        held = []
        for run in runs:
            try:
                stack.enter_context(run.alone())
            except Prior3dError as error:
                if not everything:
                    raise
                check.notes.append(f"left out: {error}")
                continue
            held.append(run)
        yield held


def _check_inputs(check: Check, run: Run) -> None:
    """What a person gave, against the present lock; it can be put back by a person only."""
    if any(f.what == f"{run.name}: dvc.lock" and not f.healed for f in check.findings):
        return  # nothing can be compared with it
    try:
        locked = run.locked()
        declared = {s.name for s in read_declaration(run.folder, METHODS).method.stages}
        stages = [s for s in locked if s in declared]
        states = DvcStore(check.project.root).file_states(run.dvc_file, stages) if stages else {}
    except Prior3dError as error:
        check.found("input", f"{run.name}: its declaration", str(error), remedy="give its run command again")
        return
    changed = {path: state for s in states.values() for path, state in s.inputs.items() if path not in locked}
    given = {d["path"] for e in locked.values() for d in e.get("deps") or []} - locked.keys()
    check.n_read["input"] += len(given)
    for path, state in sorted(changed.items()):
        problem, remedy = f"it is {state} since the present version was made", f"see: prior3d plan {run.name}"
        check.found("input", f"{run.name}: {path}", problem, remedy=f"put it back, or {remedy}")


def _check_results(check: Check, histories: list[History]) -> None:
    """DVC's cache of results: a damaged entry is removed, and written again out of a version that has it."""
    store = DvcStore(check.project.root)
    entries = store.results()
    check.n_read["result"] += len(entries)
    damaged = [place for place, whole in entries if not whole]
    if not damaged:
        return
    if check.heals:
        for place in damaged:
            remove(place)
    again = _written_again(store, histories) if check.heals else set()
    for place in damaged:
        done = "written again from a version's lock" if place in again else "removed: that key is computed again"
        check.found("result", f"{place.parent.name[:8]}/{place.name[:8]}", "it is damaged", done if check.heals else "")


def _written_again(store: DvcStore, histories: list[History]) -> set[Path]:
    locks: list[dict[str, LockEntry]] = []
    for history in histories:
        locks += [parse_lock(content.decode()) for content in history.locks().values()]
    missing = [(e, k) for lock in locks for e, k in zip(lock.values(), store.knows(dict(lock)).values(), strict=True)]
    return {store.keep_result(dict(entry)) for entry, known in missing if not known}


def summary(check: Check) -> str:
    """What was read, what was found, and what is left for a person."""
    read = [f"{check.n_read[kind]:,} {kind}{'s' * (check.n_read[kind] != 1)}" for kind in KINDS if check.n_read[kind]]
    lines = [*check.notes, *[f.text() for f in check.findings], f"read {', '.join(read) or 'nothing'}"]
    found = Counter(f.healed for f in check.findings)
    if not check.findings:
        return "\n".join([*lines, "all is whole"])
    aside = check.project.state / "damaged"
    if found[True] and aside.is_dir():
        lines.append(f"what was damaged is kept in {aside} until you delete it")
    if not check.heals:
        return "\n".join([*lines, f"{len(check.findings)} damaged; nothing was touched"])
    left = f"; {found[False]} left for you" if found[False] else ""
    return "\n".join([*lines, f"{len(check.findings)} found, {found[True]} put right{left}"])
