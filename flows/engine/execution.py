"""Runs a stage in a child of its own: reads what it prints, holds its time limit, stops it on ctrl-C and SIGTERM."""

import contextlib
import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.engine.devices_after_fork import COUNT_WITHOUT_DRIVER
from flows.engine.fork_client import ForkClient
from prior3d.errors import Prior3dError
from stages.contract.job import EVENTS

STOP_WAIT_S = 20.0
KEPT_LINES = 200
PROGRESS_MARK, ERROR_MARK = "@@", "error: "
USER_ERROR, STOPPED = 2, 143


@dataclass(frozen=True)
class Call:
    """One execution of a stage.

    Attributes:
        stage: its name.
        module: its Python module.
        argv: its command line, without the module.
        cwd: the run's folder.
        time_limit_s: 0 means none.
        env: added to the environment.
        device: that a person asked for, e.g. `auto`.
    """

    stage: str
    module: str
    argv: list[str]
    cwd: Path
    time_limit_s: float = 0
    env: dict[str, str] = field(default_factory=dict)
    device: str = "auto"


class StageFailed(Prior3dError):
    """A stage ended without its artifact.

    Attributes:
        retry: whether trying again may help: it crashed, and no person has to put anything right first.
        output: the last lines that it printed, with its traceback if it crashed.
    """

    def __init__(self, message: str, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry
        self.output: tuple[str, ...] = ()


class Interrupted(Prior3dError):
    """A person or the system asked the run to stop."""


class CancelledElsewhere(Interrupted):
    """Somebody cancelled the run on Prefect's pages."""


class Executor:
    """A fork server and the children that run now. A server that is gone is replaced by another, and it is said.

    Args:
        log: the file that the server's output goes into.
        warn: receives one-line warnings.
        client: a fork server that was started ahead, and that whoever started it ends too.
    """

    def __init__(self, log: Path, warn: Callable[[str], None], client: ForkClient | None = None) -> None:
        self._log, self._warn = log, warn
        self._client = client
        self._starting = threading.RLock()
        self._preloaded: list[tuple[list[tuple[str, str]], str]] = []
        self._live: set[int] = set()
        self.stopping = False
        if client is not None:
            with contextlib.suppress(OSError):  # it is gone already: `start` says so
                client.print_into(log)

    def start(self) -> ForkClient:
        """The fork server; started if there is none, or if the one that there was is gone."""
        with self._starting:
            ended = self._client.ended() if self._client is not None else ""
            if self._client is not None and ended:
                self._warn(f"the process that starts stages {ended}; another one takes its place")
                self._client.close()
                self._client = None
            if self._client is None:
                self._client = ForkClient(self._log)
                with contextlib.suppress(OSError):  # whoever asks next finds that it is gone
                    for libraries, stage in self._preloaded:
                        self._client.preload(libraries, stage)
            return self._client

    def preload(self, libraries: list[tuple[str, str]], stage: str = "") -> None:
        """Have the server import libraries when it has nothing else to do; forks of that stage, or all, wait for it."""
        with self._starting:
            client = self.start()
            self._preloaded.append((libraries, stage))
            with contextlib.suppress(OSError):  # another server, which the next request starts, imports them too
                client.preload(libraries, stage)

    def execute(self, call: Call, say: Callable[[str], None], progress: Callable[[dict[str, Any]], None]) -> None:
        """Run a stage to its end.

        Args:
            call: what to run.
            say: receives every ordinary line that it prints.
            progress: receives every progress event.

        Raises:
            StageFailed: it ended with an error, or was stopped at its time limit.
            Interrupted: the run is being stopped.
        """
        if self.stopping:
            raise Interrupted(f"stage {call.stage}: not started, the run is being stopped")
        client, number, pid, read_end = self._ask_to_fork(call)
        late = threading.Event()
        bell = threading.Timer(call.time_limit_s, self._ring, (pid, late)) if call.time_limit_s else None
        tail: deque[str] = deque(maxlen=KEPT_LINES)
        try:
            if bell:
                bell.start()
            for line in _lines(read_end):
                if not _forward_progress(line, progress):
                    tail.append(line)
                    if not line.startswith(ERROR_MARK):  # told once, at the end
                        say(line)
            code = client.answer(number).get("exit")
        finally:
            if bell:
                bell.cancel()
            self._live.discard(pid)
            client.forget(number)
        if code is None:
            raise self._gone(call)
        if code:
            failure = self._failure(call, int(code), list(tail), late.is_set())
            if isinstance(failure, StageFailed):
                failure.output = tuple(tail)
            raise failure

    def _ask_to_fork(self, call: Call) -> tuple[ForkClient, int, int, int]:
        """The server that was asked, the child's number there, its process, and where its output comes from."""
        env = {k: v for k, v in os.environ.items() if k == COUNT_WITHOUT_DRIVER} | {EVENTS: "1"} | call.env
        request = {"module": call.module, "argv": call.argv, "cwd": str(call.cwd), "env": env, "device": call.device}
        for _ in range(2):
            if self.stopping:  # a server that is gone now was ended with the run, and needs no other in its place
                break
            client = self.start()
            read_end, write_end = os.pipe()
            try:
                number = client.fork(request, write_end)
                pid = int(client.answer(number).get("pid", 0))
            except OSError:
                pid = 0
            finally:
                os.close(write_end)
            if pid:
                self._live.add(pid)
                if self.stopping:  # it was asked for before, and is there since
                    self._signal_all(signal.SIGTERM)
                return client, number, pid, read_end
            os.close(read_end)
            client.close()
        raise self._gone(call)

    def _gone(self, call: Call) -> Prior3dError:
        """What to say of a stage whose server is gone: its children stop at their checkpoints when that happens."""
        if self.stopping:
            return Interrupted(f"stage {call.stage}: stopped")
        return StageFailed(f"stage {call.stage}: the process that starts stages is gone; perhaps out of memory", True)

    def _failure(self, call: Call, code: int, tail: list[str], late: bool) -> Prior3dError:
        if self.stopping:
            return Interrupted(f"stage {call.stage}: stopped")
        if late:
            return StageFailed(
                f"stage {call.stage}: stopped at its time limit of {call.time_limit_s:g} s; its checkpoint is kept",
                False,
            )
        said = next((line.removeprefix(ERROR_MARK) for line in reversed(tail) if line.startswith(ERROR_MARK)), "")
        if code == USER_ERROR and said:
            return StageFailed(said if said.startswith(f"stage {call.stage}") else f"stage {call.stage}: {said}", False)
        if code == -signal.SIGKILL:
            why = "was killed (signal 9: perhaps out of memory)"
        elif code < 0:
            why = f"was ended by {signal.Signals(-code).name}"
        else:
            why = f"failed with exit code {code}"
        return StageFailed(
            f"stage {call.stage} {why}" + "".join(f"\n    {line}" for line in tail[-12:]), code != STOPPED
        )

    def stop_children(self) -> None:
        """Ask all stages to save and leave, wait for them, and end those that do not.

        An interrupt meanwhile ends them at once: a stage inside a library's long call hears no other signal.
        """
        try:
            self.stopping = True
            self._signal_all(signal.SIGTERM)
            until = time.monotonic() + STOP_WAIT_S
            while self._live and time.monotonic() < until:
                time.sleep(0.05)
        except KeyboardInterrupt:
            self._warn("interrupted again: the stages that run are ended at once")
        finally:
            self._signal_all(signal.SIGKILL)

    def end_children(self) -> None:
        """End all stages at once."""
        self.stopping = True
        self._signal_all(signal.SIGKILL)

    def close(self) -> None:
        """End the fork server."""
        if self._client is not None:
            self._client.close()

    def _signal_all(self, number: int) -> None:
        for pid in list(self._live):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)

    def _ring(self, pid: int, late: threading.Event) -> None:
        """The time limit: ask, wait a little, end."""
        late.set()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
            until = time.monotonic() + STOP_WAIT_S
            while pid in self._live and time.monotonic() < until:
                time.sleep(0.05)


def _lines(descriptor: int) -> Iterator[str]:
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            yield line.rstrip("\n")


def _forward_progress(line: str, progress: Callable[[dict[str, Any]], None]) -> bool:
    if not line.startswith(PROGRESS_MARK):
        return False
    try:
        event = json.loads(line[len(PROGRESS_MARK) :])
    except ValueError:
        return False
    if not isinstance(event, dict) or "step" not in event:
        return False
    progress(event)
    return True
