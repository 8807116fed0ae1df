"""Paths out of files that somebody else may have written: nothing outside their folder is touched or read for them."""

import shutil
from pathlib import Path, PurePosixPath

from prior3d.errors import Prior3dError

BRING_BACK = "nothing was touched; take that name out of it, or bring it back from git or a copy"


def resolved_inside(folder: Path, path: str | Path, where: str, remedy: str = BRING_BACK) -> Path:
    """Where a path really lies, after the links above it.

    A link to a file may stand at its end: DVC can link files to its cache. A link to a folder may not.

    Args:
        folder: the path is relative to it, and must lie in it.
        path: out of a file.
        where: what names the path, for the message.
        remedy: what a person can do, for the end of the message.

    Returns:
        The path that may be replaced or removed.

    Raises:
        Prior3dError: it is absolute elsewhere, climbs out, leads through a link to elsewhere, is the folder itself, or
            no file can be called so.
    """
    base, given = folder.resolve(), folder / path
    try:
        place = (base if given.parent == folder else given.parent.resolve()) / given.name
        follows_link = place.is_symlink() and place.is_dir()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, links in a circle
        reason = getattr(error, "strerror", None) or error
        raise Prior3dError(f"{where} names {str(path)[:80]!r}, which is no path ({reason}): {remedy}") from None
    if given.name in ("", "..") or follows_link or base not in place.parents:
        found = f", a link to {place.resolve()}" if follows_link else ""
        raise Prior3dError(f"{where} names {str(path)!r}{found}, which does not lie in {folder}: {remedy}")
    return place


def lies_inside(folder: Path, path: str | Path) -> bool:
    """Whether `resolved_inside` takes a path: for readers that leave out what lies elsewhere."""
    try:
        resolved_inside(folder, path, "")
    except Prior3dError:
        return False
    return True


def named_file(folder: Path, path: str, said_in: str) -> Path:
    """The file that a capture names: inside the capture, so that a run copies it and notices when it changes.

    Raises:
        Prior3dError: it lies elsewhere, or no file can be called so.
    """
    resolved_inside(folder, path, said_in, "put the file into the capture, and name it from there")
    return folder / path


def remove(place: Path) -> None:
    """Remove a file, a link or a whole folder; nothing if it is not there."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def climbs(path: str) -> bool:
    """Whether a path could leave the folder that it is relative to, by its letters alone."""
    return path.startswith(("/", "\\")) or ".." in PurePosixPath(path.replace("\\", "/")).parts
