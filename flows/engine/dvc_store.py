"""The only file that calls DVC, but for `dvc_setup`, `dvc_results` and `dvc_remote`. Most calls are not its documented
interface: a contract test holds them.

The process's current folder must be the project: DVC resolves some paths against it (it fails only after a stage ran
otherwise). Locks are waited for: a stage that ends while another process hashes would be thrown away.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.engine.digests import read_digests
from prior3d.errors import Prior3dError
from prior3d.inside import resolved_inside

# What DVC lets out where the list of a folder in its cache is JSON, but no list: such a list is not there.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class FileState:
    """How a stage's files differ from what `dvc.lock` says: path -> `modified`, `deleted`, `new`, `not in cache`."""

    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)


class DvcStore:
    """DVC's lock files, cache of results and cache of objects, for one project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._remote: Any = None  # modules that import DVC, once it is needed
        self._results: Any = None
        self._kept: Any = None
        self._keeping: contextlib.ExitStack | None = None

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[None]:
        """Open DVC's repository once, if it is asked, for many questions about what lies there.

        Nothing may be changed meanwhile.
        """
        with contextlib.ExitStack() as self._keeping:
            try:
                yield
            finally:
                self._keeping, self._kept = None, None

    @contextlib.contextmanager
    def _repo(self, locked: bool = True) -> Iterator[Any]:
        if self._keeping is None:
            with self._opened(locked) as repo:
                yield repo
            return
        if self._kept is None:
            self._kept = self._keeping.enter_context(self._opened(locked=False))
        yield self._kept

    @contextlib.contextmanager
    def _opened(self, locked: bool) -> Iterator[Any]:
        # start-up: DVC takes most of a second, and the plan of a cached run need not wait for it
        from dvc.exceptions import DvcException
        from dvc.repo import Repo, lock_repo

        # start-up: they import DVC
        from flows.engine import dvc_remote, dvc_results
        from flows.engine.dvc_setup import database_problem, dvc_problem

        self._remote, self._results = dvc_remote, dvc_results
        os.chdir(self.root)
        logging.getLogger("dvc").setLevel(logging.CRITICAL)  # its lines would come through Prefect's handler
        try:
            # Without source control: the run writes its own .gitignore, and an ignored folder may hold runs.
            with (
                Repo(str(self.root), _wait_for_lock=True, config={"core": {"no_scm": True}}) as repo,
                lock_repo(repo) if locked else contextlib.nullcontext(),
            ):
                yield repo
        except DvcException as error:
            raise Prior3dError(dvc_problem(error, self.root)) from error
        except sqlite3.Error as error:
            raise Prior3dError(database_problem(error)) from error

    def file_states(self, dvc_file: str, stages: list[str]) -> dict[str, FileState]:
        """Compare the files of stages with the lock. Parameters and code are compared by the plan."""
        with self._repo() as repo:
            found = {stage.name: stage for stage in repo.stage.load_file(dvc_file)}  # one by one they are parsed anew
            missing = next((name for name in stages if name not in found), None)
            if missing is not None:
                raise Prior3dError(
                    f"{dvc_file} has no stage {missing}, which is in the lock; give the run command again"
                )
            return {name: self._state(found[name]) for name in stages}

    def _state(self, stage: Any) -> FileState:
        folder = Path(stage.wdir)
        inputs = [d for d in stage.deps if not hasattr(d, "params")]
        return FileState(_differences(inputs, folder), _differences(stage.outs, folder))

    def changed(self, dvc_file: str, stage: str) -> bool:
        """Whether anything of a stage differs from the lock, or it has none."""
        with self._repo() as repo:
            try:
                return bool(repo.stage.load_one(dvc_file, stage).changed())
            except UNREADABLE:
                return True

    def restore(self, dvc_file: str, stage_name: str, warn: Callable[[str], None]) -> bool:
        """Put a stage's outputs in place from the cache, if any run had the same stage, parameters and inputs.

        Args:
            dvc_file: of the run.
            stage_name: the stage.
            warn: receives one line about damaged objects, which are removed: the stage has to be made again.

        Returns:
            Whether it was found, whole to the byte; nothing in the run's folder is touched otherwise.

        Raises:
            Prior3dError: an output is, or holds, something outside the run's folder.
        """
        with self._repo() as repo:
            held = self._held(repo, repo.stage.load_one(dvc_file, stage_name))
            if held is None:
                return False
            _check_outputs(held, f"DVC's cache, for {dvc_file}:{stage_name},")
            if damaged := self._results.remove_damaged(held):
                warn(f"{damaged} in DVC's cache; the stage is made again")
                return False
            # A fresh stage: the one looked up with has today's inputs noted beside the lock's outputs, which DVC would
            # take for a match.
            stage = repo.stage.load_one(dvc_file, stage_name)
            stage.remove_outs(ignore_remove=False, force=False)  # else DVC asks about outputs that it does not know
            held.checkout()
            stage.save()
            stage.commit()
            self._results.record(stage)
            return True

    def _held(self, repo: Any, stage: Any) -> Any | None:
        """The stage as the cache has it, declared alike and with today's inputs, if all its outputs are there."""
        if stage.changed_stage() or not stage.deps_cached() or not all(out.hash_info for out in stage.outs):
            stage.save_deps()
            self._results.forget_damaged_results(repo, stage)
            entry = self._results.result_of(repo, stage)
        else:
            entry = self._results.to_single_stage_lockfile(stage)
        held = repo.stage_cache._create_stage(entry, wdir=stage.wdir) if entry is not None else None
        try:
            return held if held is not None and held.outs_cached() else None
        except UNREADABLE:
            return None

    def commit(self, dvc_file: str, stage: str, warn: Callable[[str], None]) -> None:
        """Record a stage's present parameters, inputs and outputs, and put the outputs into the cache.

        Args:
            dvc_file: of the run.
            stage: the stage.
            warn: receives one line about damaged objects that were in the cache already, and are replaced.

        Raises:
            Prior3dError: an output is a link to a folder, whose files DVC would replace.
        """
        with self._repo() as repo:
            found = repo.stage.load_one(dvc_file, stage)
            for out in found.outs:
                resolved_inside(Path(found.wdir), out.fs_path, dvc_file)
            found.save(run_cache=False)
            self._results.forget_damaged_results(repo, found)
            if damaged := self._results.remove_damaged(found):
                warn(f"{damaged} in DVC's cache; replaced")
            repo.stage_cache.save(found)
            found.commit()
            self._results.record(found)

    def accept(self, dvc_file: str, stage: str) -> None:
        """Record a stage's present parameters, inputs and outputs; inputs that are not here keep their digest.

        Raises:
            Prior3dError: an input is not here, and the lock does not know it.
        """
        with self._repo() as repo:
            found = repo.stage.load_one(dvc_file, stage)
            for dep in found.deps:
                if not hasattr(dep, "params") and not dep.exists and not dep.hash_info:
                    raise Prior3dError(f"{stage}: {dep} is not here, and dvc.lock does not know it; make it first")
            found.save(allow_missing=True, run_cache=False)  # the cache of runs would ask for what is not here
            found.commit(allow_missing=True)
            self._results.record(found)

    def checkout(self, dvc_file: str, stages: list[str]) -> None:
        """Put the outputs that the lock names in place of those that are there.

        Raises:
            Prior3dError: an output is, or holds, something outside the run's folder; nothing was put anywhere then.
        """
        with self._repo() as repo:
            for stage in stages:
                _check_outputs(repo.stage.load_one(dvc_file, stage), f"the lock of {dvc_file}:{stage}")
            repo.checkout(targets=[f"{dvc_file}:{stage}" for stage in stages], force=True)

    def digests(self, paths: list[Path], *, reread: bool = False) -> list[str]:
        """The md5 of each file, in the order of `paths`.

        Args:
            paths: objects or any other files.
            reread: read files again even if DVC has hashed them and their inode, time and size are the same since.
        """
        # start-up: DVC, as in `_repo`
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_objects.fs.local import LocalFileSystem

        files = LocalFileSystem()
        with self._repo() as repo:
            known = {} if reread else {path: repo.state.get(str(path), files)[1] for path in paths}
            found = {path: str(value.value) for path, value in known.items() if value is not None}
            fresh = read_digests([path for path in dict.fromkeys(paths) if path not in found])
            repo.state.save_many([(str(p), HashInfo("md5", md5), None) for p, md5 in fresh.items()], files)
        return [(found | fresh)[path] for path in paths]

    def key(self, dvc_file: str, stage: str) -> str:
        """The key of a stage's result: a digest of its command, parameters and inputs; empty if it has none."""
        with self._repo() as repo:
            return self._results.key_of(repo.stage.load_one(dvc_file, stage))

    def results(self) -> list[tuple[Path, bool]]:
        """Every entry of the cache of results, and whether it is what its name says, to the byte."""
        with self._repo() as repo:
            return self._results.entries_of(repo)

    def knows(self, entries: dict[str, Any]) -> dict[str, bool]:
        """Whether the cache of results holds each of some entries of a lock, by stage."""
        with self._repo() as repo:
            return {name: self._results.holds(repo, entry) for name, entry in entries.items()}

    def keep_result(self, entry: dict[str, Any]) -> Path:
        """Write an entry of a lock into the cache of results, and return where it lies."""
        with self._repo() as repo:
            return self._results.keep(repo, entry)

    @contextlib.contextmanager
    def shared(self, locked: bool = True) -> Iterator[tuple[Any, Any]]:
        """DVC's repository, and the functions for its remote (raises Prior3dError)."""
        with self._repo(locked) as repo:
            yield self._remote, repo

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold DVC's lock: nothing is committed meanwhile."""
        with self._repo():
            yield


def _check_outputs(stage: Any, where: str) -> None:
    """Check that every file that a checkout would write or remove lies in the run's folder (raises Prior3dError)."""
    folder = Path(stage.wdir)
    for out in stage.outs:
        resolved_inside(folder, out.fs_path, where)
        content = out.get_obj()
        for key in [entry[0] for entry in content] if isinstance(content, Iterable) else []:
            resolved_inside(folder, Path(out.fs_path, *key), where)


def _differences(entries: list[Any], folder: Path) -> dict[str, str]:
    found = {}
    for entry in entries:
        try:
            states = entry.status().values()
        except UNREADABLE:
            states = ["not in cache"]
        for state in states:
            found[os.path.relpath(entry.fs_path, folder)] = str(state)
    return found
