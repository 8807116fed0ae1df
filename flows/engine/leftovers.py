"""Temporary files of processes that were killed while they wrote."""

import os
import re
from pathlib import Path

from prior3d.inside import remove

WRITTEN_BY = re.compile(r"\..+\.(?P<pid>\d+)\.tmp")  # as prior3d.files names them
PLACES = (".", "history", "history/code", "inputs", "losses")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in a run's folder, which nobody else works on now."""
    for place in PLACES:
        for file in (folder / place).glob(".*.tmp"):
            if not _writes(file):
                remove(file)


def _writes(file: Path) -> bool:
    """Whether the process that a temporary file is named after is alive: a stage may outlive its command a little."""
    found = WRITTEN_BY.fullmatch(file.name)
    if found is None:
        return False
    try:
        os.kill(int(found["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
