"""One run from declaration to a new version, in the order that keeps it safe and quick."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flows.engine.declaration import Declaration
from flows.engine.dvc_store import DvcStore
from flows.engine.events import Events
from flows.engine.execution import Executor, Interrupted
from flows.engine.failures import forget_failures
from flows.engine.fingerprint import libraries
from flows.engine.input_files import Tell
from flows.engine.method import Stage
from flows.engine.plan import Plan, make_plan
from flows.engine.record import remember
from flows.engine.run import Run
from flows.engine.shared_store import SharedStore
from flows.engine.sharing import Sharing
from flows.engine.worker import Outcome, Worker
from prior3d.errors import Prior3dError

SERVER_WAIT_S = 25.0
SERVER_WAIT_AFTER_FIRST_STAGE_S = 3.0
POLL_S = 0.1


@dataclass(frozen=True)
class Options:
    """How to carry a run out.

    Attributes:
        restore: take from the cache what it holds; False computes every stage.
        plain: without Prefect.
        stop_after: the last stage to make; empty for all.
        share: take results from the project's remote, if it has one, and put them there.
        make: makes the stages inside a Prefect flow that is running; None: a flow of their own, or none.
    """

    restore: bool = True
    plain: bool = False
    stop_after: str = ""
    share: bool = True
    make: Callable[[Worker, list[Stage]], dict[str, Outcome]] | None = None


@dataclass
class Report:
    """What became of a run: its plan, the outcome of each stage, the number of the new version if there is one."""

    plan: Plan
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    version: str | None = None


def wanted_stages(declaration: Declaration, stop_after: str) -> list[Stage]:
    """The method's stages, up to one."""
    stages = list(declaration.method.stages)
    names = [s.name for s in stages]
    return stages[: names.index(stop_after) + 1] if stop_after else stages


def carry_out(
    run: Run,
    declaration: Declaration,
    settings: dict[str, Any],
    options: Options,
    events: Events,
    show_plan: Callable[[Plan], None],
    warn: Callable[[str], None],
    tell: Tell,
) -> Report:
    """Do a run: hold it, heal it, declare it, plan it, make what must be made, remember the version.

    Args:
        run: the run, new or not.
        declaration: what it is asked to be.
        settings: what its `local.yaml` says.
        options: how.
        events: receives what happens.
        show_plan: is called with the plan before anything is made.
        warn: receives one-line warnings.
        tell: receives a line about what takes a while before the plan.

    Raises:
        Prior3dError: with what failed; every finished stage is committed, every other at its last checkpoint.
    """
    stages = wanted_stages(declaration, options.stop_after)
    store = DvcStore(run.project.root)
    with run.held():
        run.declare(declaration, settings, tell)
        plan = make_plan(run, declaration, store, stages, force=not options.restore, declared=True)
        show_plan(plan)
        forget_failures(run.folder, [step.stage for step in plan.steps if step.action == "keep"])
        report = Report(plan)
        if not plan.idle:
            with _executor(run, warn) as executor, _sharing(run, options.share, executor, warn) as sharing:
                worker = Worker(run, declaration, store, executor, events, options.restore, sharing)
                report.outcomes = _make(worker, stages, plan, options, warn)
        report.version = _remember(run, declaration, report, warn)
    return report


def _remember(run: Run, declaration: Declaration, report: Report, warn: Callable[[str], None]) -> str | None:
    """The number of the version that a run is now; None before its first stage is made."""
    if not (run.folder / "dvc.lock").is_file():
        return None
    reasons = {step.stage: list(step.reasons) for step in report.plan.steps if step.action == "make"}
    return remember(run, declaration, "run", reasons, report.outcomes, warn)


