"""Starting studio: one server a project, on this machine alone, at an address that lasts."""

import contextlib
import json
import secrets
import socket
import webbrowser
from collections.abc import Iterator
from typing import TypedDict

import uvicorn

from flows.engine.project import Project
from flows.engine.run_files import derived
from flows.studio.jobs import all_jobs
from flows.studio.queue import Queue
from flows.studio.server import make_app
from flows.terminal import say
from prior3d.errors import Prior3dError
from prior3d.files import write_private
from prior3d.locks import held

HOST, PORTS_TRIED = "127.0.0.1", 20


class Address(TypedDict):
    """Where a project's studio was served last; a tab that was open then works again after a restart."""

    port: int
    token: str


def serve(project: Project, port: int | None, in_browser: bool) -> str:
    """Serve a project's studio until ctrl-C; returns what to say then.

    Args:
        project: the project.
        port: to serve on; None: the one of last time, or the next free one.
        in_browser: open it there.
    """
    folder = project.state / "studio"
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / "studio.lock", wait_s=1.0) as mine:
        known: Address | None = derived(folder / "address.json", Address)
        if not mine:
            url = _url(known) if known else "an address that it printed"
            if known and in_browser:
                webbrowser.open(url)
            return f"studio of this project is running already: {url}"
        with _bound(port, known["port"] if known else 8180) as bound:
            address = Address(port=bound.getsockname()[1], token=known["token"] if known else secrets.token_urlsafe(24))
            write_private(folder / "address.json", json.dumps(address))
            queue = Queue(project)
            queue.tidy()
            app = make_app(project, queue, address["token"])
            queue.start()
            say(f"studio: {_url(address)}  (ctrl-C ends studio; a run that goes on continues)")
            if in_browser:
                webbrowser.open(_url(address))
            settings = uvicorn.Config(
                app, log_level="error", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
            )
            with contextlib.suppress(KeyboardInterrupt):
                uvicorn.Server(settings).run(sockets=[bound])
            queue.close()
    return _farewell(project)


def _farewell(project: Project) -> str:
    states = [job.state() for job in all_jobs(project)]
    left = [f"{states.count(s)} {s}" for s in ("running", "waiting") if s in states]
    return "studio ended" + (f"; jobs {', '.join(left)}: prior3d studio goes on with them" if left else "")


def _url(address: Address) -> str:
    return f"http://{HOST}:{address['port']}/?token={address['token']}"


@contextlib.contextmanager
def _bound(port: int | None, first: int) -> Iterator[socket.socket]:
    """A listening socket on a port that was asked for, or on the first free one."""
    for candidate in [port] if port is not None else range(first, first + PORTS_TRIED):
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((HOST, candidate))
            bound.listen()  # a browser that is opened now waits for the answer
        except OSError:
            bound.close()
            continue
        with bound:
            yield bound
        return
    raise Prior3dError(f"port {port or first} is taken; choose another one: prior3d studio --port N")
