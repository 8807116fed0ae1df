"""The runs of a sweep on the workers of a cluster: what is sent, what comes back, and which worker is refused."""

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from flows.engine.adoption import adopt
from flows.engine.dvc_store import DvcStore
from flows.engine.failures import NAME as FAILURE
from flows.engine.project import Project
from flows.engine.run_files import read_lock
from flows.engine.shared_store import SharedStore
from flows.method_options import option_of
from flows.sweeps.rows import Wanted
from flows.sweeps.running import DONE, FAILED, State
from flows.sweeps.task import FILES, PROJECT, Answer, Task, code_of_prior3d
from prior3d.errors import Prior3dError
from prior3d.files import write_whole

MOST_SENT = 64 * 2**20  # bytes of one input file that goes with a task
TAKEN = ("all", "last", "none")
REMEDY = "install the sweep's version there, or start the worker in its project, and give the same command again"


class Engine(Protocol):
    """An engine that spreads tasks over machines."""

    def slots(self) -> int:
        """How many tasks can run at once (raises Prior3dError if no worker is left)."""

    def submit(self, task: Task) -> Any:
        """Begin a task; returns what `result` is asked with."""

    def result(self, handle: Any) -> tuple[str, Answer] | None:
        """The worker and what came of a task; None while it runs (raises Prior3dError if the engine gave it up)."""

    def refuse(self, worker: str) -> None:
        """Give a worker no more tasks."""

    def close(self, handles: list[Any]) -> None:
        """Stop tasks that run, and let the engine go."""


class Sending:
    """What goes to workers and what comes back, for one sweep."""

    def __init__(self, project: Project, sweep: str, taking: str) -> None:
        self._project, self._sweep, self._taking = project, sweep, taking
        self._folder = project.state / "sweeps" / sweep
        self._folder.mkdir(parents=True, exist_ok=True)
        self._token = f"token-{secrets.token_hex(8)}"
        self._remote = SharedStore(project.root).exists()
        (self._folder / self._token).touch()

    @property
    def stop_name(self) -> str:
        """Names this carrying-out of the sweep on a cluster that others use too."""
        return f"prior3d-{self._token}"

    def close(self) -> None:
        """Nothing comes back any more."""
        (self._folder / self._token).unlink(missing_ok=True)

    def task(self, wanted: Wanted) -> Task:
        """The task that makes a run (raises Prior3dError if an input is too large to be sent)."""
        kinds = {option_of(i.name): i.kind for i in wanted.method.inputs}
        files: dict[str, bytes] = {}
        words = [self._sent(word, kinds, files) for word in wanted.words]
        return Task(
            sweep=self._sweep,
            name=wanted.name,
            method=wanted.method.name,
            words=tuple(words),
            files=files,
            code=code_of_prior3d(),
            token=self._token,
            remote=self._remote,
        )

    def _sent(self, word: str, kinds: dict[str, str], files: dict[str, bytes]) -> str:
        """A word as a worker understands it: paths in the project are its own, other files go along."""
        option, equals, value = word.partition("=")
        place = Path(value)
        if kinds.get(option) not in ("file", "folder", "prior") or not place.is_absolute() or not place.exists():
            return word
        if place.is_relative_to(self._project.root):
            if place.is_dir():
                return f"{option}={PROJECT}/{place.relative_to(self._project.root)}"
        elif place.is_dir():
            return word  # a folder that all machines see
        if place.stat().st_size > MOST_SENT:
            raise Prior3dError(f"{place}: {place.stat().st_size / 2**20:.0f} MB are too much to send with a row")
        name = f"{len(files)}-{place.name}"
        files[name] = place.read_bytes()
        return f"{option}{equals}{FILES}/{name}"

    def take(self, state: State, answer: Answer) -> None:
        """Bring what came of a run into the project, and its state up to date."""
        state.seconds, state.problem = answer.seconds, answer.problem
        if not answer.same_folder:
            write_whole(self._folder / f"{state.wanted.name}.log", f"on {answer.worker}\n{answer.printed}")
        try:
            if answer.lock and not answer.same_folder:
                self._bring(state.wanted, answer)
            elif answer.failures and not answer.same_folder:
                self._note_failures(state.wanted, answer)
        except Prior3dError as error:
            state.problem = state.problem or str(error)
        state.state = FAILED if state.problem else DONE

    def _bring(self, wanted: Wanted, answer: Answer) -> None:
        """The lock and the record of a run, and of its files those that are wanted."""
        if wanted.request is None:
            return
        run, declaration = wanted.request.run, wanted.request.declaration
        with run.held():
            run.declare(declaration, wanted.request.settings, print)
            adopt(run, declaration, answer.lock, answer.record)
            names = list(run.locked())
            names = {"all": names, "last": names[-1:], "none": []}[self._taking]
            entries = read_lock(run.folder / "dvc.lock")
            if names and not answer.problem:
                SharedStore(self._project.root).fetch(run.folder, [dict(entries[name]) for name in names])
                DvcStore(self._project.root).checkout(run.dvc_file, names)

    def _note_failures(self, wanted: Wanted, answer: Answer) -> None:
        """How stages failed, for the run's page."""
        if wanted.request is None:
            return
        run = wanted.request.run
        with run.held():
            run.declare(wanted.request.declaration, wanted.request.settings, print)
            for stage, content in answer.failures.items():
                if stage in wanted.request.declaration.params:
                    place = run.folder / ".work" / stage / FAILURE
                    place.parent.mkdir(parents=True, exist_ok=True)
                    write_whole(place, content)


class Cluster:
    """The workers of an engine, as a place for runs."""

    def __init__(self, sending: Sending, engine: Engine, warn: Callable[[str], None]) -> None:
        self._sending, self._engine, self._warn = sending, engine, warn
        self._live: list[tuple[Any, State, Task]] = []

    def free(self) -> int:
        """How many more runs can begin."""
        return self._engine.slots() - len(self._live)

    def begin(self, state: State) -> None:
        """Send a run to a worker."""
        task = self._sending.task(state.wanted)
        self._live.append((self._engine.submit(task), state, task))

    def ended(self) -> list[State]:
        """The runs that ended since, with how."""
        over: list[State] = []
        live, self._live = self._live, []
        for handle, state, task in live:
            try:
                found = self._engine.result(handle)
            except Prior3dError as error:
                self._sending.take(state, Answer(problem=str(error)))
                over.append(state)
                continue
            if found is None:
                self._live.append((handle, state, task))
            elif found[1].refused:
                self._warn(f"worker {found[0]} gets no rows: {found[1].refused}; {REMEDY}")
                self._engine.refuse(found[0])
                self._live.append((self._engine.submit(task), state, task))
            else:
                self._sending.take(state, found[1])
                over.append(state)
        return over

    def close(self) -> None:
        """Leave no run behind."""
        try:
            self._engine.close([handle for handle, _, _ in self._live])
        finally:
            self._sending.close()
