"""One stage of a run, done: unchanged? restored from the cache? else run, then committed."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

from flows.engine.computing import computed_once
from flows.engine.declaration import Declaration
from flows.engine.dvc_store import DvcStore
from flows.engine.events import Events
from flows.engine.execution import Call, Executor, Interrupted, StageFailed
from flows.engine.failures import forget_failures, note_failure
from flows.engine.gpus import gpu_slot
from flows.engine.method import Stage
from flows.engine.run import Run
from flows.engine.run_files import text_of
from flows.engine.sharing import Sharing

Outcome = Literal["Cached", "Restored", "Completed"]
SMALL_STAGE = 2 * 2**30  # bytes of GPU memory of a stage whose need is not known: those without a large prior
DECLARED = ("params.yaml", "code.yaml")


class Worker:
    """Makes the stages of one run. Its methods may be called from several threads, for different stages.

    Attributes:
        errors: the last error of each stage that failed.
    """

    def __init__(
        self,
        run: Run,
        declaration: Declaration,
        store: DvcStore,
        executor: Executor,
        events: Events,
        restore: bool,
        sharing: Sharing,
    ) -> None:
        self.run, self.declaration, self.store = run, declaration, store
        self.executor, self.events, self.restore, self.sharing = executor, events, restore, sharing
        self.errors: dict[str, BaseException] = {}
        self._begun: dict[str, Future[Outcome]] = {}
        self._made, self._attempts, self._closed = set[str](), Counter[str](), False
        self._threads, self._beginning = ThreadPoolExecutor(thread_name_prefix="stage"), threading.RLock()

    def begin(self, stage: Stage, again: bool = False, retries: bool = False) -> "Future[Outcome]":
        """Bring one stage up to date in a thread of its own; one that has begun is not begun a second time.

        Args:
            stage: the stage.
            again: begin it once more if it has failed.
            retries: try again after a crash as often as the stage allows.
        """
        with self._beginning:
            known = self._begun.get(stage.name)
            if known is None or (again and known.done() and known.exception() is not None):
                known = self._threads.submit(self.make_with_retries if retries else self.make, stage)
                self._begun[stage.name] = known
            return known

    def begin_each(self, stages: list[Stage]) -> None:
        """Bring stages up to date, each as soon as those whose output it takes are there; nobody has to wait for them.

        Each is tried again after a crash as often as it allows.
        """
        names = {stage.name for stage in stages}
        with self._beginning:
            for stage in stages:
                missing = (names & set(self.declaration.method.needs(stage))) - self._made
                if stage.name not in self._begun and not missing and not self._closed and not self.executor.stopping:
                    self._begun[stage.name] = self._threads.submit(self._make_and_go_on, stage, stages)

    def _make_and_go_on(self, stage: Stage, stages: list[Stage]) -> Outcome:
        outcome = self.make_with_retries(stage)
        with self._beginning:
            self._made.add(stage.name)
        self.begin_each(stages)  # before this stage's future is done: whoever waits for it finds the next one begun
        return outcome

    def rests(self) -> bool:
        """Whether nothing that has begun is unfinished."""
        with self._beginning:
            return all(future.done() for future in self._begun.values())

    def close(self) -> None:
        """Wait for the threads of stages that have begun; none begins any more."""
        with self._beginning:
            self._closed = True
        self._threads.shutdown(cancel_futures=True)

    def make(self, stage: Stage) -> Outcome:
        """Bring one stage up to date.

        Raises:
            StageFailed: it ran and failed.
            Interrupted: the run is being stopped.
        """
        started = time.monotonic()
        self._attempts[stage.name] += 1
        self.events.tell(stage.name, "started")
        try:
            outcome = self._make(stage)
        except BaseException as error:
            self.errors[stage.name] = error
            if isinstance(error, StageFailed):
                note_failure(self.run.folder, stage.name, str(error), error.output)
            stopped = isinstance(error, Interrupted)
            self.events.tell(stage.name, "interrupted" if stopped else "failed", message=str(error))
            raise
        self.errors.pop(stage.name, None)
        forget_failures(self.run.folder, [stage.name])
        self.events.tell(stage.name, "ended", outcome=outcome, seconds=time.monotonic() - started)
        return outcome

    def make_with_retries(self, stage: Stage) -> Outcome:
        """Bring one stage up to date, trying again after a crash as often as the stage allows."""
        for _ in range(stage.retries):
            try:
                return self.make(stage)
            except StageFailed as error:
                if not error.retry:
                    raise
                self.events.tell(stage.name, "retrying", message=str(error))
        return self.make(stage)

    def may_retry(self, stage: str) -> bool:
        """Whether the last error of a stage is one that trying again may cure, and it was not tried often enough."""
        error, allowed = self.errors.get(stage), self.declaration.method.stage(stage).retries
        curable = isinstance(error, StageFailed) and error.retry and self._attempts[stage] <= allowed
        return curable and not self.executor.stopping

    def _make(self, stage: Stage) -> Outcome:
        file = self.run.dvc_file

        def warn(text: str) -> None:
            self.events.tell(stage.name, "line", text=f"warning: {text}")

        if self.restore and not self.store.changed(file, stage.name):
            return "Cached"
        key = self.store.key(file, stage.name)
        if not self.restore:
            return self._compute(stage, key, warn)

        def waits(who: str = "run") -> None:
            self.events.tell(stage.name, "line", text=f"another {who} computes the same; its result is taken")

        def found() -> bool:
            self.sharing.take(file, stage.name, key)
            return self._restored(stage, warn)

        locks = self.run.project.state / "computing"
        with computed_once(locks, key, waits, lambda: self.executor.stopping):
            if self._restored(stage, warn):
                self.sharing.put(file, stage.name, key)
                return "Restored"
            with self.sharing.turn(key, lambda: waits("machine"), found) as is_there:
                return "Restored" if is_there else self._compute(stage, key, warn)

    def _restored(self, stage: Stage, warn: Callable[[str], None]) -> bool:
        restored = self.store.restore(self.run.dvc_file, stage.name, warn)
        if restored:
            self.run.forget_checkpoints(stage.name)
        return restored

    def _compute(self, stage: Stage, key: str, warn: Callable[[str], None]) -> Outcome:
        before = self._declared()
        settings = self.run.settings()
        device, needed = str(settings.get("device", "auto")), settings.get("gpu_memory") or {}
        bytes_needed = int(needed.get(stage.name, SMALL_STAGE)) if isinstance(needed, dict) else SMALL_STAGE

        def waits(text: str) -> None:
            self.events.tell(stage.name, "line", text=text)

        with gpu_slot(device, stage.gpu, needed=bytes_needed, waits=waits) as environment:
            self.events.tell(stage.name, "running")
            self.executor.execute(
                Call(
                    stage.name,
                    stage.module,
                    self.declaration.argv(stage),
                    self.run.folder,
                    stage.time_limit_s,
                    environment,
                    device,
                ),
                say=lambda line: self.events.tell(stage.name, "line", text=line),
                progress=lambda event: self.events.tell(stage.name, "progress", **self._placed(event)),
            )
        if self._declared() != before:
            raise StageFailed(
                f"stage {stage.name}: {' or '.join(DECLARED)} in {self.run.folder} was edited while it ran, so its "
                "result was not recorded; leave these files alone until the run has ended",
                retry=False,
            )
        self.store.commit(self.run.dvc_file, stage.name, warn)
        self.run.forget_checkpoints(stage.name)
        self.sharing.put(self.run.dvc_file, stage.name, key)
        return "Completed"

    def _placed(self, event: dict[str, Any]) -> dict[str, Any]:
        """A stage's event, with the whole path of its preview: the stage names it from the run's folder."""
        return event | {"preview": str(self.run.folder / event["preview"])} if "preview" in event else event

    def _declared(self) -> list[str | None]:
        return [text_of(self.run.folder / name) for name in DECLARED]
