"""What a person gives is copied into the run: of a capture only the files that it names, and only if they changed."""

import filecmp
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.terminal import size_text
from prior3d.errors import Prior3dError

Tell = Callable[[str], object]  # what it returns is not looked at
WORTH_A_WORD, STEP = 50_000_000, 500_000_000  # bytes
ROOM_LEFT = 50_000_000  # bytes that a disk keeps


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, unless the same content is there."""
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(target)


def folder_files(folder: Path) -> list[Path]:
    """All files below a folder, relative to it, without pipes, dangling links and what links to folders lead to."""
    found = []
    for place, _, names in os.walk(folder):
        found += [Path(place, name).relative_to(folder) for name in sorted(names) if Path(place, name).is_file()]
    return sorted(found)


def copy_folder(source: Path, target: Path, files: Sequence[Path], tell: Tell) -> None:
    """Make a folder hold copies of some files of another, and nothing else; whole or not at all.

    Args:
        source: the other folder.
        target: in a run.
        files: relative to both.
        tell: receives a line about a large copy, and about how far it is.

    Raises:
        Prior3dError: the disk has too little room.
    """
    sizes = {file: (source / file).stat() for file in files}
    if target.is_dir() and _is_copy(target, sizes):
        return
    total = sum(status.st_size for status in sizes.values())
    _check_room(target.parent, total, source)
    if total > WORTH_A_WORD:
        tell(f"copying {len(files):,} files of {source.name}, {size_text(total)}")
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        done = said = 0
        for file, status in sizes.items():
            place = temporary / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, place)
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))  # so that an unchanged file is known again
            done += status.st_size
            if done - said > STEP:
                tell(f"copied {size_text(done)} of {size_text(total)}")
                said = done
        shutil.rmtree(target, ignore_errors=True)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_copy(target: Path, sizes: dict[Path, os.stat_result]) -> bool:
    """Whether a folder holds just those files, of the same sizes and times."""
    there = {file: (target / file).stat() for file in folder_files(target)}
    return there.keys() == sizes.keys() and all(
        (found.st_size, found.st_mtime_ns) == (sizes[file].st_size, sizes[file].st_mtime_ns)
        for file, found in there.items()
    )


def _check_room(place: Path, wanted: int, source: Path) -> None:
    free = shutil.disk_usage(place).free
    if wanted + ROOM_LEFT > free:
        raise Prior3dError(
            f"the disk is full: {source} needs {size_text(wanted)} for its copy in the run, and "
            f"{size_text(free)} are left, of which {size_text(ROOM_LEFT)} stay free; free some, or give a smaller "
            "capture"
        )
