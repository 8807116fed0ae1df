"""A place that keeps results and their files: DVC's remotes. `dvc_store` imports this late and holds DVC's lock."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dvc.exceptions import CollectCacheError

from flows.engine.dvc_store import Moved
from prior3d.errors import Prior3dError

NAME = "prior3d"


def add(repo: Any, url: str) -> None:
    """Make a place the project's default remote."""
    with repo.config.edit("repo") as config:
        config["remote"][NAME] = {"url": url}
        config["core"]["remote"] = NAME


def url_of(repo: Any) -> str:
    """Where the project's remote is (raises Prior3dError without one)."""
    name = repo.config["core"].get("remote")
    if not name or name not in repo.config["remote"]:
        raise Prior3dError("this project has no remote; name one with: prior3d remote add FOLDER")
    return str(repo.config["remote"][name]["url"])


def push(repo: Any, folder: Path, entries: Iterable[dict[str, Any]]) -> Moved:
    """Move what locks name to the remote, and all results.

    Raises:
        Prior3dError: there is no remote, or it cannot be written to.
    """
    url_of(repo)
    objects, n_gone = _objects(repo, folder, entries)
    moved = repo.cloud.push(objects)
    _check(moved, "could not be written to the remote")
    return Moved(len(moved.transferred), len(repo.stage_cache.push(None)), n_gone)


def pull(repo: Any, folder: Path, entries: Iterable[dict[str, Any]]) -> Moved:
    """Move what locks name from the remote into the cache, and all results.

    Raises:
        Prior3dError: there is no remote, or it cannot be read, or lacks a file.
    """
    url = url_of(repo)
    if "://" not in url and not Path(url).is_dir():
        raise Prior3dError(f"the remote {url} is not there; connect it, or name another one: prior3d remote add FOLDER")
    objects, n_gone = _objects(repo, folder, entries)
    moved = repo.cloud.pull(objects)
    _check(moved, "are not in the remote; where they were made, give: prior3d push RUN")
    return Moved(len(moved.transferred), len(repo.stage_cache.pull(None)), n_gone)


def _objects(repo: Any, folder: Path, entries: Iterable[dict[str, Any]]) -> tuple[set[Any], int]:
    """The objects of the outputs in some entries of locks, and how many outputs have no list of files any more.

    A list that is not here is looked for in the remote.
    """
    found, n_gone = set[Any](), 0
    for entry in entries:
        for out in repo.stage_cache._create_stage(entry, wdir=str(folder)).outs:
            try:
                for objects in out.get_used_objs().values():
                    found |= objects
            except CollectCacheError:
                n_gone += 1
    return found, n_gone


def _check(moved: Any, what: str) -> None:
    if moved.failed:
        raise Prior3dError(f"{len(moved.failed)} files {what}")
