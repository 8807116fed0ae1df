"""What a plan will take: which stages DVC's cache of results has, and how long the others took last time.

Entries of the cache are read as text and compared with the declaration, so that no plan waits for DVC. A stage's result
there says what the next stage would read. What it cannot know (a folder that is not copied yet) it does not claim.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from flows.engine.declaration import Declaration
from flows.engine.method import Stage
from flows.engine.plan import Plan
from flows.engine.run import Run
from flows.engine.run_files import Damaged, LockEntry, derived, read_form, text_of
from flows.versions.objects import Objects


class Cost(TypedDict):
    """What a stage took."""

    seconds: float


@dataclass(frozen=True)
class Forecast:
    """Stages that the cache has, and the seconds that stages took last time, as far as that is known."""

    cached: frozenset[str] = frozenset()
    seconds: dict[str, float] = field(default_factory=dict)


def forecast(run: Run, declaration: Declaration, plan: Plan, stages: list[Stage], restore: bool = True) -> Forecast:
    """What the stages of a plan will take.

    Args:
        run: the run, which need not exist yet.
        declaration: what it is asked to be.
        plan: of the stages.
        stages: those that are wanted, in the method's order.
        restore: whether the cache is used at all.
    """
    ahead = [step.stage for step in plan.steps if step.action != "keep"]
    cached = _cached(run, declaration, stages, set(ahead)) if restore and ahead else frozenset()
    seconds = {name: _last_seconds(run, name) for name in ahead if name not in cached}
    return Forecast(frozenset(cached), {name: value for name, value in seconds.items() if value is not None})


def _last_seconds(run: Run, stage: str) -> float | None:
    """What a stage took when it was made last: of this run, else of the run of the project that made it last."""
    name = f"{stage}.cost.json"
    places = [run.folder / name]
    if not places[0].is_file():
        places = sorted(run.project.runs.glob(f"*/{name}"), key=_modified, reverse=True)[:1]
    cost = derived(places[0], Cost) if places else None
    return None if cost is None else float(cost["seconds"])


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _cached(run: Run, declaration: Declaration, stages: list[Stage], ahead: set[str]) -> frozenset[str]:
    """The stages ahead whose results are in the cache, with all their files."""
    objects, locked = Objects(run.project.root), run.locked()
    entries = [path for path in objects.folder.parents[1].glob("runs/*/*/*") if path.is_file()]
    texts = {path: text_of(path) or "" for path in entries}
    digests: dict[str, str] = {}  # path in the run's folder -> md5, as far as it is known
    found = set()
    for stage in stages:
        if stage.name not in ahead:
            entry: LockEntry | None = locked.get(stage.name)
        else:
            entry = _result(declaration, stage, texts, _wanted(declaration, stage, digests, locked), objects)
            found |= {stage.name} if entry is not None else set()
        digests |= {out["path"]: str(out.get("md5", "")) for out in (entry or {}).get("outs") or []}
    return frozenset(found)


def _wanted(
    declaration: Declaration, stage: Stage, digests: dict[str, str], locked: dict[str, LockEntry]
) -> dict[str, str] | None:
    """Path -> md5 of what a stage reads; None if it is not known."""
    inner = {s.name for s in declaration.method.stages}
    recorded = {d["path"]: d.get("md5") for d in locked.get(stage.name, {}).get("deps") or []}
    wanted = {}
    for path in declaration.wiring(stage).values():
        known = digests.get(path) if path in inner else declaration.digest_of_input(path) or recorded.get(path)
        if not known:
            return None
        wanted[path] = known
    return wanted


def _result(
    declaration: Declaration, stage: Stage, texts: dict[Path, str], wanted: dict[str, str] | None, objects: Objects
) -> LockEntry | None:
    """The entry of the cache for a stage with all its files, or None."""
    if wanted is None:
        return None
    command = declaration.command(stage)
    for path, text in texts.items():
        if not all(md5 in text for md5 in wanted.values()):
            continue
        try:
            entry: LockEntry = read_form(path, LockEntry)
        except Damaged:
            continue
        params = entry.get("params") or {}
        same = (
            entry.get("cmd") == command
            and {d["path"]: d.get("md5") for d in entry.get("deps") or []} == wanted
            and (params.get("params.yaml") or {}).get(stage.name) == declaration.params[stage.name]
            and (params.get("code.yaml") or {}).get(stage.name) == declaration.code[stage.name]
        )
        files = objects.files(entry.get("outs") or []) if same else None
        if files is not None and all(objects.has(md5) for md5 in files.values()):
            return entry
    return None
