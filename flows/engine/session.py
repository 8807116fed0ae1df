"""One run from declaration to a new version, in the order that keeps it safe and quick."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flows.engine.declaration import Declaration
from flows.engine.dvc_store import DvcStore
from flows.engine.events import Events
from flows.engine.execution import Executor, Interrupted
from flows.engine.failures import forget_failures
from flows.engine.fingerprint import libraries
from flows.engine.fork_client import ForkClient
from flows.engine.input_files import Tell
from flows.engine.method import Stage
from flows.engine.plan import Plan, make_plan
from flows.engine.record import remember
from flows.engine.run import Run
from flows.engine.shared_store import SharedStore
from flows.engine.sharing import Sharing
from flows.engine.worker import Outcome, Worker
from prior3d.errors import Prior3dError

SAME_INTERRUPT_S = 1.0  # `timeout` signals a process and its group
PATIENCE = 3  # interrupts; more break off everything, as a person asks for


@dataclass(frozen=True)
class Options:
    """How to carry a run out.

    Attributes:
        restore: take from the cache what it holds; False computes every stage.
        plain: without Prefect.
        stop_after: the last stage to make; empty for all.
        share: take results from the project's remote, if it has one, and put them there.
        make: makes the stages inside a Prefect flow that is running; None: a flow of their own, or none.
        client: a fork server that was started ahead; None: one is started when a stage is to be made.
    """

    restore: bool = True
    plain: bool = False
    stop_after: str = ""
    share: bool = True
    make: Callable[[Worker, list[Stage]], dict[str, Outcome]] | None = None
    client: ForkClient | None = None


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
            with _executor(run, options, warn) as executor, _sharing(run, options.share, executor, warn) as sharing:
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
def _executor(run: Run, options: Options, warn: Callable[[str], None]) -> Iterator[Executor]:
    """An executor; SIGTERM interrupts like ctrl-C, and whatever happens no stage is left running."""
    executor = Executor(run.folder / ".work" / "forkserver.log", warn, options.client)
    with _interrupted_once(executor, warn):
        try:
            executor.start()
            yield executor
        except KeyboardInterrupt:
            raise Interrupted("interrupted: the stages that ran have saved their checkpoints") from None
        finally:
            executor.stop_children()
            executor.close()


@contextmanager
def _interrupted_once(executor: Executor, warn: Callable[[str], None]) -> Iterator[None]:
    """Let the first ctrl-C or SIGTERM interrupt; a second one ends the stages and breaks off no tidying up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[float] = []

    def hear(_number: int, _frame: object) -> None:
        now = time.monotonic()
        if heard and now - heard[0] < SAME_INTERRUPT_S:
            return
        heard.append(now)
        if len(heard) == 1 or len(heard) > PATIENCE:
            raise KeyboardInterrupt
        warn("interrupted again: the stages that run are ended at once")
        executor.end_children()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as for the background jobs of a shell
                signal.signal(number, hear)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _sharing(run: Run, enabled: bool, executor: Executor, warn: Callable[[str], None]) -> Iterator[Sharing]:
    """What the run shares; at its end one line says what could not be."""
    sharing = Sharing(SharedStore(run.project.root), enabled, lambda: executor.stopping)
    try:
        yield sharing
    finally:
        if problem := sharing.close():
            warn(f"{problem}; when it does: prior3d push {run.name}")


def _make(
    worker: Worker, stages: list[Stage], plan: Plan, options: Options, warn: Callable[[str], None]
) -> dict[str, Outcome]:
    """Make the stages; whatever happens, no thread of the worker's is left for the interpreter's end to wait for."""
    try:
        return _made(worker, stages, plan, options, warn)
    except BaseException:
        worker.executor.stop_children()
        raise
    finally:
        worker.close()


def _made(
    worker: Worker, stages: list[Stage], plan: Plan, options: Options, warn: Callable[[str], None]
) -> dict[str, Outcome]:
    ahead = [s for s in stages if next(step for step in plan.steps if step.stage == s.name).action != "keep"]
    if options.make is not None:
        _preload(worker, ahead)
        return options.make(worker, stages)
    if options.plain:
        _preload(worker, ahead)
        return _make_plainly(worker, stages)
    from flows.engine.with_prefect import make_with_prefect  # start-up: its server, which `--plain` does not need

    _preload(worker, ahead[:1])
    worker.begin_each(stages)
    _preload(worker, ahead[1:])
    outcomes = make_with_prefect(worker, stages, warn)
    return _make_plainly(worker, stages) if outcomes is None else outcomes


def _make_plainly(worker: Worker, stages: list[Stage]) -> dict[str, Outcome]:
    """Make stages one after the other, in a thread, so that an interrupt finds this one free to stop them."""
    return {stage.name: worker.begin(stage, retries=True).result() for stage in stages}


def _preload(worker: Worker, stages: list[Stage]) -> None:
    for stage in stages:
        worker.executor.preload([*libraries(stage.module), (f"{stage.module}.stage", "")], stage.module)


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
