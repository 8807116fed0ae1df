"""A run as a Prefect flow: retries, state names, artifacts.

Only this file, `as_flows.py`, `deployments.py` and `sweeps/prefect_pool.py` of `flows/` import prefect.

Prefect caches nothing here (DVC does) and limits no time (it cannot stop a process: the executor does).
"""

import base64
import contextlib
import contextvars
import io
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prefect import Flow, flow, tags, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.runtime import flow_run
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelled, Completed, Crashed

from flows.engine.events import Event
from flows.engine.execution import CancelledElsewhere
from flows.engine.method import Method, Stage
from flows.engine.worker import Outcome, Worker
from flows.flow_parameters import description_of, parameters_of, signature_of

LOOK_S = 2.0  # between two looks at whether the run was cancelled
CANCELLED = "cancelled on Prefect's pages: the stages that ran have saved their checkpoints"
ARTIFACT_EVERY_S, PICTURE_EVERY_S = 2.0, 15.0


def flow_of(method: Method, body: Callable[..., Any], module: str = __name__) -> Flow[..., Any]:
    """A method as a Prefect flow with typed parameters, made of what the method declares.

    Args:
        method: the method.
        body: is called with the parameters.
        module: where the flow can be imported from, if somebody else is to start it.
    """

    def method_flow(**parameters: Any) -> Any:
        try:
            return body(**parameters)
        except CancelledElsewhere as error:
            return Cancelled(message=str(error))

    method_flow.__name__ = method_flow.__qualname__ = method.name.replace("-", "_")
    method_flow.__module__ = module
    method_flow.__signature__ = signature_of(method)  # type: ignore[attr-defined]  # what Prefect reads
    method_flow.__doc__ = description_of(method)
    return flow(
        name=method.name, flow_run_name=_flow_run_name, persist_result=False, log_prints=False, validate_parameters=True
    )(method_flow)


def _flow_run_name() -> str:
    """The run's name, where it is known; else the beginning of what it is made from."""
    given = flow_run.parameters
    words = given.get("name") or next((v for v in given.values() if isinstance(v, str) and v), "run")
    return str(words)[:80]


def run_as_flow(worker: Worker, stages: list[Stage], own: bool) -> dict[str, Outcome]:
    """Make the stages as tasks of a flow of their own.

    Args:
        worker: makes one stage; the task of one that has begun waits for it.
        stages: in the method's order.
        own: whether the server is this project's own, which answers at once or not at all.

    Returns:
        Outcome by stage.

    Raises:
        The first stage's error; all other stages have been stopped at their checkpoints by then.
        CancelledElsewhere: somebody cancelled it on Prefect's pages.
    """
    run, declaration = worker.run, worker.declaration
    label = f"prior3d:{run.project.root.name}/{run.name}"

    def body(**_: Any) -> Any:
        return in_flow(worker, stages)

    parameters = parameters_of(declaration, run.name, str(run.settings().get("device", "auto")))
    # Prefect tries for minutes to reach a server that is gone.
    settings = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_CLIENT_MAX_RETRIES: 1 if own else 3}
    with temporary_settings(settings), tags(label):
        end_stale_flow_runs(label)
        state: Any = flow_of(declaration.method, body)(**parameters, return_state=True)
    if state.is_cancelled():
        raise CancelledElsewhere(CANCELLED)
    outcomes: dict[str, Outcome] = state.result()
    return outcomes


def in_flow(worker: Worker, stages: list[Stage]) -> dict[str, Outcome]:
    """Make the stages as tasks of the flow that is running.

    Raises:
        CancelledElsewhere: somebody cancelled it on Prefect's pages.
    """
    method, futures = worker.declaration.method, dict[str, Any]()
    with _cancelling(worker) as cancelled:
        try:
            for stage in stages:
                before = [futures[n] for n in method.needs(stage) if n in futures]
                futures[stage.name] = _task(worker, stage).submit(wait_for=before)
            return {name: future.result() for name, future in futures.items()}
        except BaseException as error:
            # An error of Prefect's stops no stage: whoever began the flow may go on without it.
            if worker.errors or cancelled.is_set() or not isinstance(error, Exception):
                worker.executor.stop_children()  # else ctrl-C would wait for the stages' threads
            if cancelled.is_set():
                raise CancelledElsewhere(CANCELLED) from None
            raise


@contextlib.contextmanager
def _cancelling(worker: Worker) -> Iterator[threading.Event]:
    """Stop the stages at their checkpoints when somebody cancels the flow run; the event says that it happened."""
    number, over, cancelled = flow_run.id, threading.Event(), threading.Event()

    def watch() -> None:
        with get_client(sync_client=True) as client:
            while not over.wait(LOOK_S):
                with contextlib.suppress(Exception):  # the server may have gone; the stages go on
                    state = client.read_flow_run(number).state
                    if state is not None and (state.is_cancelling() or state.is_cancelled()):
                        cancelled.set()
                        worker.executor.stop_children()
                        return

    watching = threading.Thread(target=watch, daemon=True, name="cancelling")
    watching.start()
    try:
        yield cancelled
    finally:
        over.set()
        watching.join(LOOK_S)


