"""The files of a project's remote that are not DVC's objects: entries of its cache of results, and claims.

A claim says that a machine computes a stage now. Whoever holds it renews it; one that is not renewed is void, so that a
machine that died keeps nobody waiting for long. No clocks are compared. Without a claim nothing goes wrong, but work
may be done twice.
"""

import contextlib
import secrets
from pathlib import Path
from typing import Any

CLAIMS = "prior3d-claims"


class RemoteFiles:
    """Files of a remote, through its filesystem.

    Args:
        files: an fsspec filesystem.
        folder: the remote's own folder or prefix in it.
        local: whether it is a folder of this machine, or one that is mounted.
    """

    def __init__(self, files: Any, folder: str, local: bool) -> None:
        self._files, self._folder, self._local = files, folder.rstrip("/"), local

    def results(self, key: str) -> list[str]:
        """The names of the results that the remote has under a key."""
        folder = f"{self._folder}/runs/{key[:2]}/{key}"
        self._files.invalidate_cache()  # others write meanwhile
        try:
            return [str(path).rpartition("/")[2] for path in self._files.ls(folder, detail=False)]
        except FileNotFoundError:
            return []

    def read_result(self, key: str, name: str) -> bytes:
        """An entry of the cache of results."""
        content: bytes = self._files.cat_file(f"{self._folder}/runs/{key[:2]}/{key}/{name}")
        return content

    def write_result(self, key: str, name: str, content: bytes) -> None:
        """Put an entry of the cache of results there: the last thing that is written of a result."""
        self._write(f"{self._folder}/runs/{key[:2]}/{key}/{name}", content)

    def claim(self, key: str) -> str:
        """Claim a key; returns what the claim says, empty if another has it."""
        token, path = secrets.token_hex(8), self._claim(key)
        try:
            if self._local:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                with Path(path).open("xb") as claimed:
                    claimed.write(token.encode())
            else:
                self._files.pipe_file(path, token.encode(), mode="create")
        except FileExistsError:
            return ""
        return token

    def renew(self, key: str, token: str) -> str:
        """Say that the claim still holds; returns what it says now."""
        new = f"{token.partition('.')[0]}.{secrets.token_hex(4)}"
        self._write(self._claim(key), new.encode())
        return new

    def claimed(self, key: str) -> str:
        """What the claim of a key says; empty if there is none."""
        try:
            self._files.invalidate_cache()
            return str(self._files.cat_file(self._claim(key)).decode(errors="replace"))
        except FileNotFoundError:
            return ""

    def release(self, key: str) -> None:
        """Give a claim up."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._claim(key))

    def _claim(self, key: str) -> str:
        return f"{self._folder}/{CLAIMS}/{key[:40]}"

    def _write(self, path: str, content: bytes) -> None:
        """Write a file that others see whole or not at all."""
        if not self._local:
            self._files.pipe_file(path, content)
            return
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
        temporary.write_bytes(content)
        temporary.replace(place)
