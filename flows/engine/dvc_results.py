"""DVC's cache of results: which outputs each key of a stage had. `dvc_store` imports this late and holds DVC's lock."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.stage.cache import _can_hash, _get_cache_hash, _get_stage_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc.utils.serialize import dumps_yaml

from flows.engine.digests import read_digests
from flows.engine.on_disk import sync
from flows.engine.run_files import parse_json
from prior3d.files import write_whole
from prior3d.inside import remove

MOST_NAMED = 3  # damaged objects in one line


def remove_damaged(stage: Any) -> str:
    """Compare every object of a stage's outputs that is in the cache with its name, and remove those that differ.

    DVC takes an object that is read-only for whole. What is about to be copied is read anyway.

    Returns:
        What was found, for people; empty if all are whole.
    """
    names = _objects_of(stage)
    digests = read_digests([path for path in names if path.exists()])
    damaged = [place for place, md5 in digests.items() if md5 != place.parent.name + place.stem]
    for place in damaged:
        remove(place)
    found = [f"{names[place]} ({place.parent.name}/{place.name})" for place in damaged]
    words = ", ".join([*found[:MOST_NAMED], *([f"{len(found) - MOST_NAMED} more"] if found[MOST_NAMED:] else [])])
    return words and f"{words} {'is' if len(found) == 1 else 'are'} damaged"


def _objects_of(stage: Any) -> dict[Path, str]:
    """Where the cache has, or would have, each object of a stage's outputs, and the file that it is of."""
    names: dict[Path, str] = {}
    for out in stage.outs:
        content, path = out.get_obj(), Path(out.fs_path).name
        names[Path(out.cache.oid_to_path(out.hash_info.value))] = f"the list of {path}" if out.is_dir_checksum else path
        for key, _, info in content if isinstance(content, Iterable) else ():
            names[Path(out.cache.oid_to_path(info.value))] = "/".join((path, *key))
    return names


def record(stage: Any) -> None:
    """Write a stage into its lock once the lock's file can name nothing that a power cut takes away.

    DVC syncs neither the files that it moves and copies nor the lock.
    """
    sync([*_objects_of(stage), *(Path(out.fs_path) for out in stage.outs)])
    stage.dump(update_pipeline=False)
    sync([Path(stage.wdir) / "dvc.lock"])


def forget_damaged_results(repo: Any, stage: Any) -> None:
    """Remove what a kill or a worn disk left in the cache of results under a stage's key: DVC would stumble over it.

    DVC takes the first thing in the key's folder for an entry. A kill can leave the folder empty.
    """
    if not _can_hash(stage):
        return  # DVC keeps no results of it
    key = _get_stage_hash(stage)
    folder = Path(repo.stage_cache._get_cache_dir(key))
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    for place in folder.iterdir():
        entry = _loaded(repo, key, place.name)
        whole = entry is not None and _get_cache_hash(entry) == place.name
        if not whole:
            remove(place)
    if not any(folder.iterdir()):
        folder.rmdir()


def _loaded(repo: Any, key: str, name: str) -> Any | None:
    """An entry of the cache of results; None for a folder, no text, or no entry of DVC's."""
    try:
        return repo.stage_cache._load_cache(key, name)
    except (DvcException, OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def result_of(repo: Any, stage: Any) -> dict[str, Any] | None:
    """The newest result with a stage's command, inputs and parameters, as an entry of a lock; None without one.

    DVC leaves values called `size` and `nfiles` out of its keys, parameters too, and takes the newest entry of a key.
    So the parameters are compared here.
    """
    if not _can_hash(stage):
        return None
    key, wanted = _get_stage_hash(stage), _plain(to_single_stage_lockfile(stage)["params"])
    folder = Path(repo.stage_cache._get_cache_dir(key))
    places = sorted(folder.glob("*"), key=lambda p: p.stat().st_mtime, reverse=True) if folder.is_dir() else []
    entries = (_loaded(repo, key, place.name) for place in places)
    return next((entry for entry in entries if entry is not None and _plain(entry.get("params")) == wanted), None)


def _plain(params: Any) -> Any:
    """Parameters without the types of the library that read them."""
    return parse_json(json.dumps(params), Any)


def entries_of(repo: Any) -> list[tuple[Path, bool]]:
    """Every entry, and whether it is what its name says, to the byte."""
    found = []
    for place in sorted(Path(repo.stage_cache.cache_dir).glob("*/*/*")):
        values = _loaded(repo, place.parent.name, place.name)
        whole = values is not None and place.read_bytes() == dumps_yaml(values).encode()
        found.append((place, whole and _get_cache_hash(values) == place.name))
    return found


def _place(repo: Any, entry: dict[str, Any]) -> Path:
    return Path(repo.stage_cache._get_cache_path(_get_cache_hash(dict(entry), key=True), _get_cache_hash(dict(entry))))


def key_of(stage: Any) -> str:
    """The key of a stage with the inputs that lie there now; empty if DVC keeps no results of it."""
    stage.save_deps()
    return str(_get_stage_hash(stage)) if _can_hash(stage) else ""


def holds(repo: Any, entry: dict[str, Any]) -> bool:
    """Whether an entry of a lock is in the cache."""
    return _place(repo, entry).is_file()


def keep(repo: Any, entry: dict[str, Any]) -> Path:
    """Write an entry of a lock into the cache, and return where it lies."""
    place = _place(repo, entry)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, dumps_yaml(entry))
    return place
