"""The runs of a sweep, several at a time, each a process of its own: `prior3d run` with that row's command line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flows.engine.dvc_store import DvcStore
from flows.engine.plan import make_plan
from flows.engine.project import Project
from flows.engine.run_files import text_of
from flows.sweeps.rows import Wanted
from prior3d.errors import Prior3dError

COMMAND = (sys.executable, "-m", "flows.cli")
POLL_S, STOP_WAIT_S = 0.1, 40.0
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


def states_of(project: Project, wanted: list[Wanted]) -> list[State]:
    """Which runs are done: everything of them is as it was made, and as their rows ask for."""
    store = DvcStore(project.root)
    return [State(w, DONE if _is_done(store, w) else MISSING) for w in wanted]


def _is_done(store: DvcStore, wanted: Wanted) -> bool:
    run, declaration = wanted.request.run, wanted.request.declaration
    if not (run.folder / "dvc.lock").is_file() or run.next_version() is not None:
        return False  # a kill may fall between the last stage and the version
    try:
        return make_plan(run, declaration, store, list(declaration.method.stages)).idle
    except Prior3dError:
        return False  # the run's own command says what is wrong with it


def carry_out(project: Project, states: list[State], sweep: str, at_once: int, told: Callable[[State], None]) -> None:
    """Make the runs that are missing.

    Args:
        project: the project.
        states: of all runs; they are brought up to date.
        sweep: its name.
        at_once: how many runs go on at one time; they share the processor's threads.
        told: is called when a run begins (missing) and ends (done or failed).
    """
    waiting = [s for s in states if s.state != DONE]
    live: list[Running] = []
    logs = project.state / "sweeps" / sweep
    logs.mkdir(parents=True, exist_ok=True)
    threads = max(1, (os.cpu_count() or 1) // max(1, at_once))
    with _stopping(live):
        while waiting or live:
            while waiting and len(live) < at_once:
                state = waiting.pop(0)
                told(state)
                live.append(_start(project, state, logs / f"{state.wanted.name}.log", threads))
            for running in [r for r in live if r.process.poll() is not None]:
                live.remove(running)
                _end(running)
                told(running.state)
            time.sleep(POLL_S)


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
        lines = (text_of(running.log) or "").splitlines()
        said = next((line.removeprefix(ERROR_MARK) for line in lines if line.startswith(ERROR_MARK)), "")
        state.problem = said or f"exit code {running.process.returncode}; see {running.log}"


@contextmanager
def _stopping(live: list[Running]) -> Iterator[None]:
    """Whatever happens, no run is left behind: each saves its checkpoints and ends."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        for running in live:
            with suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_WAIT_S
        for running in live:
            with suppress(subprocess.TimeoutExpired):
                running.process.wait(max(0.1, until - time.monotonic()))
            with suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGKILL)
