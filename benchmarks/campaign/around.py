"""What happens around a run: Prefect's server is killed, the clock jumps."""

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.campaign.kills import Numbers, reference, went_on
from benchmarks.campaign.project import SLOW, FakeProject
from benchmarks.campaign.state import Campaign

SERVER = "kill -9 of Prefect's server"
CLOCK = "the clock jumps"
JUMPS_HOURS = (-3, 3, -9600, 9600)
SERVER_FILE = Path(".prior3d") / "prefect" / "server.json"


def server_of(project: FakeProject) -> int | None:
    """The process of the project's own server, whose group it leads; None before it is noted."""
    with contextlib.suppress(OSError, ValueError):
        return int(json.loads((project.root / SERVER_FILE).read_text())["pid"])
    return None


def _end_server(project: FakeProject) -> None:
    pid = server_of(project)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def servers(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """Kill the server at random instants of a run that reports to it; the same command then ends without it."""
    good, seconds = reference(project, *SLOW)
    for number in numbers():
        key = f"instant {number}"
        if not is_time():
            return
        if campaign.done(SERVER, key):
            continue
        project.fresh()
        process = project.run(*SLOW, plain=False)
        until = time.monotonic() + random.Random(number).uniform(0.2, 4.0) * seconds
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.02)
        was_there = server_of(project) is not None
        _end_server(project)
        wrong = went_on(project, process, good, *SLOW)
        _end_server(project)
        campaign.add(SERVER, key if was_there else f"{key}, before the server", wrong)


def clocks(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """Set the wall clock back or forth in the middle of a run: what Python's code reads; times of files stay right."""
    good, seconds = reference(project, *SLOW)
    jump = project.base / "clock"
    for number in numbers():
        by_hours = JUMPS_HOURS[number % len(JUMPS_HOURS)]
        key = f"{by_hours} hours {number}"
        if not is_time():
            return
        if campaign.done(CLOCK, key):
            continue
        project.fresh()
        jump.write_text("0")
        process = project.run(*SLOW, FAULT_CLOCK=str(jump))
        time.sleep(random.Random(number).uniform(0.1, 0.9) * seconds)
        jump.write_text(str(by_hours * 3600))
        campaign.add(CLOCK, key, went_on(project, process, good, *SLOW))
