"""A run that Prefect shows: its server is found or started, waited for beside the stages, and left if it goes.

Prefect only watches: the worker makes one stage after the other, and goes on whatever becomes of the server. A fresh
server takes ten seconds of a processor, and each of a stage's pages some tenths: no stage waits for that.
"""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from flows.engine.method import Stage
from flows.engine.project import Project
from flows.engine.server import Server, client_environment, find_or_start, server_problem
from flows.engine.worker import Outcome, Worker
from prior3d.errors import Prior3dError

OWN_SERVER_WAIT_S = 300.0  # while stages are made: it lives, and comes up when the machine lets it
OTHER_SERVER_WAIT_S = 25.0  # the same, of a server that the user named: it is there or not
SERVER_WAIT_AFTER_STAGES_S = 10.0
SERVER_WAIT_AFTER_ERROR_S = 3.0
POLL_S = 0.1
LOOK_EVERY_S = 3.0
MISSES = 2  # unanswered questions after which a server is gone
LAST_WORDS_S = 5.0


def make_with_prefect(worker: Worker, stages: list[Stage], warn: Callable[[str], None]) -> dict[str, Outcome] | None:
    """Show stages that are being made as tasks of a Prefect flow, until all are made.

    Args:
        worker: makes the stages, and has begun.
        stages: in the method's order.
        warn: receives one line about a server that does not answer, or no longer.

    Returns:
        Outcome by stage; None if the run has to go on without Prefect, from what has begun.

    Raises:
        The first stage's error.
    """
    project = worker.run.project
    server = find_or_start(project)
    if not _wait_until_healthy(project, server, lambda: _patience_s(worker, server.own)):
        why = _why_silent(project, server)
    else:
        os.environ.update(client_environment(project, server))
        outcomes, why = _watched(worker, stages, server)
        if outcomes is not None:
            return outcomes
    warn(f"{why}: this run goes on without it (--plain leaves it out)")
    return None


def _watched(worker: Worker, stages: list[Stage], server: Server) -> tuple[dict[str, Outcome] | None, str]:
    """The outcomes of a flow in a thread of its own, which is left behind if the server goes; and why it was."""
    from flows.engine.orchestration import run_as_flow  # seconds: Prefect, beside the first stage

    flow: Future[dict[str, Outcome]] = Future()

    def run() -> None:
        try:
            flow.set_result(run_as_flow(worker, stages, server.own))
        except BaseException as error:  # whoever waits for it decides
            flow.set_exception(error)

    thread = threading.Thread(target=run, daemon=True, name="prefect-flow")
    thread.start()
    try:
        lives = _ends_before_its_server(flow, server)
    except BaseException:
        worker.executor.stop_children()
        thread.join(LAST_WORDS_S)  # the server is told that the run was stopped
        raise
    error = flow.exception() if lives else None
    if lives and error is None:
        return flow.result(), ""
    if error is not None and (isinstance(error, Prior3dError) or error in worker.errors.values()):
        raise error
    if error is None or not server.healthy():
        return None, f"Prefect's server at {server.shown} is gone"
    return None, f"Prefect failed ({type(error).__name__}: {' '.join(str(error).split())[:120]})"


def _ends_before_its_server(flow: "Future[dict[str, Outcome]]", server: Server) -> bool:
    looked, misses = time.monotonic(), 0
    while not flow.done():
        time.sleep(POLL_S)
        if time.monotonic() - looked >= LOOK_EVERY_S:
            misses = 0 if server.healthy() else misses + 1
            looked = time.monotonic()
        if misses >= MISSES:
            return False
    return True


def _why_silent(project: Project, server: Server) -> str:
    """Why Prefect's server does not answer, and what a person can do about it."""
    if not server.own:
        return f"Prefect's server at {server.shown} does not answer; check PREFECT_API_URL or your Prefect profile"
    return server_problem(project) or f"Prefect's server at {server.shown} does not answer yet"


def _patience_s(worker: Worker, own: bool) -> float:
    """How long a server is worth waiting for: while stages are made nobody waits but this thread."""
    if not worker.rests():
        return OWN_SERVER_WAIT_S if own else OTHER_SERVER_WAIT_S
    return SERVER_WAIT_AFTER_ERROR_S if worker.errors else SERVER_WAIT_AFTER_STAGES_S


def _wait_until_healthy(project: Project, server: Server, patience_s: Callable[[], float]) -> bool:
    """Wait for a server, from when the patience shrinks for that long at most; whether it answers."""
    shortest, until = float("inf"), float("inf")
    while not server.healthy():
        if (patience := patience_s()) < shortest:
            shortest, until = patience, min(until, time.monotonic() + patience)
        if time.monotonic() > until or (server.own and server_problem(project)):
            return False
        time.sleep(POLL_S)
    return True
