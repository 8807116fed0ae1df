"""Which runs of a sweep were seen done, and how their files lay then: a thousand of them are looked at in a second.

A run counts as done while its row, the code of its method and every file of it are as they were: DVC trusts the same
three things of a file (inode, size and time). `.prior3d/sweeps/NAME/done.json` may be deleted at any time.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypedDict

from flows.engine.gpus import gpu_numbers
from flows.engine.project import Project
from flows.engine.run_files import derived
from prior3d.diffusion.embedded import embedded_folders
from prior3d.files import write_whole

FILE = "done.json"
PASSING = frozenset({".work", "local.yaml"})  # of a run's folder: not what it is


class Seen(TypedDict):
    """One run, as it was seen."""

    key: str
    files: str
    inputs: dict[str, str]


class SeenDone:
    """The runs of one sweep that were seen done."""

    def __init__(self, project: Project, sweep: str) -> None:
        self._runs, self._file = project.runs, project.state / "sweeps" / sweep / FILE
        self._seen: dict[str, Seen] = derived(self._file, dict[str, Seen]) or {}
        self._changed = False
        self._inputs: dict[str, str] = {}  # rows share priors and images: each is looked at once
        # What decides over every run beside its row: the embedded priors, and the precision that this machine settles.
        priors = [_look(place) for place in embedded_folders()]
        self._common = [*priors, bool(gpu_numbers())]

    def key(self, parts: list[Any]) -> str:
        """A digest of what decides over a run."""
        return hashlib.sha256(json.dumps([self._common, parts], sort_keys=True).encode()).hexdigest()[:32]

    def holds(self, name: str, key: str) -> bool:
        """Whether a run is as it was when it was seen done, and is asked to be the same."""
        seen = self._seen.get(name)
        return (
            seen is not None
            and seen["key"] == key
            and all(self._input(place) == look for place, look in seen["inputs"].items())
            and seen["files"] == _look(self._runs / name, PASSING)
        )

    def note(self, name: str, key: str, inputs: Iterable[Path]) -> None:
        """A run is done now; its inputs are files and folders outside it."""
        looks = {str(place): self._input(str(place)) for place in inputs}
        self._seen[name] = Seen(key=key, files=_look(self._runs / name, PASSING), inputs=looks)
        self._changed = True

    def write(self) -> None:
        """Keep it for the next command."""
        if self._changed:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, json.dumps(self._seen))
            self._changed = False

    def _input(self, place: str) -> str:
        if place not in self._inputs:
            self._inputs[place] = _look(Path(place))
        return self._inputs[place]


def _look(place: Path, passing: frozenset[str] = frozenset()) -> str:
    """A digest of the inode, size and time of every file at a place; empty for nothing."""
    found = sorted(_files(str(place), passing))
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:32] if found else ""


def _files(place: str, passing: frozenset[str]) -> Iterator[tuple[str, int, int, int]]:
    try:
        entries = list(os.scandir(place))
    except NotADirectoryError:
        status = Path(place).stat()
        yield place, status.st_ino, status.st_size, status.st_mtime_ns
        return
    except OSError:
        return
    for entry in entries:
        if entry.name in passing:
            continue
        if entry.is_dir():
            yield from _files(entry.path, frozenset())
            continue
        try:
            status = entry.stat()
        except FileNotFoundError:  # a link to what was collected
            status = entry.stat(follow_symlinks=False)
        yield entry.path, status.st_ino, status.st_size, status.st_mtime_ns