@contextmanager
def _executor(run: Run, warn: Callable[[str], None]) -> Iterator[Executor]:
    """An executor; SIGTERM interrupts like ctrl-C, and whatever happens no stage is left running."""
    executor = Executor(run.folder / ".work" / "forkserver.log", warn)
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _interrupt) if main else None
    try:
        executor.start()
        yield executor
    except KeyboardInterrupt:
        raise Interrupted("interrupted: the stages that ran have saved their checkpoints") from None
    finally:
        executor.stop_children()
        executor.close()
        if main:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _sharing(run: Run, enabled: bool, executor: Executor, warn: Callable[[str], None]) -> Iterator[Sharing]:
    """What the run shares; at its end one line says what could not be."""
    sharing = Sharing(SharedStore(run.project.root), enabled, lambda: executor.stopping)
    try:
        yield sharing
    finally:
        if problem := sharing.close():
            warn(f"{problem}; when it does: prior3d push {run.name}")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _make(
    worker: Worker, stages: list[Stage], plan: Plan, options: Options, warn: Callable[[str], None]
) -> dict[str, Outcome]:
    first = plan.first()
    ahead = [s for s in stages if next(step for step in plan.steps if step.stage == s.name).action != "keep"]
    if options.make is not None:
        _preload(worker, ahead)
        return options.make(worker, stages)
    if options.plain:
        return _make_plainly(worker, stages, ahead, {})
    # The first stage starts now; the server and `import prefect`, seconds each, come up beside it.
    from flows.engine.server import client_environment, find_or_start

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="first-stage") as pool:
        server = find_or_start(worker.run.project)
        early: dict[str, Future[Outcome]] = {}
        try:
            if first is not None:  # all stages before it keep what they have
                _preload(worker, ahead[:1])
                early[first] = pool.submit(worker.make_with_retries, worker.declaration.method.stage(first))
            _preload(worker, ahead)
            if _wait_until_healthy(server.healthy, early.get(first or "")):
                os.environ.update(client_environment(worker.run.project, server))
                from flows.engine.orchestration import run_as_flow  # seconds: Prefect, beside the first stage

                return run_as_flow(worker, stages, early)
            warn(
                f"Prefect's server at {server.shown} does not answer"
                + (" yet" if server.own else "; check PREFECT_API_URL or your Prefect profile")
                + ": this run goes on without it (--plain leaves it out)"
            )
            return _make_plainly(worker, stages, [], early)
        except BaseException:
            worker.executor.stop_children()
            raise


def _make_plainly(
    worker: Worker, stages: list[Stage], ahead: list[Stage], early: dict[str, "Future[Outcome]"]
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    for stage in ahead:
        worker.executor.preload(libraries(stage.module))
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="stage") as pool:
        try:
            for stage in stages:  # in a thread, so that an interrupt finds this one free to stop the stage
                started = early.pop(stage.name, None) or pool.submit(worker.make_with_retries, stage)
                outcomes[stage.name] = started.result()
        except BaseException:
            worker.executor.stop_children()
            raise
    return outcomes


def _preload(worker: Worker, stages: list[Stage]) -> None:
    for stage in stages:
        worker.executor.preload(libraries(stage.module))


def _wait_until_healthy(healthy: Callable[[], bool], first_stage: "Future[Outcome] | None") -> bool:
    until = time.monotonic() + SERVER_WAIT_S
    shortened = False
    while not healthy():
        if first_stage is not None and first_stage.done() and not shortened:
            until = min(until, time.monotonic() + SERVER_WAIT_AFTER_FIRST_STAGE_S)
            shortened = True
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


def accept(run: Run, declaration: Declaration, warn: Callable[[str], None]) -> list[str]:
    """Record the present parameters, inputs and code of a run beside the outputs that it has, without making anything.

    Returns:
        The stages that were accepted.

    Raises:
        Prior3dError: an output is missing, so there is nothing to accept.
    """
    store = DvcStore(run.project.root)
    with run.held():
        missing = [s.name for s in declaration.method.stages if not (run.folder / s.name).is_dir()]
        if missing:
            raise Prior3dError(f"run {run.name}: no output of {', '.join(missing)} is there to accept; run it first")
        run.declare(declaration, run.settings(), warn)
        plan = make_plan(run, declaration, store, list(declaration.method.stages), declared=True)
        changed = [s.stage for s in plan.steps if s.action == "make"]
        for name in changed:
            store.commit(run.dvc_file, name, warn)
            run.forget_checkpoints(name)
        reasons = {step.stage: list(step.reasons) for step in plan.steps if step.action == "make"}
        remember(run, declaration, "accept", reasons, {}, warn)
    return changed
