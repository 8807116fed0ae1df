"""Restoring an earlier version into a run's folder: artifacts to the byte, parameters and inputs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.engine.declaration import Declaration, given_names, read_declaration
from flows.engine.dvc_store import DvcStore
from flows.engine.project import Project
from flows.engine.record import remember
from flows.engine.run import Run
from flows.methods import METHODS
from flows.versions.history import Version, find_version
from prior3d.errors import Prior3dError
from prior3d.files import write_whole


def restore_version(project: Project, text: str, warn: Callable[[str], None], *, reread: bool = False) -> str:
    """Put a version back into its run's folder; it becomes the newest version.

    Args:
        project: the project.
        text: `run@3` or `run@<git revision>`; `run` alone restores what was edited or deleted since.
        warn: receives what could not be restored.
        reread: compare every object with its md5 by reading it, also those that need not be copied.

    Returns:
        One line that says what was done.

    Raises:
        Prior3dError: there is no such version, or its files were collected or are damaged.
    """
    version = find_version(project, text)
    version.require_files()
    run, store = version.run, DvcStore(project.root)
    _check_objects(version, store, reread)
    with run.held():
        _keep_present(run, warn)
        declaration = declaration_of(version)
        run.drop_stages(declaration)
        declaration.write(run.folder, warn)
        write_whole(run.folder / "dvc.lock", version.text)
        stages = [s.name for s in declaration.method.stages if s.name in version.lock]
        store.checkout(run.dvc_file, stages)
        for stage in version.lock.keys() - set(stages):
            warn(f"{version.label}: stage {stage} is no longer part of {declaration.method.name} and was left out")
        _warn_of_inputs(version, store, stages, warn)
        how = f"restore of {version.number or text.partition('@')[2]}"
        number = remember(run, declaration, how, {}, dict.fromkeys(version.lock, "Restored"), warn)
    files = sum(len(version.files(s) or {}) for s in stages)
    made = f" (now version {int(number)})" if number else ""
    return f"run {run.name} is as it was in {version.label}{made}: {files} files; next: prior3d open {run.name}"


def _check_objects(version: Version, store: DvcStore, reread: bool) -> None:
    """Compare every object with its name (raises Prior3dError).

    An object that is about to be copied is read, whatever DVC knows of it: copying reads it anyway. One whose copy is
    in the run's folder as it should be is read only if DVC has not hashed it, or it was touched since.
    """
    files = {path: md5 for stage in version.lock for path, md5 in (version.files(stage) or {}).items()}
    present = dict(zip(files, store.digests([version.run.folder / path for path in files]), strict=True))
    copied = {path: md5 for path, md5 in files.items() if present[path] != md5}
    kept = {path: md5 for path, md5 in files.items() if path not in copied}
    for some, read in ((copied, True), (kept, reread)):
        _compare(version, store, some, read)


def _compare(version: Version, store: DvcStore, files: dict[str, str], reread: bool) -> None:
    objects = [version.objects.path(md5) for md5 in files.values()]
    for (path, md5), found in zip(files.items(), store.digests(objects, reread=reread), strict=True):
        if found != md5:
            raise Prior3dError(
                f"{version.label}: {path} is damaged in DVC's cache ({version.objects.path(md5)} has md5 {found}); "
                "delete that file, and fetch it again with `dvc fetch`, or give the run command again"
            )


def _keep_present(run: Run, warn: Callable[[str], None]) -> None:
    """Make the present state of the run a version, unless it is one: it can then be restored too."""
    if run.locked():
        remember(run, read_declaration(run.folder, METHODS), "run", {}, {}, warn)


def declaration_of(version: Version) -> Declaration:
    """The declaration of a version, with the code that made it (raises Prior3dError if its method is not known)."""
    described = version.described
    if version.method not in METHODS:
        raise Prior3dError(f"{version.label}: its method {version.method!r} is not one of {', '.join(METHODS)}")
    method = METHODS[version.method].with_stages(described.get("stages") or version.lock)
    entries = described.get("inputs") or {}
    inputs = {n: _input(version.run.folder, entry) for n, entry in entries.items()}
    now = read_declaration(version.run.folder, METHODS)
    params = {s.name: version.params().get(s.name) or now.params.get(s.name, {}) for s in method.stages}
    code = {s.name: version.code(s.name) or now.code[s.name] for s in method.stages}
    return Declaration(method, inputs, params, code, str(described.get("preset", "")), given_names(entries))


def _input(folder: Path, entry: dict[str, Any]) -> bytes | Path:
    """An input's content as it is written by a run: small ones out of the record, files and folders as they are."""
    if "text" in entry:
        return f"{entry['text']}\n".encode()
    if "digest" in entry:
        values = {k: v for k, v in entry.items() if k not in ("file", "sha256")}
        return (json.dumps(values, indent=2) + "\n").encode()
    return folder / entry["file"]


def _warn_of_inputs(version: Version, store: DvcStore, stages: list[str], warn: Callable[[str], None]) -> None:
    states = store.file_states(version.run.dvc_file, stages)
    for path in sorted({p for s in states.values() for p in s.inputs if p not in version.lock}):
        warn(
            f"{version.label}: {path} has changed since then and was not kept. The artifacts were kept, "
            "but the next run will use the present file"
        )
