"""Where runs of a sweep are made (`--on local:4`, `dask:ADDRESS`, `ray:ADDRESS`, `prefect`), and the loop over them."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from flows.engine.project import Project
from flows.engine.server import client_environment, server_that_answers
from flows.sweeps.cluster import Cluster, Engine, Sending
from flows.sweeps.running import DONE, Local, State, note_done
from flows.sweeps.seen_done import SeenDone
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

POLL_S = 0.1
LOCAL = re.compile(r"^[0-9]{1,3}$")
KINDS = ("local", "dask", "ray", "prefect")
ENGINES = {  # extras, imported when they are asked for
    "dask": "flows.sweeps.dask_engine:DaskEngine",
    "ray": "flows.sweeps.ray_engine:RayEngine",
}
POOL = "flows.sweeps.prefect_pool:PrefectPool"
HOW = "write local:N, dask, dask:ADDRESS, ray, ray:ADDRESS or prefect"


class Place(Protocol):
    """Something that makes runs."""

    def free(self) -> int:
        """How many more runs can begin."""

    def begin(self, state: State) -> None:
        """Begin a run."""

    def ended(self) -> list[State]:
        """The runs that ended since the last call, with how."""

    def close(self) -> None:
        """Leave no run behind."""


def check_place(text: str) -> tuple[str, str]:
    """The kind of place that `--on` names, and its address or number (raises Prior3dError)."""
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise Prior3dError(f"--on {text!r}: {did_you_mean(kind, KINDS, HOW)}")
    if kind == "local":
        if rest and (not LOCAL.match(rest) or int(rest) == 0) or text.endswith(":"):
            raise Prior3dError(f"--on {text!r}: write local, or local:N with the number of runs at once")
        return kind, rest
    if text.endswith(":") or (kind == "prefect" and rest):
        raise Prior3dError(f"--on {text!r}: {HOW}")
    if kind == "prefect":
        return kind, rest
    if find_spec("distributed" if kind == "dask" else "ray") is None:
        raise Prior3dError(f"--on {text}: the extra {kind} is missing; type: pip install 'prior3d[{kind}]'")
    return kind, rest


def place_of(project: Project, sweep: str, text: str, taking: str, warn: Callable[[str], None]) -> Place:
    """The place that `--on` names.

    Args:
        project: the project.
        sweep: its name.
        text: as on the command line.
        taking: what is brought here of runs that are made elsewhere.
        warn: receives one-line warnings.

    Raises:
        Prior3dError: nothing answers there, or no worker there has this version of prior3d.
    """
    kind, rest = check_place(text)
    if kind == "local":
        return Local(project, sweep, int(rest) if rest else os.cpu_count() or 1)
    if kind == "prefect":
        os.environ.update(client_environment(project, server_that_answers(project)))
        pool: Place = _imported(POOL)(project)  # Prefect, after its environment is set
        return pool
    sending = Sending(project, sweep, taking)
    engine: Engine = _imported(ENGINES[kind])(rest, sending.stop_name, warn)
    return Cluster(sending, engine, warn)


def _imported(text: str) -> Callable[..., Any]:
    module, _, name = text.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def carry_out(states: list[State], place: Place, seen: SeenDone, told: Callable[[State], None]) -> None:
    """Make the runs that are missing.

    Args:
        states: of all runs; they are brought up to date.
        place: where they are made; it is closed at the end.
        seen: runs that are done are noted here.
        told: is called when a run begins (missing) and ends (done or failed).
    """
    waiting = [s for s in states if s.state != DONE]
    n_live = 0
    with _interrupted_by_sigterm():
        try:
            while waiting or n_live:
                while waiting and place.free() > 0:
                    state = waiting.pop(0)
                    told(state)
                    place.begin(state)
                    n_live += 1
                for state in place.ended():
                    n_live -= 1
                    if state.state == DONE:
                        note_done(seen, state.wanted)
                    told(state)
                time.sleep(POLL_S)
        finally:
            place.close()
            seen.write()


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
