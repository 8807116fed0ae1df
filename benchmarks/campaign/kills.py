"""Kills, signals and power cuts: whatever happens to a command, the same command goes on, to the same bits."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.campaign.project import SLOW, FakeProject
from benchmarks.campaign.state import Campaign

AT_OPERATIONS = "kill -9 at a file operation"
AT_INSTANTS = "kill -9 at a random instant"
SIGNALS = "SIGTERM, SIGHUP, SIGINT once and twice, stop and continue"
FULL = "full disk at a file operation"
POWER = "files are on the disk before they take their place"
VICTIMS = ("command", "fork server", "stage", "all")
STOPPED_S = 1.0


def reference(project: FakeProject, *words: str) -> tuple[dict[str, str], float]:
    """Results of an undisturbed run, and its seconds."""
    project.fresh()
    started = time.monotonic()
    done = project.wait(project.run(*words))
    if done.code:
        raise RuntimeError(done.said)
    return project.results(), time.monotonic() - started


def at_operations(project: FakeProject, campaign: Campaign, step: int, is_time: Callable[[], bool]) -> None:
    """Kill the command at every `step`-th file operation."""
    good, _ = reference(project)
    number, say = 1 + int(step > 1), project.base / "say"
    while is_time():
        key = f"operation {number}"
        if not campaign.done(AT_OPERATIONS, key):
            say.unlink(missing_ok=True)
            project.fresh()
            fault = {"FAULT_AT": str(number), "FAULT_KIND": "kill", "FAULT_UNDER": str(project.root)}
            done = project.wait(project.run(FAULT_SAY=str(say), **fault))
            if done.code != -9:
                return  # it has fewer operations
            wrong = project.after(good)
            campaign.add(AT_OPERATIONS, key, wrong and f"{wrong} (at {say.read_text()[:60]})")
        number += step


def full_disk(project: FakeProject, campaign: Campaign, step: int, is_time: Callable[[], bool]) -> None:
    """From every `step`-th file operation on, nothing can be written; then there is room again."""
    good, _ = reference(project)
    number = 2
    while is_time():
        key = f"operation {number}"
        if not campaign.done(FULL, key):
            project.fresh()
            fault = {"FAULT_AT": str(number), "FAULT_KIND": "full", "FAULT_UNDER": str(project.root)}
            done = project.wait(project.run(**fault))
            if done.code == 0:
                return
            named = "disk" in done.said or "space" in done.said.lower()
            wrong = f"not one line: {done.last}" if not done.is_plain or not named else project.after(good)
            campaign.add(FULL, key, wrong)
        number += step


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def victim(command: int, name: str) -> int | None:
    """The process of that name under a command; None if it is not there now."""
    if name == "command":
        return command
    servers = children(command)
    if name == "fork server":
        return servers[0] if servers else None
    stages = [stage for server in servers for stage in children(server)]
    return stages[0] if stages else None


def kill(project: FakeProject, name: str, after_s: float, good: dict[str, str], *words: str) -> str:
    """Begin a run, kill a process of it after some seconds, and give the command again; what is wrong then."""
    project.fresh()
    process = project.run(*words)
    time.sleep(after_s)
    with contextlib.suppress(ProcessLookupError):
        if name == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif (pid := victim(process.pid, name)) is not None:
            os.kill(pid, signal.SIGKILL)
    return went_on(project, process, good, *words)


def went_on(project: FakeProject, process: subprocess.Popen[str], good: dict[str, str], *words: str) -> str:
    """Wait for a disturbed command, and give it again; what is wrong then."""
    if "Traceback" in project.wait(process).said:
        return "a traceback"
    return "a process is left" if project.left_behind(process.pid) else project.after(good, *words)


def at_instants(project: FakeProject, campaign: Campaign, count: int, is_time: Callable[[], bool]) -> None:
    """Kill the command, its fork server, its stage or all of them at random instants."""
    good, seconds = reference(project, *SLOW)
    for number in range(count):
        name, rng = VICTIMS[number % len(VICTIMS)], random.Random(number)
        key = f"{name} {number}"
        if not is_time():
            return
        if campaign.done(AT_INSTANTS, key):
            continue
        campaign.add(AT_INSTANTS, key, kill(project, name, rng.uniform(0.1, 0.95) * seconds, good, *SLOW))


def _send(process_id: int, kind: str) -> None:
    numbers = {"SIGTERM": [15], "SIGHUP": [1], "SIGINT": [2], "SIGINT twice": [2, 2], "stop": [19, 18]}[kind]
    for place, number in enumerate(numbers):
        if place:
            time.sleep(STOPPED_S)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, number)


def signals(project: FakeProject, campaign: Campaign, count: int, is_time: Callable[[], bool]) -> None:
    """Send signals to the command at random instants."""
    good, seconds = reference(project, *SLOW)
    kinds = ("SIGTERM", "SIGHUP", "SIGINT", "SIGINT twice", "stop")
    for number in range(count):
        kind, key = kinds[number % len(kinds)], f"{kinds[number % len(kinds)]} {number}"
        if not is_time():
            return
        if campaign.done(SIGNALS, key):
            continue
        project.fresh()
        process = project.run(*SLOW)
        time.sleep(random.Random(number).uniform(0.15, 0.95) * seconds)
        _send(process.pid, kind)
        campaign.add(SIGNALS, key, went_on(project, process, good, *SLOW))


def power_cut(project: FakeProject, campaign: Campaign) -> None:
    """Record which files of a run are synced before they are moved into their place; DVC's own folder is left out."""
    record = project.base / "moved"
    record.unlink(missing_ok=True)
    project.fresh()
    project.wait(project.run(FAULT_RECORD=str(record), FAULT_UNDER=str(project.root)))
    for line in record.read_text().splitlines():
        state, _, path = line.rpartition(" ")
        who, _, how = state.partition(", ")
        name = Path(path).relative_to(project.root).as_posix()
        if how != "folder" and not name.startswith(".dvc/"):
            campaign.add(f"{POWER}, moved by {who}", name, "" if how == "synced" else how)
    shutil.rmtree(project.root, ignore_errors=True)