def _task(worker: Worker, stage: Stage) -> Any:
    attempts = itertools.count()

    def make() -> Any:
        shown = _Artifacts(worker.run.folder, stage.name)
        worker.events.listen(shown)
        try:
            outcome = worker.begin(stage, again=next(attempts) > 0).result()
        finally:
            worker.events.leave(shown)
        shown.end(_summary(worker, stage))
        return Completed(name=outcome, message=f"{stage.name}: {outcome.lower()}", data=outcome)

    return task(
        name=stage.name,
        task_run_name=stage.name,
        retries=stage.retries,
        retry_condition_fn=lambda _task, _run, _state: worker.may_retry(stage.name),
        cache_policy=NO_CACHE,
        persist_result=False,
        tags={"gpu"} if stage.gpu else set(),
    )(make)


class _Artifacts:
    """Shows one stage on the server: its progress every two seconds, some previews, its metrics.

    A thread of its own talks to the server: whoever reads what a stage prints does not wait for it.
    """

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder, self.stage, self.what = folder, stage, f"{stage} of run {folder.name}"
        self.key = "".join(c if c.isalnum() else "-" for c in f"{folder.name}-{stage}".lower())
        self.artifact: Any = create_progress_artifact(0.0, key=self.key, description=self.what)
        self.last, self.last_picture = time.monotonic(), -PICTURE_EVERY_S
        self.context = contextvars.copy_context()  # events come from other threads, which know of no task
        self.threads = ThreadPoolExecutor(1, "prefect-artifacts")
        self.told: Future[None] | None = None

    def __call__(self, event: Event) -> None:
        """Take an event of any stage; only the progress of this one is shown."""
        if event.stage != self.stage or event.kind != "progress" or not event.data.get("total"):
            return
        now = time.monotonic()
        picture = "preview" in event.data and now - self.last_picture >= PICTURE_EVERY_S
        busy = self.told is not None and not self.told.done()
        if busy or not (picture or now - self.last >= ARTIFACT_EVERY_S):
            return
        self.last, self.last_picture = now, now if picture else self.last_picture
        self.told = self.threads.submit(self.context.run, self._tell, dict(event.data), picture)

    def _tell(self, data: dict[str, Any], picture: bool) -> None:
        if picture:
            self._show(self.folder / data["preview"], f"{self.what}, step {data['step']:,}")
        with contextlib.suppress(Exception):  # the server may have gone; the stage goes on
            update_progress_artifact(self.artifact, min(100.0, 100.0 * data["step"] / data["total"]))

    def end(self, summary: str) -> None:
        """The stage is done."""
        self.threads.shutdown()
        update_progress_artifact(self.artifact, 100.0)
        self._show(self.folder / self.stage / "preview.png", f"{self.what}, done")
        if summary:
            create_markdown_artifact(summary, key=f"{self.key}-metrics", description=f"metrics of {self.what}")

    def _show(self, picture: Path, description: str) -> None:
        """Put an image on the server, which shows all that were of this key."""
        with contextlib.suppress(Exception):  # the server may have gone, or the image; the stage goes on
            # In Markdown: under an image artifact the server's page writes out its whole address.
            text = f"![{self.stage}]({_small(picture)})"
            create_markdown_artifact(text, key=f"{self.key}-preview", description=description)


def _small(picture: Path) -> str:
    """An image as a data: URL of some ten kilobytes: it is kept in the server's database."""
    from prior3d.images.opening import opened_image  # start-up: only previews need it

    stream = io.BytesIO()
    with opened_image(picture, str(picture), "run the stage that makes it again") as image:
        image.convert("RGB").save(stream, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _summary(worker: Worker, stage: Stage) -> str:
    """The stage's metrics, as a table."""
    from flows.engine.results import read_results  # start-up: only a stage's end needs it

    results = read_results(worker.run.folder, stage.name)
    rows = [f"| {r.name} | {r.value:g} | {r.unit} | {r.n} |" for r in results]
    return "\n".join(["| metric | value | unit | n |", "|---|---|---|---|", *rows]) if rows else ""


def end_stale_flow_runs(label: str) -> int:
    """Set flow runs of this label that claim to run to Crashed: this process holds the run, so they were killed.

    Returns:
        How many there were.
    """
    wanted = FlowRunFilter.model_validate(
        {"tags": {"all_": [label]}, "state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    )
    with get_client(sync_client=True) as client:
        stale = client.read_flow_runs(flow_run_filter=wanted)
        for stale_run in stale:
            client.set_flow_run_state(stale_run.id, Crashed(message="its process was killed"), force=True)
    return len(stale)
