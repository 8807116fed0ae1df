"""A place that keeps results and their files: DVC's remotes. `dvc_store` imports this late and holds DVC's lock."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.exceptions import CollectCacheError
from dvc.stage.serialize import to_single_stage_lockfile

from flows.engine.dvc_results import forget_damaged_results, keep, key_of, result_of
from prior3d.errors import Prior3dError
from prior3d.files import write_whole

NAME = "prior3d"
WHERE_MADE = "where they were made, give: prior3d push RUN"


def add(repo: Any, url: str, options: dict[str, str]) -> None:
    """Make a place the project's default remote, with options as DVC calls them."""
    with repo.config.edit("repo") as config:
        config["remote"][NAME] = {"url": url} | options
        config["core"]["remote"] = NAME


def is_named(repo: Any) -> bool:
    """Whether the project has a remote."""
    name = repo.config["core"].get("remote")
    return bool(name) and name in repo.config["remote"]


def url_of(repo: Any) -> str:
    """Where the project's remote is (raises Prior3dError without one)."""
    if not is_named(repo):
        raise Prior3dError("this project has no remote; name one with: prior3d remote add FOLDER")
    return str(repo.config["remote"][repo.config["core"]["remote"]]["url"])


def filesystem(repo: Any) -> tuple[Any, str, bool]:
    """The remote's filesystem, its folder there, and whether it is local (raises Prior3dError if that is gone)."""
    _check_local(url_of(repo))
    remote = repo.cloud.get_remote()
    return remote.fs.fs, str(remote.path), "://" not in url_of(repo)


def _check_local(url: str) -> None:
    if "://" not in url and not Path(url).is_dir():
        raise Prior3dError(f"the remote {url} is not there; connect it, or name another one: prior3d remote add FOLDER")


def result_to_send(repo: Any, dvc_file: str, stage: str) -> tuple[str, bytes, set[Any]]:
    """A stage's result as the lock has it: its name, its entry in the cache of results, its objects."""
    found = repo.stage.load_one(dvc_file, stage)
    place = keep(repo, to_single_stage_lockfile(found))
    objects, _ = _objects_of(found.outs)
    return place.name, place.read_bytes(), objects


def objects_of_results(repo: Any, dvc_file: str, stage: str, results: dict[str, bytes]) -> set[Any]:
    """Write results of a stage into the cache of results; the objects of the one that fits the stage as it is now."""
    found = repo.stage.load_one(dvc_file, stage)
    key = key_of(found)
    for name, content in results.items():
        place = Path(repo.stage_cache._get_cache_path(key, Path(name).name))
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, content)
    forget_damaged_results(repo, found)
    entry = result_of(repo, found)
    return set() if entry is None else _objects(repo, Path(found.wdir), [entry])[0]


def objects_of(repo: Any, folder: Path, entries: Iterable[dict[str, Any]]) -> set[Any]:
    """The objects of the outputs in some entries of locks (raises Prior3dError if some were collected)."""
    objects, n_gone = _objects(repo, folder, entries)
    if n_gone:
        raise Prior3dError(f"{n_gone} lists of files are neither here nor in the remote")
    return objects


def take(repo: Any, objects: set[Any]) -> None:
    """Move objects from the remote into the cache (raises Prior3dError)."""
    if objects:
        _check(repo.cloud.pull(objects), "are not in the remote")


def send(repo: Any, objects: set[Any]) -> None:
    """Move objects to the remote (raises Prior3dError)."""
    _check(repo.cloud.push(objects), "could not be written to the remote")


def fetch(repo: Any, folder: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Move what entries of locks name from the remote into the cache (raises Prior3dError)."""
    _check_local(url_of(repo))
    objects, n_gone = _objects(repo, folder, entries)
    if n_gone:
        raise Prior3dError(f"{n_gone} lists of files are not in the remote; {WHERE_MADE}")
    _check(repo.cloud.pull(objects), f"are not in the remote; {WHERE_MADE}")


def push(repo: Any, folder: Path, entries: Iterable[dict[str, Any]]) -> tuple[int, int, int]:
    """Move what locks name to the remote, and all results.

    Raises:
        Prior3dError: there is no remote, or it cannot be written to.
    """
    url_of(repo)
    objects, n_gone = _objects(repo, folder, entries)
    moved = repo.cloud.push(objects)
    _check(moved, "could not be written to the remote")
    return len(moved.transferred), len(repo.stage_cache.push(None)), n_gone


def pull(repo: Any, folder: Path, entries: Iterable[dict[str, Any]]) -> tuple[int, int, int]:
    """Move what locks name from the remote into the cache, and all results.

    Raises:
        Prior3dError: there is no remote, or it cannot be read, or lacks a file.
    """
    _check_local(url_of(repo))
    objects, n_gone = _objects(repo, folder, entries)
    moved = repo.cloud.pull(objects)
    _check(moved, f"are not in the remote; {WHERE_MADE}")
    return len(moved.transferred), len(repo.stage_cache.pull(None)), n_gone


def _objects(repo: Any, folder: Path, entries: Iterable[dict[str, Any]]) -> tuple[set[Any], int]:
    """The objects of the outputs in some entries of locks, and how many outputs have no list of files any more.

    A list that is not here is looked for in the remote.
    """
    stages = [repo.stage_cache._create_stage(entry, wdir=str(folder)) for entry in entries]
    return _objects_of(out for stage in stages for out in stage.outs)


def _objects_of(outputs: Iterable[Any]) -> tuple[set[Any], int]:
    found, n_gone = set[Any](), 0
    for out in outputs:
        try:
            for objects in out.get_used_objs().values():
                found |= objects
        except CollectCacheError:
            n_gone += 1
    return found, n_gone


def _check(moved: Any, what: str) -> None:
    if moved.failed:
        raise Prior3dError(f"{len(moved.failed)} files {what}")
