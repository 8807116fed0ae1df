"""The client of the fork server: its process, its socket, and what it answers to each request."""

import contextlib
import itertools
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from flows.engine import forkserver

# Set before torch is loaded; what a user has set stands. Threads that wait by spinning make small work tens of times
# slower on a busy machine, and threads that never spin took 29 s for what takes 20 on a quiet one: 2,000 rounds are
# some microseconds. Memory that is handed back after every tensor costs page faults at every step.
CALM = {
    "GOMP_SPINCOUNT": "2000",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}
END_WAIT_S = 2.0


class ForkClient:
    """One fork server. What libraries print while it imports them goes into a file."""

    def __init__(self, log: Path | None) -> None:
        """Start the server (it costs this process a few milliseconds); without a log yet, `print_into` names it."""
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._numbers = itertools.count()
        self._sending = threading.Lock()
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH", "")])])
        with tempfile.TemporaryFile() if log is None else _opened(log) as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.engine.forkserver", str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**CALM, **os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
            )
        its.close()
        self._asked = False
        threading.Thread(target=self._listen, daemon=True, name="forkserver").start()
        with contextlib.suppress(OSError):  # gone already: the first request says so
            self._send({"path": [p for p in sys.path if p]})

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def ended(self) -> str:
        """How the server ended; empty while it lives."""
        code = self._process.poll()
        if code is None:
            return ""
        if code == -signal.SIGKILL:
            return "was killed (signal 9: perhaps out of memory)"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def print_into(self, log: Path) -> None:
        """Name the file for what libraries print, before and from now on (raises OSError if the server is gone)."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self._send({"log": str(log.resolve())})

    def preload(self, libraries: list[tuple[str, str]], stage: str = "") -> None:
        """Have the server import libraries when it has nothing else to do (raises OSError if it is gone).

        Args:
            libraries: (module, name) pairs.
            stage: the module of the stage whose forks wait for them; empty: all forks.
        """
        self._send({"preload": libraries, "for": stage})

    def fork(self, request: dict[str, Any], output: int) -> int:
        """Ask for a child that writes to a file descriptor (raises OSError if the server is gone); its number."""
        number = next(self._numbers)
        self._answers[number] = queue.Queue()
        self._asked = True
        try:
            self._send({**request, "id": number}, (output,))
        except OSError:
            del self._answers[number]
            raise
        return number

    def answer(self, number: int) -> dict[str, Any]:
        """The server's next word about a child: first `pid`, then `exit`; empty when the server is gone."""
        return self._answers[number].get()

    def forget(self, number: int) -> None:
        """No more is asked about a child."""
        self._answers.pop(number, None)

    def close(self) -> None:
        """End the server; one that was never asked for a child has nothing to end."""
        if not self._asked:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=END_WAIT_S)
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "ForkClient":
        """The server, until the end of a `with` statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()

    def _send(self, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
        with self._sending:
            forkserver.send(self._socket, message, descriptors)

    def _listen(self) -> None:
        """Hand the server's messages to those who wait for them."""
        with contextlib.suppress(OSError):
            while (message := forkserver.receive(self._socket)) is not None:
                waiting = self._answers.get(message[0]["id"])
                if waiting is not None:
                    waiting.put(message[0])
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # whoever asks from now on is told at once
        for waiting in list(self._answers.values()):
            waiting.put({})
            waiting.put({})


def _opened(log: Path) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("wb")
