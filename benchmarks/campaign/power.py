"""Power cuts: everything ends at once, and what was written but not synced is gone from its files.

Names survive as the file system's journal has them, in order; what a file holds survives only if it was synced after
the last change of it. Half of the trials leave such files empty, the others full of zeroes, with the old size and time.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.campaign.kills import Numbers, reference
from benchmarks.campaign.left_processes import processes_of
from benchmarks.campaign.project import FakeProject
from benchmarks.campaign.state import Campaign

POWER = "power cut at a file operation: what was not synced is gone"
State = tuple[int, int, int]  # a file's number, size and time


def states(folder: Path) -> Iterator[tuple[Path, State]]:
    """Every file of a folder, with its state."""
    for place in folder.rglob("*"):
        if place.is_file() and not place.is_symlink():
            found = place.stat()
            yield place, (found.st_ino, found.st_size, found.st_mtime_ns)


def drop_unsynced(folder: Path, kept: set[State], zeroes: bool) -> list[Path]:
    """Take the content of every file whose state is not among those that are kept; these files."""
    dropped = []
    for place, state in list(states(folder)):
        if state in kept or not state[1]:
            continue
        mode = place.stat().st_mode
        place.chmod(0o644)
        place.write_bytes(bytes(state[1]) if zeroes else b"")
        os.utime(place, ns=(state[2], state[2]))
        place.chmod(mode & 0o777)
        dropped.append(place)
    return dropped


def power_cuts(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """Cut the power at file operations of the command; its stages end with it."""
    good, synced, say = reference(project)[0], project.base / "synced", project.base / "say"
    for place, number in enumerate(numbers()):
        key = f"operation {number}"
        if not is_time():
            return
        if campaign.done(POWER, key):
            continue
        synced.write_text("")
        say.unlink(missing_ok=True)
        project.fresh()
        before = {state for _, state in states(project.root)}
        where = {"FAULT_UNDER": str(project.root), "FAULT_SAY": str(say), "FAULT_SYNCED": str(synced)}
        project.wait(project.run(FAULT_AT=str(number), FAULT_KIND="kill all", **where))
        _end_all(project.base)
        if not say.exists():
            return
        on_disk = {State(map(int, line.split())) for line in synced.read_text().splitlines()}
        dropped = drop_unsynced(project.root, before | on_disk, zeroes=place % 2 == 1)
        wrong = project.after(good)
        names = ", ".join(file.name for file in dropped[:3])
        campaign.add(POWER, key, wrong and f"{wrong} (at {say.read_text()[:60]}; gone: {names})")


def _end_all(mark: Path) -> None:
    """Kill every process of a trial, and wait until none is there."""
    while there := processes_of(mark):
        for pid in there:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
