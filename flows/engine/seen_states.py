"""How a stage's files differ from the lock, without DVC where nothing was touched since DVC was last asked.

DVC takes half a second to be imported. It trusts a file's inode, time and size; so does this: what DVC said of a run is
kept in `.prior3d` with the states of every file that it looked at, and of the cache's objects.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from typing import TypedDict

from flows.engine.dvc_store import DvcStore, FileState
from flows.engine.run import Run
from flows.engine.run_files import LockEntry, derived
from flows.versions.objects import Objects
from prior3d.files import write_whole
from prior3d.inside import lies_inside

FORMAT = 1  # raise it when states are kept or signed in another way


class Said(TypedDict):
    """What DVC said of a run's stages, and the digest of all that it looked at."""

    format: int
    signature: str
    inputs: dict[str, dict[str, str]]
    outputs: dict[str, dict[str, str]]


def file_states(run: Run, store: DvcStore, locked: dict[str, LockEntry], stages: list[str]) -> dict[str, FileState]:
    """How the files of stages differ from the lock (raises Prior3dError).

    Args:
        run: the run.
        store: DVC, which is asked if anything was touched since it was.
        locked: what the run's lock says.
        stages: those that are asked about; all are in the lock.
    """
    if not all(lies_inside(run.folder, path) for path in dict.fromkeys(_paths(locked, stages))):
        return store.file_states(run.dvc_file, stages)  # somebody else's lock: DVC looks only at what is declared
    place = run.project.state / "states" / f"{run.name}.json"
    signature = _signature(run, locked, stages)
    said = derived(place, Said)
    if said is not None and said["format"] == FORMAT and said["signature"] == signature:
        return {name: FileState(said["inputs"].get(name, {}), said["outputs"].get(name, {})) for name in stages}
    states = store.file_states(run.dvc_file, stages)
    inputs, outputs = ({name: getattr(state, kind) for name, state in states.items()} for kind in ("inputs", "outputs"))
    if _signature(run, locked, stages) == signature:
        with contextlib.suppress(OSError):  # a read-only disk: DVC is asked again
            place.parent.mkdir(parents=True, exist_ok=True)
            kept = Said(format=FORMAT, signature=signature, inputs=inputs, outputs=outputs)
            write_whole(place, json.dumps(kept))
    return states


def _paths(locked: dict[str, LockEntry], stages: list[str]) -> Iterator[str]:
    """What the lock says that the stages read and write."""
    for name in stages:
        yield from (entry["path"] for entry in [*(locked[name].get("deps") or []), *(locked[name].get("outs") or [])])


def _signature(run: Run, locked: dict[str, LockEntry], stages: list[str]) -> str:
    """A digest of the states of all files that DVC looks at."""
    objects = Objects(run.project.root)
    folder, cached = str(run.folder), str(objects.folder)
    digest = hashlib.blake2b(json.dumps([folder, cached, stages]).encode())
    files = [f"{folder}/dvc.lock", f"{folder}/dvc.yaml"]
    for name in stages:
        outs = locked[name].get("outs") or []
        files += [file for path in _paths(locked, [name]) for file in _below(f"{folder}/{path}")]
        found = [*(str(out.get("md5", "")) for out in outs), *(objects.files(outs) or {}).values()]
        files += [f"{cached}/{md5[:2]}/{md5[2:]}" for md5 in found]
    for file in dict.fromkeys(files):
        digest.update(f"{file}\0{_state(file)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _state(file: str) -> tuple[int, ...]:
    try:
        found = os.stat(file)  # noqa: PTH116 (a sweep asks tens of thousands of times)
    except OSError:
        return ()
    return (found.st_mode, found.st_ino, found.st_mtime_ns, found.st_size)


def _below(place: str) -> Iterator[str]:
    """A file, or a folder with all files in it; as text, because a sweep looks at tens of thousands."""
    yield place
    for here, _, names in os.walk(place, followlinks=True):
        yield from (f"{here}/{name}" for name in names)
