"""The processes that a trial started: they carry its mark in their environment, and keep it when they fork."""

import os
from pathlib import Path

MARK = "FAULT_TRIAL"


def processes_of(mark: Path) -> list[int]:
    """The processes with a trial's mark that have not ended; a command itself, which was forked, is not one."""
    wanted, found = f"{MARK}={mark}\0".encode(), []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended, or is another person's
    return found
