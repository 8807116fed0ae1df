"""Which versions of which runs hold a file, found by its md5 in locks and lists of files, without importing DVC."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.engine.project import Project
from flows.engine.run import Run, all_runs
from flows.engine.run_files import LARGEST_BYTES
from flows.versions.history import Version, find_version, numbered_version
from flows.versions.objects import DIRECTORY, Objects
from prior3d.errors import Prior3dError

NAMED = re.compile(rb"\bmd5: ?'?([0-9a-f]{32}(?:\.dir)?)\b")


@dataclass(frozen=True)
class Holder:
    """A version that holds a file.

    Attributes:
        version: the version.
        stage: that made the file; empty for an input.
        path: of the file in the run's folder.
    """

    version: Version
    stage: str
    path: str


def holders(project: Project, md5: str, runs: list[Run] | None = None) -> list[Holder]:
    """The versions that hold a file with an md5, oldest first within each run; the present state only if it is none.

    Versions whose locks are damaged are left out: `prior3d verify` names them.

    Args:
        project: the project.
        md5: of the file's content.
        runs: to look through; None for all.
    """
    wanted = {md5.encode(), *(f"{name}{DIRECTORY}".encode() for name in _lists_with(Objects(project.root), md5))}
    found = []
    for run in all_runs(project) if runs is None else runs:
        for version in _versions_with(run, wanted):
            found += [Holder(version, stage, path) for stage, path in _places(version, md5)]
    return found


def _lists_with(objects: Objects, md5: str) -> set[str]:
    """The lists of folders, by their md5 without the ending, that name a file's md5."""
    found, wanted = set(), md5.encode()
    for place in objects.folder.glob(f"[0-9a-f][0-9a-f]/*{DIRECTORY}"):
        if place.stat().st_size <= LARGEST_BYTES and wanted in place.read_bytes():
            found.add(f"{place.parent.name}{place.name.removesuffix(DIRECTORY)}")
    return found


def _versions_with(run: Run, wanted: set[bytes]) -> Iterator[Version]:
    """The versions of a run whose locks name one of some md5s."""
    files, seen = [*run.versions(), run.folder / "dvc.lock"], set()
    for file in files:
        content = file.read_bytes() if file.is_file() else b""
        if content in seen or not wanted.intersection(NAMED.findall(content)):
            continue
        seen.add(content)
        try:
            present = file.name == "dvc.lock"
            yield find_version(run.project, run.name) if present else numbered_version(run, file)
        except Prior3dError:
            continue


def _places(version: Version, md5: str) -> Iterator[tuple[str, str]]:
    for stage in version.lock:
        yield from ((stage, path) for path, found in (version.files(stage) or {}).items() if found == md5)
    inputs = {d["path"]: d.get("md5") for e in version.lock.values() for d in e.get("deps") or []}
    yield from (("", path) for path, found in inputs.items() if found == md5 and path not in version.lock)


def run_of(path: Path, project: Project) -> tuple[Run, str] | None:
    """The run whose folder a file lies in, and the file's path there; None for a file elsewhere."""
    try:
        parts = path.resolve().relative_to(project.runs.resolve()).parts
        run = Run(project, parts[0])
    except (ValueError, IndexError, Prior3dError):
        return None
    return (run, "/".join(parts[1:])) if len(parts) > 1 and run.exists() else None


def md5_of(content: bytes) -> str:
    """The md5 of a content, as DVC names it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
