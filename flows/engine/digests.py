"""The md5 of files, as DVC names its objects, read from the disk whatever is known of them."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def read_digests(paths: Iterable[Path]) -> dict[Path, str]:
    """The md5 of files; empty for one that cannot be read."""

    def read(path: Path) -> str:
        try:
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except OSError:
            return ""

    files = list(paths)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(files, pool.map(read, files), strict=True))
