"""A file made again from its inputs, in a scratch place with a cache of its own, and compared byte for byte."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.engine.declaration import Declaration, code_digests
from flows.engine.dvc_store import DvcStore
from flows.engine.events import Events
from flows.engine.plan import Plan
from flows.engine.priors import choose_prior
from flows.engine.project import Project, init_project
from flows.engine.run import Run
from flows.engine.run_files import LockEntry
from flows.engine.session import Options, carry_out
from flows.provenance.statement import Statement, carrying, chain
from flows.provenance.tracing import Holder
from flows.provenance.whence import Origin
from flows.versions.history import Version, find_version
from flows.versions.restoring import declaration_of
from prior3d.errors import Prior3dError


@dataclass(frozen=True)
class Reproduction:
    """What came of making a file again.

    Attributes:
        holder: the version, stage and path that were made again.
        folder: where it was made.
        same: whether the file's bytes are those that were asked about.
        stages: stage -> how many of its files are the same, and how many there are.
        other_code: stages whose code has changed since.
    """

    holder: Holder
    folder: Path
    same: bool
    stages: dict[str, tuple[int, int]]
    other_code: list[str]

    def text(self) -> str:
        """For people."""
        label = f"{self.holder.path} of {self.holder.version.label}"
        lines = [f"{label}: {'the same bytes' if self.same else 'other bytes'}"]
        for stage, (same, n) in self.stages.items():
            code = "; its code has changed since" if stage in self.other_code else ""
            lines.append(f"  {stage}: {same} of {n} files the same to the byte{code}")
        if not self.same:
            lines.append(f"  what was made now is in {self.folder}")
        return "\n".join(lines)


def holder_of(origin: Origin) -> Holder:
    """The version to make a file again from.

    Raises:
        Prior3dError: the file was changed since, was given by a person, or its run is gone.
    """
    said = origin.said
    if said is not None and not origin.is_whole:
        raise Prior3dError(
            f"{origin.file} was changed after it left its project, so nothing would be the same; "
            "see: prior3d whence FILE"
        )
    if origin.project is None:
        raise Prior3dError(f"{origin.file}: give --project DIR, a project with the run {said and said['run']}")
    own = [h for h in origin.holders if said is not None and h.version.run.name == said["run"]]
    found = [h for h in own if said is not None and h.version.number == said.get("version")] or own or origin.holders
    if not found:
        run = said["run"] if said is not None else "?"
        raise Prior3dError(
            f"{origin.file}: no run of {origin.project.root} holds it; its run {run} is gone. Make it with: "
            "prior3d run METHOD, with the inputs that `prior3d whence` names"
        )
    newest = [h for h in found if h.path == found[0].path][-1]
    if not newest.stage:
        raise Prior3dError(f"{origin.file} is an input, {newest.path} of {newest.version.label}: no stage made it")
    return newest


def prepared(holder: Holder) -> tuple[Declaration, dict[str, Any]]:
    """What has to be run again, with the code of today, and the settings of this machine.

    Raises:
        Prior3dError: an input or a prior is no longer what it was.
    """
    version = holder.version
    whole, names = declaration_of(version), chain(version, holder.stage)
    stages = tuple(s for s in whole.method.stages if s.name in names)
    taken = {source for s in stages for source in s.inputs.values()}
    inputs = {n: content for n, content in whole.inputs.items() if n in taken}
    _check_inputs(version, names, whole, inputs)
    method = replace(whole.method, stages=stages, inputs=tuple(i for i in whole.method.inputs if i.name in taken))
    settings = version.run.settings()
    _check_priors(version, settings, inputs)
    code = {**whole.code, **code_digests(method)}
    return replace(whole, method=method, inputs=inputs, code=code), settings


def _check_inputs(version: Version, names: list[str], whole: Declaration, inputs: dict[str, bytes | Path]) -> None:
    """Files and folders must be there, be what the present lock says, and the lock must say what the version's does."""
    run, paths = version.run, [whole.input_path(n) for n, content in inputs.items() if isinstance(content, Path)]
    gone = next((path for path in paths if not (run.folder / path).exists()), None)
    if gone is not None:
        raise Prior3dError(f"{version.label}: its input {gone} is gone; put it back into {run.folder}")
    if not paths:
        return
    locked = run.locked()
    states = DvcStore(run.project.root).file_states(run.dvc_file, [n for n in names if n in locked])
    edited = {path for state in states.values() for path in state.inputs}
    then, now = _dependencies(version.lock), _dependencies(locked)
    for path in paths:
        if path in edited or now.get(path) != then.get(path):
            raise Prior3dError(f"{version.label}: its input {path} was replaced since; put the old one back")


def _dependencies(lock: dict[str, LockEntry]) -> dict[str, str]:
    return {d["path"]: str(d.get("md5")) for entry in lock.values() for d in entry.get("deps") or []}


def _check_priors(version: Version, settings: dict[str, Any], inputs: dict[str, bytes | Path]) -> None:
    given = settings.get("priors") or {}
    for name, entry in version.inputs.items():
        if name not in inputs or "digest" not in entry:
            continue
        role = "scorer" if name == "scorer" else None
        called = str(entry["name"])
        choice = choose_prior(str(given.get(called, called)), version.run.project, role)
        if choice.digest != entry["digest"]:
            raise Prior3dError(
                f"{version.label} was made with prior {called} {entry['digest'][:8]}; {choice.folder} is "
                f"{choice.digest[:8]} now. Put the old one there: in a checkout by git"
            )


def scratch_of(project: Project, holder: Holder) -> Path:
    """Where a file is made again: the same place each time, so that a broken-off attempt is resumed."""
    label = holder.version.label.replace("/", "-")
    return project.state / "reproduced" / f"{label}-{holder.stage}"


def reproduce(
    origin: Origin, holder: Holder, events: Events, show_plan: Callable[[Plan], None], warn: Callable[[str], None]
) -> Reproduction:
    """Make a file again and compare.

    Args:
        origin: of the file.
        holder: of `holder_of`.
        events: receives what happens.
        show_plan: is called with the plan before anything is made.
        warn: receives one-line warnings.

    Raises:
        Prior3dError: an input is not what it was, or a stage failed; the same command resumes it.
    """
    declaration, settings = prepared(holder)
    place = scratch_of(holder.version.run.project, holder)
    project, _ = init_project(place, with_git=False)
    run = Run(project, holder.version.run.name)
    carry_out(run, declaration, settings, Options(plain=True, share=False), events, show_plan, warn, warn)
    made = find_version(project, run.name)
    content = made.read(holder.stage, holder.path) or b""
    old = holder.version
    result = Reproduction(
        holder,
        run.folder,
        _as_it_was_given(origin, content, holder.path) == origin.file.read_bytes(),
        {s.name: _same_files(old, made, s.name) for s in declaration.method.stages},
        [s.name for s in declaration.method.stages if old.code(s.name) != declaration.code[s.name]],
    )
    if result.same:
        shutil.rmtree(place)
    return result


def _as_it_was_given(origin: Origin, content: bytes, path: str) -> bytes:
    """A content with the statement that the file carries, if it does."""
    said: Statement | None = origin.said
    return content if said is None else carrying(path, content, said)


def _same_files(old: Version, new: Version, stage: str) -> tuple[int, int]:
    before, after = old.files(stage) or {}, new.files(stage) or {}
    artifact = [path for path in before if path.startswith(f"{stage}/")]
    return sum(before[path] == after.get(path) for path in artifact), len(artifact)
