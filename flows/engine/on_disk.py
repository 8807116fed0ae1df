"""Files that others wrote, on the disk before a lock names them, so that a power cut cannot take them away."""

import os
from collections.abc import Iterable
from pathlib import Path


def sync(places: Iterable[Path]) -> None:
    """Wait until files, and all files of folders, are on the disk with their names; what is not there is left out."""
    folders = set()
    for place in places:
        for file in place.rglob("*") if place.is_dir() else (place,):
            if file.is_file():
                _sync(file)
                folders.add(file.parent)
    for folder in folders:
        _sync(folder)


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
