"""Runs a stage in a child of its own: reads what it prints, holds its time limit, stops it on ctrl-C and SIGTERM."""

import contextlib
import itertools
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.engine import forkserver
from flows.engine.devices_after_fork import COUNT_WITHOUT_DRIVER
from prior3d.errors import Prior3dError

STOP_WAIT_S = 20.0
KEPT_LINES = 40
PROGRESS_MARK, ERROR_MARK = "@@", "error: "
USER_ERROR, STOPPED = 2, 143
# Set before torch is loaded; what a user has set stands. Threads that wait by spinning make small work tens of times
# slower on a busy machine, and threads that never spin took 29 s for what takes 20 on a quiet one: 2,000 rounds are
# some microseconds. Memory that is handed back after every tensor costs page faults at every step.
CALM = {
    "GOMP_SPINCOUNT": "2000",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}


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
    """

    def __init__(self, message: str, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class Interrupted(Prior3dError):
    """A person or the system asked the run to stop."""


class Executor:
    """A fork server and the children that run now. Start it from the main thread.

    What libraries print while the server imports them goes into the file `log`.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._replies: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._numbers = itertools.count()
        self._sending = threading.Lock()
        self._live: set[int] = set()
        self.stopping = False

    def start(self) -> None:
        """Start the fork server (it costs this process a few milliseconds)."""
        if self._process is not None:
            return
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH", "")])])
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.engine.forkserver", str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**CALM, **os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
            )
        its.close()
        self._socket = mine
        forkserver.send(mine, {"path": [p for p in sys.path if p]})
        threading.Thread(target=self._listen, args=(mine,), daemon=True, name="forkserver").start()

    def preload(self, libraries: list[tuple[str, str]]) -> None:
        """Have the server import libraries when it has nothing else to do; requests after this one wait for it."""
        self.start()
        with self._sending:
            forkserver.send(self._open_socket(), {"preload": libraries})

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
        self.start()
        if self.stopping:
            raise Interrupted(f"stage {call.stage}: not started, the run is being stopped")
        number, replies = next(self._numbers), queue.Queue[dict[str, Any]]()
        self._replies[number] = replies
        read_end = self._ask_to_fork(number, call)
        pid = int(self._reply(replies).get("pid", 0))
        self._live.add(pid)
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
            code = int(self._reply(replies).get("exit", -signal.SIGKILL))
        finally:
            if bell:
                bell.cancel()
            self._live.discard(pid)
            del self._replies[number]
        if code:
            raise self._failure(call, code, list(tail), late.is_set())

    def _ask_to_fork(self, number: int, call: Call) -> int:
        read_end, write_end = os.pipe()
        env = {k: v for k, v in os.environ.items() if k == COUNT_WITHOUT_DRIVER} | call.env
        request = {"id": number, "module": call.module, "argv": call.argv, "cwd": str(call.cwd), "env": env,
                   "device": call.device}  # fmt: skip
        try:
            with self._sending:
                forkserver.send(self._open_socket(), request, (write_end,))
        except OSError as error:
            os.close(read_end)
            raise StageFailed(f"stage {call.stage}: the process that starts stages is gone ({error})", True) from None
        finally:
            os.close(write_end)
        return read_end

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
        """Ask all stages to save and leave, wait for them, and end those that do not."""
        self.stopping = True
        self._signal_all(signal.SIGTERM)
        until = time.monotonic() + STOP_WAIT_S
        while self._live and time.monotonic() < until:
            time.sleep(0.05)
        self._signal_all(signal.SIGKILL)

    def close(self) -> None:
        """End the fork server."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2)
            self._process.kill()
            self._process.wait()

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

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise OSError("not started")
        return self._socket

    def _reply(self, replies: "queue.Queue[dict[str, Any]]") -> dict[str, Any]:
        """The server's next word about one child; empty when the server is gone."""
        return replies.get()

    def _listen(self, connection: socket.socket) -> None:
        """Hand the server's messages to those who wait for them."""
        with contextlib.suppress(OSError):
            while (message := forkserver.receive(connection)) is not None:
                waiting = self._replies.get(message[0]["id"])
                if waiting is not None:
                    waiting.put(message[0])
        for waiting in list(self._replies.values()):
            waiting.put({})
            waiting.put({})


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
