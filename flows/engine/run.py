"""A run's folder: its name, its lock, what a kill left behind, its versions."""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from flows.engine.declaration import Declaration, write_if_new
from flows.engine.input_files import Tell
from flows.engine.leftovers import remove_leftovers
from flows.engine.project import Project
from flows.engine.run_files import Damaged, LockEntry, derived, read_form, read_lock, text_of
from prior3d.errors import Prior3dError
from prior3d.files import write_whole
from prior3d.inside import remove, resolved_inside
from prior3d.locks import held
from prior3d.suggestions import did_you_mean

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")
LOOK_S = 0.1  # `prior3d watch` and studio look for an instant whether a run is held
NUMBER = re.compile(r"[0-9]{1,9}")  # of a version
DECLARED = ("code.yaml", "dvc.yaml", "local.yaml", "method.yaml", "params.yaml")
OWN_FILES = frozenset({*DECLARED, ".gitignore", ".work", "dvc.lock", "history", "inputs"})  # made by no stage


class Run:
    """One folder under `data/runs`."""

    def __init__(self, project: Project, name: str) -> None:
        check_name(name)
        self.project, self.name = project, name
        self.folder = project.runs / name

    @property
    def dvc_file(self) -> str:
        """Its `dvc.yaml`, relative to the project."""
        return (self.folder / "dvc.yaml").relative_to(self.project.root).as_posix()

    def exists(self) -> bool:
        """Whether it was declared before."""
        return (self.folder / "method.yaml").is_file()

    def require(self) -> "Run":
        """Itself, if it was declared before (raises Prior3dError with the nearest name)."""
        if self.exists():
            return self
        names = [r.name for r in all_runs(self.project)]
        hint = did_you_mean(self.name, names, f"runs: {', '.join(names) or 'none yet'}")
        raise Prior3dError(f"there is no run {self.name!r} in {self.project.runs}; {hint}")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run: nobody else works on it meanwhile, and the kernel lets go of it however this process dies.

        A new run's folder is removed again if nothing was declared in it.
        """
        try:
            with self.alone():
                self.heal()
                yield
        finally:
            if not self.exists() and not (self.folder / "dvc.lock").exists():
                shutil.rmtree(self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """As `held`, with everything left as it lies."""
        (self.folder / ".work").mkdir(parents=True, exist_ok=True)
        with held(self.folder / ".work" / "run.lock", LOOK_S) as mine:
            if not mine:
                raise Prior3dError(
                    f"run {self.name}: another prior3d process works on it; wait for it, or choose another --name"
                )
            yield

    def heal(self) -> None:
        """Put right what a kill can leave: half a lock file, temporary files, DVC's note that this run is worked on."""
        remove_leftovers(self.folder)
        try:
            self.locked()
        except Damaged:
            remove(self.folder / "dvc.lock")  # DVC's cache of results restores everything without it
        notes = self.project.root / ".dvc" / "tmp" / "rwlock"
        below = f"{self.folder}/"
        held = derived(notes, dict[str, dict[str, Any]])
        if held is None:
            remove(notes)  # emptied by a kill: every DVC command would refuse
            return
        kept = {mode: {k: v for k, v in held.get(mode, {}).items() if not f"{k}/".startswith(below)} for mode in held}
        if kept != held:
            write_whole(notes, json.dumps(kept))

    def declare(self, declaration: Declaration, settings: dict[str, Any], tell: Tell) -> None:
        """Write what the run is asked to be, and (untracked) the device and where this machine keeps priors."""
        self.drop_stages(declaration)
        declaration.write(self.folder, tell)
        write_if_new(self.folder / "local.yaml", yaml.safe_dump(settings, sort_keys=False))

    def drop_stages(self, declaration: Declaration) -> None:
        """Remove what the run has of optional stages that it has no longer; versions and DVC's cache keep it.

        Raises:
            Prior3dError: the lock names an output that is none of the run's; nothing is removed then.
        """
        locked, kept = self.locked(), {s.name for s in declaration.method.stages}
        gone = locked.keys() - kept
        if not gone:
            return
        paths = [str(out["path"]) for name in gone for out in locked[name].get("outs") or []]
        for place in [self._output(path) for path in paths]:
            remove(place)
        lock = self.folder / "dvc.lock"
        values = read_form(lock)
        values["stages"] = {name: entry for name, entry in locked.items() if name in kept}
        write_whole(lock, yaml.safe_dump(values, sort_keys=False))

    def _output(self, path: str) -> Path:
        """Where an output that the lock names lies (raises Prior3dError if it cannot be one)."""
        where = f"run {self.name}: its dvc.lock"
        place = resolved_inside(self.folder, path, where)
        if place.relative_to(self.folder.resolve()).parts[0] in OWN_FILES:
            raise Prior3dError(
                f"{where} names {path!r} as an output, which is the run's own; take that stage out of it"
            )
        return place

    def settings(self) -> dict[str, Any]:
        """The contents of `local.yaml`."""
        path = self.folder / "local.yaml"
        return dict(read_form(path)) if path.exists() else {}

    def locked(self) -> dict[str, LockEntry]:
        """What `dvc.lock` says, by stage (raises Damaged)."""
        return read_lock(self.folder / "dvc.lock")

    def next_version(self) -> str | None:
        """The number that the present `dvc.lock` gets as a version; None if it is the newest one."""
        versions = self.versions()
        text = text_of(self.folder / "dvc.lock")
        if versions and text is not None and text_of(versions[-1]) == text:
            return None
        return f"{int(versions[-1].stem) + 1 if versions else 1:04d}"

    def remember(self, number: str) -> None:
        """Make the present `dvc.lock` a version of the run: the last thing that is written of it."""
        write_whole(self.folder / "history" / f"{number}.lock", self.lock_bytes())

    def lock_bytes(self) -> bytes:
        """Its `dvc.lock` as it is."""
        return (self.folder / "dvc.lock").read_bytes()

    def versions(self) -> list[Path]:
        """The lock files of all its versions, oldest first."""
        return sorted(p for p in (self.folder / "history").glob("[0-9]*.lock") if NUMBER.fullmatch(p.stem))

    def forget_checkpoints(self, stage: str) -> None:
        """Remove a stage's checkpoints: its result is committed."""
        shutil.rmtree(self.folder / ".work" / stage, ignore_errors=True)


def all_runs(project: Project) -> list[Run]:
    """Every declared run of a project, by name."""
    return [
        Run(project, f.parent.name) for f in sorted(project.runs.glob("*/method.yaml")) if NAME.match(f.parent.name)
    ]


def check_name(name: str) -> None:
    """Refuse names that are no plain folder names (raises Prior3dError)."""
    before, at, _ = name.partition("@")
    if at and NAME.match(before):
        raise Prior3dError(f"run name {name!r}: '@' stands before a version; here the run alone is named: {before}")
    if not NAME.match(name) or ".." in name:
        raise Prior3dError(
            f"run name {name!r}: use 1 to 80 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit, without '..'"
        )


def slug(text: str) -> str:
    """A run name made of a sentence: `a red mushroom` becomes `a-red-mushroom`."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
    return words or "run"
