"""What a reader is that is fuzzed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.campaign.mutations import Change
from prior3d.errors import Prior3dError


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Attributes:
        write: puts a valid input into an empty folder.
        changed: the files of it that are changed, each with the way in which it is.
        read: reads the input, and may raise one of `refuses`.
        refuses: the errors that are its answer to what it cannot read.
    """

    write: Callable[[Path], Any]
    changed: dict[str, Change]
    read: Callable[[Path], Any]
    refuses: tuple[type[Exception], ...] = (Prior3dError,)


def each(*calls: Callable[[Path], Any]) -> Callable[[Path], None]:
    """One after the other, also if one before refuses."""

    def read(folder: Path) -> None:
        for call in calls:
            try:
                call(folder)
            except Prior3dError:
                continue

    return read
