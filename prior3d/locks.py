"""Locks between processes: a file that one process holds; the system lets go of it however that process dies.

filelock, not fcntl: the same call holds on Windows and macOS.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

POLL_S = 0.05


@contextlib.contextmanager
def held(path: Path, wait_s: float = 0.0) -> Iterator[bool]:
    """Hold a lock during the block, if nobody else holds it.

    Args:
        path: of the lock's file; its folder exists. The file stays.
        wait_s: how long to wait for whoever holds it; below zero: as long as it takes.

    Yields:
        Whether it is held.
    """
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=wait_s, poll_interval=POLL_S)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether some process holds a lock; a look takes it for an instant, so whoever wants it should try twice."""
    if not path.is_file():
        return False
    try:
        with held(path) as free:
            return not free
    except PermissionError:  # somebody else's folder: it can be read, and nobody can be asked
        return False
