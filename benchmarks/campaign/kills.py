"""Kills, signals and power cuts: whatever happens to a command, the same command goes on, to the same bits."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.campaign.parent import Command
from benchmarks.campaign.project import SLOW, Done, FakeProject
from benchmarks.campaign.state import Campaign

AT_OPERATIONS = {
    "command": "kill -9 of the command at a file operation",
    "group": "kill -9 of the command and its fork server at a file operation",
    "stage": "kill -9 of a stage at a file operation",
}
MODULES = {name: f"fake_stages.{name}" for name in ("counting", "shouting", "joining")}
AT_INSTANTS = "kill -9 of command, fork server, stage or all at a random instant"
CHAINS = "runs that were killed at random instants, again and again"
SIGNALS = "SIGTERM, SIGHUP, SIGINT once and twice, stop and continue"
FULL = "full disk at a file operation"
Numbers = Callable[[], Iterable[int]]  # of trials: file operations, or seeds of random instants
VICTIMS = ("command", "fork server", "stage", "all")
STOPPED_S = 1.0
TIMES_MORE = 3  # what goes on after a kill is killed too
LATER_OPERATIONS = 250  # of some 400


def reference(project: FakeProject, *words: str) -> tuple[dict[str, str], float]:
    """Results of an undisturbed run, and its seconds."""
    project.fresh()
    started = time.monotonic()
    done = project.wait(project.run(*words))
    if done.code:
        raise RuntimeError(done.said)
    return project.results(), time.monotonic() - started


def of_command(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """Kill the command at file operations of it."""
    _killed_at(project, campaign, "command", Fault("kill"), numbers, is_time)


def of_group(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """Kill the command and its fork server together at file operations of the command."""
    _killed_at(project, campaign, "group", Fault("kill all"), numbers, is_time)


def of_stages(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """Kill each stage at file operations of it."""
    for stage, module in MODULES.items():
        _killed_at(project, campaign, "stage", Fault("kill", module, f"{stage} "), numbers, is_time)


@dataclass(frozen=True)
class Fault:
    """What happens at a file operation: the hook's kind, the stage's module that it happens to, and its name."""

    kind: str
    who: str = ""
    name: str = ""


def _killed_at(
    project: FakeProject, campaign: Campaign, victim: str, fault: Fault, numbers: Numbers, is_time: Callable[[], bool]
) -> None:
    """Kill at these operations of a process, until it has no more; each time what goes on is killed too."""
    good, promise = reference(project)[0], AT_OPERATIONS[victim]
    for number in numbers():
        if not is_time():
            return
        key = f"{fault.name}operation {number}"
        if not campaign.done(promise, key):
            project.fresh()
            said, wrong = _kill_again_and_again(project, fault, number)
            if not said:
                return  # it has fewer operations
            wrong = wrong or project.after(good)
            for again in range(len(said)):
                name = f"{key}, killed {again} times more" if again else key
                campaign.add(promise, name, wrong and f"{wrong} (at {'; '.join(said)})")


def _kill_again_and_again(project: FakeProject, fault: Fault, first: int) -> tuple[list[str], str]:
    """Kill a run at an operation, then the same command at random ones: where that was, and what was wrong."""
    say, rng, said = project.base / "say", random.Random(first), list[str]()
    for at in (first, *(rng.randrange(1, LATER_OPERATIONS) for _ in range(TIMES_MORE))):
        say.unlink(missing_ok=True)
        finished = project.finished()
        where = {"FAULT_UNDER": str(project.root), "FAULT_SAY": str(say), "FAULT_WHO": fault.who if not said else ""}
        done = project.wait(project.run(FAULT_AT=str(at), FAULT_KIND=fault.kind, **where))
        if not say.exists():
            break  # it was through before
        said.append(say.read_text()[:60])
        if done.code not in (-9, 0):
            return said, f"exit {done.code}: {done.last}"
        if repeated := project.repeated(finished, done):
            return said, repeated
    return said, ""


def full_disk(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """From a file operation on nothing can be written; then there is room again."""
    good, _ = reference(project)
    for number in numbers():
        key = f"operation {number}"
        if not is_time():
            return
        if campaign.done(FULL, key):
            continue
        project.fresh()
        fault = {"FAULT_AT": str(number), "FAULT_KIND": "full", "FAULT_UNDER": str(project.root)}
        done = project.wait(project.run(**fault))
        if done.code == 0:
            return
        named = "disk" in done.said or "space" in done.said.lower()
        wrong = f"not one line: {done.last}" if not done.is_plain or not named else project.after(good)
        campaign.add(FULL, key, wrong)


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


def disturb(project: FakeProject, name: str, after_s: float, *words: str) -> tuple[Done, bool]:
    """Begin a run and kill a process of it after some seconds; how it ended, and whether that process was there."""
    process = project.run(*words)
    process.poll(after_s)
    killed = process.poll() is None and _kill(process.pid, name)
    return project.wait(process), killed


def _kill(command: int, name: str) -> bool:
    """Kill a process of a command, or its whole group; whether it was there."""
    try:
        if name == "all":
            os.killpg(command, signal.SIGKILL)
            return True
        found = victim(command, name)
        if found is not None:
            os.kill(found, signal.SIGKILL)
        return found is not None
    except ProcessLookupError:
        return False


def kills_survived(
    project: FakeProject, good: dict[str, str], seconds: float, rng: random.Random, times: int, *words: str
) -> tuple[list[str], str]:
    """Kill processes of a run and of what goes on, `times` times at random instants: which were there; what broke."""
    project.fresh()
    said = list[str]()
    for _ in range(times):
        name, finished = rng.choice(VICTIMS), project.finished()
        done, killed = disturb(project, name, rng.uniform(0.02, 0.98) * seconds, *words)
        said += [name] if killed else []
        wrong = _ended_badly(done) or project.repeated(finished, done)
        if wrong:
            return said, wrong
        if project.left_behind():
            return said, "a process is left"
    return said, project.after(good, *words)


def _ended_badly(done: Done) -> str:
    if done.code == 124:
        return "it does not end"
    return f"a traceback: {done.last}" if "Traceback" in done.said else ""


def went_on(project: FakeProject, process: Command, good: dict[str, str], *words: str) -> str:
    """Wait for a disturbed command, and give it again; what is wrong then."""
    if wrong := _ended_badly(project.wait(process)):
        return wrong
    return "a process is left" if project.left_behind() else project.after(good, *words)


def at_instants(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """Kill the command, its fork server, its stage or all of them at random instants, and what goes on too."""
    good, seconds = reference(project, *SLOW)
    for number in numbers():
        if not is_time():
            return
        if campaign.done(CHAINS, str(number)):
            continue
        said, wrong = kills_survived(project, good, seconds, random.Random(number), 1 + TIMES_MORE, *SLOW)
        campaign.add(CHAINS, str(number), wrong)
        for place, name in enumerate(said):
            campaign.add(AT_INSTANTS, f"{name} {number}.{place}", wrong)


def _send(process_id: int, kind: str) -> None:
    numbers = {"SIGTERM": [15], "SIGHUP": [1], "SIGINT": [2], "SIGINT twice": [2, 2], "stop": [19, 18]}[kind]
    for place, number in enumerate(numbers):
        if place:
            time.sleep(STOPPED_S)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, number)


def signals(project: FakeProject, campaign: Campaign, numbers: Numbers, is_time: Callable[[], bool]) -> None:
    """Send signals to the command at random instants."""
    good, seconds = reference(project, *SLOW)
    kinds = ("SIGTERM", "SIGHUP", "SIGINT", "SIGINT twice", "stop")
    for number in numbers():
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
