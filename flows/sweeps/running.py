"""The runs of a sweep, several at a time, each a process of its own: `prior3d run` with that row's command line."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flows.engine.dvc_store import DvcStore
from flows.engine.plan import make_plan
from flows.engine.project import Project
from flows.engine.run_files import text_of
from flows.request import Request
from flows.sweeps.rows import Wanted
from flows.sweeps.seen_done import SeenDone
from prior3d.errors import Prior3dError

COMMAND = (sys.executable, "-m", "flows.cli")
STOP_WAIT_S = 40.0
ERROR_MARK = "error: "
DONE, MISSING, FAILED = "done", "missing", "failed"


@dataclass
class State:
    """What is known of one run.

    Attributes:
        wanted: the run.
        state: done, missing or failed.
        seconds: that it took now; 0 if it was there.
        problem: why it failed, one line.
    """

    wanted: Wanted
    state: str = MISSING
    seconds: float = 0.0
    problem: str = ""


@dataclass
class Running:
    """A process that makes a run, and the file that it writes into."""

    state: State
    process: "subprocess.Popen[bytes]"
    log: Path
    started: float = field(default_factory=time.monotonic)


def states_of(project: Project, wanted: list[Wanted], seen: SeenDone) -> list[State]:
    """Which runs are done: everything of them is as it was made, and as their rows ask for."""
    store, states = DvcStore(project.root), list[State]()
    with store.kept_open() if any(_may_be_done(w) for w in wanted) else nullcontext():
        for each in wanted:
            if each.request is not None and _may_be_done(each) and is_done(store, each.request):
                note_done(seen, each)
                states.append(State(each, DONE))
            else:
                states.append(State(each, DONE if each.request is None else MISSING))
    seen.write()
    return states


def note_done(seen: SeenDone, wanted: Wanted) -> None:
    """Note that a run is done now."""
    request = wanted.request
    if request is not None:
        given = [content for content in request.declaration.inputs.values() if isinstance(content, Path)]
        seen.note(wanted.name, wanted.key, [*given, *map(Path, request.settings["priors"].values())])


def _may_be_done(wanted: Wanted) -> bool:
    return wanted.request is not None and (wanted.request.run.folder / "dvc.lock").is_file()


def is_done(store: DvcStore, request: Request) -> bool:
    """Whether a run is as it is asked for, and a version."""
    try:
        if request.run.next_version() is not None:
            return False  # a kill may fall between the last stage and the version
        return make_plan(request.run, request.declaration, store, list(request.declaration.method.stages)).idle
    except Prior3dError:
        return False  # the run's own command says what is wrong with it


class Local:
    """Runs on this machine, each a process of its own; they share the processor's threads."""

    def __init__(self, project: Project, sweep: str, at_once: int) -> None:
        self._project, self._at_once = project, at_once
        self._logs = project.state / "sweeps" / sweep
        self._logs.mkdir(parents=True, exist_ok=True)
        self._threads = max(1, (os.cpu_count() or 1) // max(1, at_once))
        self._live: list[Running] = []

    def free(self) -> int:
        """How many more runs can begin."""
        return self._at_once - len(self._live)

    def begin(self, state: State) -> None:
        """Begin a run."""
        log = self._logs / f"{state.wanted.name}.log"
        self._live.append(_start(self._project, state, log, self._threads))

    def ended(self) -> list[State]:
        """The runs that ended since, with how."""
        over = [r for r in self._live if r.process.poll() is not None]
        for running in over:
            self._live.remove(running)
            _end(running)
        return [running.state for running in over]

    def close(self) -> None:
        """Leave no run behind: each saves its checkpoints and ends."""
        stop([running.process for running in self._live])


def _start(project: Project, state: State, log: Path, threads: int) -> Running:
    wanted = state.wanted
    words = [*COMMAND, "run", wanted.method.name, *wanted.words, "--plain"]
    environment = {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"} | dict(os.environ)
    with log.open("wb") as stream:
        process = subprocess.Popen(words, cwd=project.root, env=environment, stdout=stream, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    return Running(state, process, log)


def _end(running: Running) -> None:
    state = running.state
    state.seconds = time.monotonic() - running.started
    state.state = FAILED if running.process.returncode else DONE
    if state.state == FAILED:
        said = problem_in(text_of(running.log) or "")
        state.problem = said or f"exit code {running.process.returncode}; see {running.log}"


def problem_in(printed: str) -> str:
    """The error that a run printed, without its mark; empty if it printed none."""
    return next((t.removeprefix(ERROR_MARK) for t in printed.splitlines() if t.startswith(ERROR_MARK)), "")


def stop(processes: "list[subprocess.Popen[bytes]]") -> None:
    """Ask groups of processes to save and leave, wait for them, and end those that do not."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
    until = time.monotonic() + STOP_WAIT_S
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, until - time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
