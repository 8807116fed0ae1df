"""DVC's cache of results: which outputs each key of a stage had. `dvc_store` calls this and holds DVC's lock."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prior3d.files import write_whole
from prior3d.inside import remove


def _dvc() -> SimpleNamespace:
    """What is used of DVC."""
    # start-up: DVC, as in `DvcStore._repo`
    from dvc.stage import cache
    from dvc.utils.serialize import dumps_yaml

    return SimpleNamespace(cache=cache, dumps_yaml=dumps_yaml)


def forget_damaged_results(repo: Any, stage: Any) -> None:
    """Remove what a kill or a worn disk left in the cache of results under a stage's key: DVC would stumble over it.

    DVC takes the first thing in the key's folder for an entry. A kill can leave the folder empty.
    """
    dvc = _dvc()
    if not dvc.cache._can_hash(stage):
        return  # DVC keeps no results of it
    key = dvc.cache._get_stage_hash(stage)
    folder = Path(repo.stage_cache._get_cache_dir(key))
    if not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    for place in folder.iterdir():
        entry = _loaded(repo, key, place.name)
        whole = entry is not None and dvc.cache._get_cache_hash(entry) == place.name
        if not whole:
            remove(place)
    if not any(folder.iterdir()):
        folder.rmdir()


def _loaded(repo: Any, key: str, name: str) -> Any | None:
    """An entry of the cache of results; None for a folder, no text, or no entry of DVC's."""
    dvc = _dvc()
    try:
        return repo.stage_cache._load_cache(key, name)
    except (dvc.cache.DvcException, OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def entries_of(repo: Any) -> list[tuple[Path, bool]]:
    """Every entry, and whether it is what its name says, to the byte."""
    dvc, found = _dvc(), []
    for place in sorted(Path(repo.stage_cache.cache_dir).glob("*/*/*")):
        values = _loaded(repo, place.parent.name, place.name)
        whole = values is not None and place.read_bytes() == dvc.dumps_yaml(values).encode()
        found.append((place, whole and dvc.cache._get_cache_hash(values) == place.name))
    return found


def _place(repo: Any, entry: dict[str, Any]) -> Path:
    digest = _dvc().cache._get_cache_hash
    return Path(repo.stage_cache._get_cache_path(digest(dict(entry), key=True), digest(dict(entry))))


def holds(repo: Any, entry: dict[str, Any]) -> bool:
    """Whether an entry of a lock is in the cache."""
    return _place(repo, entry).is_file()


def keep(repo: Any, entry: dict[str, Any]) -> Path:
    """Write an entry of a lock into the cache, and return where it lies."""
    place = _place(repo, entry)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, _dvc().dumps_yaml(entry))
    return place
