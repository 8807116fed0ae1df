"""A small process that imports heavy libraries once and forks one child a stage from there.

`python -m flows.engine.forkserver FD` serves one client over a socket. Messages are a 4-byte length and JSON; a
request to fork carries the file descriptor that becomes the child's stdout and stderr. When the client is gone, however
it went, the socket ends: the children are asked to stop, and the server leaves.

What a stage imports is imported here before its fork; what later stages import, while there is nothing else to do: a
stage does not wait for the libraries of others.

No fork of a process that started the CUDA driver can use CUDA, and some libraries count GPUs when they are imported.
So this process lets torch count them without the driver (`flows.engine.devices_after_fork`), and a child that cannot
use its device all the same starts over as a process of its own.

Why not `multiprocessing`: a plain spawn imports everything again for every stage, seconds each; its fork server imports
the libraries of all stages before the first child (2.3 times those of the first stage alone, for `scene` and
`retexture`), and leaves the session, the output and the end of a child to us anyway.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from flows.engine.devices_after_fork import COUNT_WITHOUT_DRIVER, cuda_driver_started, why_fork_cannot_serve

HEADER_BYTES = 4
PR_SET_PDEATHSIG = 1
MOST_PRINTED = 2**20  # bytes that libraries print while they are imported


class Library(NamedTuple):
    """Something to import: a module, a name in it or "", and the module of the stage that waits for it ("": all)."""

    module: str
    name: str
    stage: str


def send(connection: socket.socket, message: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    """Send one message, with file descriptors."""
    body = json.dumps(message).encode()
    header = len(body).to_bytes(HEADER_BYTES, "big")
    if descriptors:
        socket.send_fds(connection, [header], descriptors)
        connection.sendall(body)
    else:
        connection.sendall(header + body)


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive one message and its file descriptors; None when the other side is gone."""
    header, descriptors, _, _ = socket.recv_fds(connection, HEADER_BYTES, 1)
    while header and len(header) < HEADER_BYTES:
        header += connection.recv(HEADER_BYTES - len(header)) or b""
    if not header:
        return None
    body = b""
    while len(body) < int.from_bytes(header, "big"):
        part = connection.recv(int.from_bytes(header, "big") - len(body))
        if not part:
            return None
        body += part
    return json.loads(body), list(descriptors)


def serve(connection: socket.socket) -> None:
    """Answer requests until the client is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the client gets them too, and stops the stages in its own order
        signal.signal(number, signal.SIG_IGN)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _noted)
    children: dict[int, int] = {}
    waiting: list[Library] = []
    try:
        while True:
            ready, _, _ = select.select([connection.fileno(), wake_read], [], [], 0 if waiting else None)
            if not ready:
                _import(waiting.pop(0))
            if wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 512)
                _report_ends(connection, children)
            if connection.fileno() in ready:
                message = receive(connection)
                if message is None:
                    return
                _answer(connection, *message, children, waiting)
    except (BrokenPipeError, ConnectionResetError):
        return
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """SIGCHLD's handler: the wake-up descriptor does the work."""


def _answer(
    connection: socket.socket,
    request: dict[str, Any],
    descriptors: list[int],
    children: dict[int, int],
    waiting: list[Library],
) -> None:
    if "log" in request:
        _print_into(request["log"])
    if "path" in request:
        sys.path[:] = request["path"]
        waiting.append(Library("stages.contract.entry", "", ""))
    waiting += [Library(module, name, request["for"]) for module, name in request.get("preload", ())]
    if "module" not in request:
        return
    for library in [each for each in waiting if each.stage in ("", request["module"])]:
        waiting.remove(library)
        _import(library)
    driver_started = cuda_driver_started()  # only the parent can tell: in the child the driver looks untouched
    gc.freeze()  # the child looks for garbage among its own objects only
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            gc.enable()
            connection.close()
            code = _become_stage(request, descriptors[0], driver_started)
        finally:
            os._exit(code)
    os.close(descriptors[0])
    children[pid] = request["id"]
    send(connection, {"id": request["id"], "pid": pid})


def _import(library: Library) -> None:
    """Import something that a stage will import; if that fails, the stage fails in the same way and says so."""
    with contextlib.suppress(Exception):
        loaded = importlib.import_module(library.module)
        if library.name not in ("", "*") and not hasattr(loaded, library.name):  # asking imports parts of some packages
            importlib.import_module(f"{library.module}.{library.name}")


def _print_into(log: str) -> None:
    """Print into a file from now on, behind what was printed before."""
    sys.stdout.flush()
    sys.stderr.flush()
    with Path(log).open("wb") as file:
        with contextlib.suppress(OSError):  # the first output may be no file
            file.write(os.pread(1, MOST_PRINTED, 0))
        file.flush()
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)


def _report_ends(connection: socket.socket, children: dict[int, int]) -> None:
    while children:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in children:
            send(connection, {"id": children.pop(pid), "exit": os.waitstatus_to_exitcode(status)})


def _become_stage(request: dict[str, Any], output: int, driver_started: bool) -> int:
    """In the child: its own session, its own output, its own folder; then the stage."""
    parent = os.getppid()
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            return 143
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.pop(COUNT_WITHOUT_DRIVER, None)  # a stage asks the driver itself; `env` has what the person had set
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    reason = why_fork_cannot_serve(request["device"], driver_started)
    if reason is not None:
        _start_over(request, reason)
    sys.argv = [request["module"], *request["argv"]]
    from stages.contract.entry import execute  # the child's own: the server knows its path only once it is told

    code = execute(request["module"], request["argv"], Path(request["cwd"]))
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _start_over(request: dict[str, Any], reason: str) -> NoReturn:
    """Replace the child by a fresh interpreter: the same process, session, output and folder, nothing imported."""
    if reason:
        sys.stdout.write(f"warning: {reason}; this stage starts as a process of its own, which takes seconds more\n")
        sys.stdout.flush()
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    words = ["-m", "flows.engine.fresh_stage", request["module"], *request["argv"]]
    os.execv(sys.executable, [sys.executable, *words])


if __name__ == "__main__":
    os.environ[COUNT_WITHOUT_DRIVER] = "1"
    gc.disable()  # libraries make 700,000 objects that stay: looking through them again and again took a second
    serve(socket.socket(fileno=int(sys.argv[1])))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # taking all libraries apart took this process more than two seconds, for which the run waited
