"""Files that a reader sees whole: the old content or the new, never half of it, even after a power cut."""

import os
from pathlib import Path

from prior3d.errors import Prior3dError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file through a temporary one beside it, which is on the disk before it takes the file's place.

    Raises:
        OSError: it cannot be written; the old content is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_private(path: Path, content: str) -> None:
    """Write a file that only this user can read, as `write_whole` does."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(content)
    temporary.replace(path)


def write_or_explain(path: Path, content: str | bytes) -> None:
    """As `write_whole`, into a folder that is made if need be.

    Raises:
        Prior3dError: it cannot be written, and why; the old content is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise Prior3dError(
            f"{path}: could not be written ({error.strerror}). Free space or fix the permissions; nothing was changed."
        ) from error
