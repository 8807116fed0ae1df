"""Tasks on a Dask cluster: whole runs, by dask.distributed itself.

Not by prefect-dask: its task runner spreads the tasks of one flow, and each of them reports to a Prefect server that
every worker must reach. A sweep spreads whole runs, which need no server.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed import Client, Event, LocalCluster, get_worker

from flows.sweeps.task import Answer, Task, carry_out_task, code_of_prior3d
from prior3d.errors import Prior3dError

ANSWER_S = 15.0
LOOK_S = 2.0  # between two looks at which workers there are
NONE_LEFT_S = 60.0


def on_worker(task: Task, stop_name: str) -> tuple[str, Answer]:
    """Make a run on this worker."""
    stop = Event(stop_name)
    return get_worker().address, carry_out_task(task, _seldom(lambda: bool(stop.is_set())))


def _seldom(ask: Callable[[], bool]) -> Callable[[], bool]:
    """As `ask`, but asked at most every two seconds: it is a question to the scheduler."""
    last, known = time.monotonic(), False

    def asked() -> bool:
        nonlocal last, known
        if time.monotonic() - last > LOOK_S:
            last, known = time.monotonic(), ask()
        return known

    return asked


@dataclass
class Handle:
    """A task that was submitted, and the workers that may take it."""

    future: Any
    task: Task
    workers: frozenset[str]


class DaskEngine:
    """A Dask cluster.

    Args:
        address: of its scheduler; empty for a cluster of this machine, which ends with the sweep.
        stop_name: names the event that stops the runs of this sweep.
        warn: receives a line about each worker that is refused.

    Raises:
        Prior3dError: no scheduler answers, or no worker has this version of prior3d.
    """

    def __init__(self, address: str, stop_name: str, warn: Callable[[str], None]) -> None:
        self._warn, self._stop_name = warn, stop_name
        self._cluster = None if address else LocalCluster(threads_per_worker=1, dashboard_address=None)
        try:
            self._client = Client(address or self._cluster, timeout=ANSWER_S, name="prior3d")
        except (OSError, TimeoutError, ValueError) as error:
            text = f"--on dask:{address}: no scheduler answers ({type(error).__name__})"
            raise Prior3dError(f"{text}; start one with: dask scheduler") from None
        self._stop = Event(stop_name, client=self._client)
        self._known: dict[str, int] = {}  # worker -> how many tasks it takes at once; 0 if it is refused
        self._looked, self._had_some = -LOOK_S, time.monotonic()

    def slots(self) -> int:
        """How many tasks can run at once."""
        return sum(self._usable().values())

    def submit(self, task: Task) -> Handle:
        """Begin a task."""
        workers = frozenset(self._usable())
        key = f"{task.name}-{task.token}-{time.monotonic_ns()}"
        future = self._client.submit(
            on_worker, task, self._stop_name, key=key, pure=False, workers=list(workers) or None, retries=0
        )
        return Handle(future, task, workers)

    def result(self, handle: Handle) -> tuple[str, Answer] | None:
        """What came of a task. One whose workers are all gone is submitted to those that came since."""
        if not handle.future.done():
            usable = self._usable()
            if usable and handle.workers and not handle.workers & usable.keys():
                handle.future.cancel()
                new = self.submit(handle.task)
                handle.future, handle.workers = new.future, new.workers
            return None
        error = handle.future.exception()
        if error is not None:
            text = " ".join(str(error).split())[:200]
            raise Prior3dError(f"Dask gave it up ({type(error).__name__}: {text})")
        found: tuple[str, Answer] = handle.future.result()
        return found

    def refuse(self, worker: str) -> None:
        """Give a worker no more tasks."""
        self._known[worker] = 0

    def close(self, handles: list[Handle]) -> None:
        """Stop tasks that run, and let the cluster go."""
        try:
            if handles:
                self._stop.set()
                until = time.monotonic() + 2 * LOOK_S + 40.0
                while time.monotonic() < until and not all(h.future.done() for h in handles):
                    if any(h.future.status == "pending" and not self._client.processing() for h in handles):
                        break
                    time.sleep(0.2)
                self._client.cancel([h.future for h in handles])
        finally:
            self._client.close(timeout=5)
            if self._cluster is not None:
                self._cluster.close(timeout=10)

    def _usable(self) -> dict[str, int]:
        """Workers that have this version, and how many tasks each takes at once (raises Prior3dError if none comes)."""
        if time.monotonic() - self._looked > LOOK_S:
            self._look()
            self._looked = time.monotonic()
        found = {worker: n for worker, n in self._known.items() if n}
        if found:
            self._had_some = time.monotonic()
        elif self._known or time.monotonic() - self._had_some > NONE_LEFT_S:
            what = "every worker is refused" if self._known else f"no worker for {NONE_LEFT_S:g} s"
            raise Prior3dError(f"the Dask cluster has nobody for these rows: {what}; the same command goes on")
        return found

    def _look(self) -> None:
        """Ask workers that came since which version they have; forget those that went."""
        now: dict[str, int] = self._client.nthreads()
        new = [worker for worker in now if worker not in self._known]
        answers = self._client.run(code_of_prior3d, workers=new, on_error="return") if new else {}
        own = code_of_prior3d()
        for worker, code in answers.items():
            if code != own:
                said = f"{type(code).__name__}: {code}"[:120] if isinstance(code, Exception) else f"version {code}"
                self._warn(f"worker {worker} gets no rows: its prior3d is another one ({said}; here {own})")
        self._known = {w: self._known.get(w, n if answers.get(w) == own else 0) for w, n in now.items()}
