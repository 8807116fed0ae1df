"""Results that several machines share: what a project's store sends to its remote and takes from it.

Files are moved without DVC's lock: they are named by their content, and moving gigabytes must not keep others waiting.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.engine.dvc_store import DvcStore
from flows.engine.remote_files import RemoteFiles


@dataclass(frozen=True)
class Moved:
    """What was moved: files that were not there yet, and all entries of the cache of results.

    `gone` outputs have no list of files any more, here or there.
    """

    files: int
    results: int
    gone: int


class SharedStore:
    """A project's remote."""

    def __init__(self, root: Path) -> None:
        self._store = DvcStore(root)

    def name(self, url: str, options: dict[str, str]) -> None:
        """Make a place the project's default remote, with options as DVC calls them."""
        with self._store.shared() as (remote, repo):
            remote.add(repo, url, options)

    def url(self) -> str:
        """Where the project's remote is (raises Prior3dError without one)."""
        with self._store.shared(locked=False) as (remote, repo):
            return str(remote.url_of(repo))

    def exists(self) -> bool:
        """Whether the project has one."""
        with self._store.shared(locked=False) as (remote, repo):
            return bool(remote.is_named(repo))

    def files(self) -> RemoteFiles:
        """Its files (raises Prior3dError, or what its filesystem raises)."""
        with self._store.shared(locked=False) as (remote, repo):
            return RemoteFiles(*remote.filesystem(repo))

    def push(self, folder: Path, entries: list[dict[str, Any]]) -> Moved:
        """Move what entries of locks of a run's folder name to the remote, and all results (raises Prior3dError)."""
        with self._store.shared() as (remote, repo):
            return Moved(*remote.push(repo, folder, entries))

    def pull(self, folder: Path, entries: list[dict[str, Any]]) -> Moved:
        """Move what entries of locks of a run's folder name from the remote, and all results (raises Prior3dError)."""
        with self._store.shared() as (remote, repo):
            return Moved(*remote.pull(repo, folder, entries))

    def fetch(self, folder: Path, entries: list[dict[str, Any]]) -> None:
        """Move what entries of locks name from the remote into the cache, and nothing else (raises Prior3dError)."""
        with self._store.shared(locked=False) as (remote, repo):
            remote.fetch(repo, folder, entries)
        for entry in entries:
            self._store.keep_result(entry)

    def complete(self, folder: Path, entries: list[dict[str, Any]]) -> None:
        """Put entries of a lock into the remote, with their files, as far as they are not there.

        Raises:
            Prior3dError, or what the remote's filesystem raises.
        """
        with self._store.shared(locked=False) as (remote, repo):
            remote.send(repo, remote.objects_of(repo, folder, entries))
        files = self.files()
        for entry in entries:
            place = self._store.keep_result(entry)
            if place.name not in files.results(place.parent.name):
                files.write_result(place.parent.name, place.name, place.read_bytes())

    def take_results(self, dvc_file: str, stage: str, results: dict[str, bytes]) -> None:
        """Bring results of a stage into the caches, with the files of the one that fits (raises Prior3dError)."""
        with self._store.shared() as (remote, repo):
            objects = remote.objects_of_results(repo, dvc_file, stage, results)
        with self._store.shared(locked=False) as (remote, repo):
            remote.take(repo, objects)

    def send_objects(self, dvc_file: str, stage: str) -> tuple[str, bytes]:
        """Send the files of a stage's result, as the lock has it, as far as they are not there.

        Returns:
            The name of the result and its entry, which is to be written last.

        Raises:
            Prior3dError: they could not be sent.
        """
        with self._store.shared() as (remote, repo):
            name, entry, objects = remote.result_to_send(repo, dvc_file, stage)
        with self._store.shared(locked=False) as (remote, repo):
            remote.send(repo, objects)
        return name, entry
