"""A process that has imported what commands import, and forks one for each trial.

A command begins without the half second of imports, and is otherwise the one that a person gives: a process in a group
of its own, with its own environment, folder and output. Its fork server, stages and Prefect server start as ever.
"""

import gc
import importlib
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.campaign.hook import HOOK
from flows.engine.forkserver import receive, send

LIBRARIES = (
    *("dvc.repo", "dvc.stage.cache", "dvc.stage.serialize", "dvc.cachemgr", "dvc.data_cloud", "dvc.lock", "dvc.rwlock"),
    *("dvc.repo.artifacts", "dvc.repo.datasets", "dvc.repo.metrics", "dvc.repo.params", "dvc.repo.plots"),
    *("dvc.utils.strictyaml", "dvc_data.hashfile.db.local", "dvc_data.hashfile.status", "dvc_render", "zc.lockfile"),
    *("flufl.lock", "fsspec.implementations.memory", "psutil", "rich.live", "rich.progress", "ruamel.yaml"),
    *("flows.cli", "flows.progress", "flows.engine.dvc_results", "flows.engine.dvc_remote", "flows.engine.dvc_setup"),
)
COMMANDS = ("run", "status", "show", "versions", "pages", "project")  # modules


class Command:
    """A command that was forked; what it says is read meanwhile, so that it never waits for its reader."""

    def __init__(self, status: int, output: int) -> None:
        self._status, self._said, self._code = status, bytearray(), None
        self.pid = int.from_bytes(os.read(status, 4), "big")
        self._reader = threading.Thread(target=self._read, args=(output,), daemon=True)
        self._reader.start()

    def _read(self, output: int) -> None:
        while part := os.read(output, 65536):
            self._said += part
        os.close(output)

    def poll(self, timeout_s: float = 0.0) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        if self._code is None and select.select([self._status], [], [], timeout_s)[0]:
            self._code = int.from_bytes(os.read(self._status, 4), "big", signed=True)
            os.close(self._status)
        return self._code

    def communicate(self, timeout: float) -> str:
        """What it said until its end, and that of everybody who holds its output (raises TimeoutExpired)."""
        until = time.monotonic() + timeout
        if self.poll(timeout) is None:
            raise subprocess.TimeoutExpired("a command", timeout)
        self._reader.join(max(0.0, until - time.monotonic()))
        if self._reader.is_alive():
            raise subprocess.TimeoutExpired("a command's output", timeout)
        return self._said.decode(errors="replace")


class Parent:
    """The client of the process that forks commands."""

    def __init__(self, script: Path, environment: dict[str, str]) -> None:
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        words = [sys.executable, "-m", "benchmarks.campaign.parent", str(its.fileno()), str(script)]
        self._process = subprocess.Popen(words, pass_fds=[its.fileno()], env=environment, stdin=subprocess.DEVNULL)
        its.close()

    def start(self, words: tuple[str, ...], folder: Path, environment: dict[str, str]) -> Command:
        """Fork a command with some words more in its environment."""
        (status, its_status), (output, its_output) = os.pipe(), os.pipe()
        send(self._socket, {"words": words, "folder": str(folder), "environment": environment}, (its_status,))
        send(self._socket, {}, (its_output,))
        os.close(its_status)
        os.close(its_output)
        return Command(status, output)

    def close(self) -> None:
        """End it; commands that run go on."""
        self._socket.close()
        self._process.wait()


def _forked(request: dict[str, Any], status: int, output: int) -> bool:
    """In the process that waits for the command, False once that has ended; in the command, True."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        _become(request, output)
        return True
    os.close(output)
    os.write(status, pid.to_bytes(4, "big"))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, code.to_bytes(4, "big", signed=True))
    return False


def _become(request: dict[str, Any], output: int) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    exec(compile(HOOK, "hook", "exec"), {"__name__": "hook"})


def serve(connection: socket.socket) -> list[str] | None:
    """Fork commands until the client is gone; in a command: its words."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who waits for a command is not waited for
    while (asked := receive(connection)) is not None and (more := receive(connection)) is not None:
        (request, (status, *_)), (_, (output, *_)) = asked, more
        if os.fork() == 0:
            connection.close()
            if not _forked(request, status, output):
                os._exit(0)
            return list(request["words"])
        os.close(status)
        os.close(output)
    return None


def main(descriptor: int, script: str) -> None:
    """Import, then serve; a command runs the script as `python SCRIPT WORDS` does."""
    for name in (*LIBRARIES, *(f"flows.commands.{name}" for name in COMMANDS)):
        importlib.import_module(name)
    gc.freeze()  # else a collection in a child copies all pages
    words = serve(socket.socket(fileno=descriptor))
    if words is not None:
        sys.argv = [script, *words]
        sys.path[0] = str(Path(script).parent)
        runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
