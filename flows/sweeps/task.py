"""A row of a sweep on another machine: what is sent there, what happens there, what comes back.

The worker's own project makes the run, by `prior3d run` in a process of its own. Results go through the project's
remote; what comes back is small: the lock, the record of the version, how stages failed.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from flows.engine.failures import NAME as FAILURE
from flows.engine.project import Project, find_project
from flows.engine.record import read_record
from flows.engine.run import Run
from flows.engine.run_files import read_lock
from flows.engine.shared_store import SharedStore
from flows.sweeps import running
from prior3d.errors import Prior3dError

PROJECT, FILES = "{project}", "{files}"  # in the words of a task
HERE = "PRIOR3D_PROJECT"  # the environment variable that names a worker's project
POLL_S = 0.2
BUSY, BUSY_WAIT_S = "another prior3d process works on it", 60.0
MOST_LOG = 20_000  # characters of what a run printed


@dataclass(frozen=True)
class Task:
    """A run that is sent to a worker.

    Attributes:
        sweep: its sweep.
        name: the run's.
        method: of the run.
        words: the command line behind `run METHOD`, with places for the worker's project and for the files.
        files: input files that are sent along, by name.
        code: the digest of the sender's prior3d.
        token: names the sender's project: a worker that finds it in its own works in the same folder.
        remote: whether the sender's project has a remote.
    """

    sweep: str
    name: str
    method: str
    words: tuple[str, ...]
    files: dict[str, bytes]
    code: str
    token: str
    remote: bool


@dataclass(frozen=True)
class Answer:
    """What came of a task.

    Attributes:
        problem: why it failed; empty if it is done.
        refused: why this worker may not make it; another one may.
        same_folder: the worker's project is the sender's.
        lock: the run's `dvc.lock`.
        record: of the version that it is.
        failures: stage -> how it failed, as it is kept for the run's page.
        printed: the end of what the run printed.
        seconds: that it took.
        worker: machine and project, for people.
    """

    problem: str = ""
    refused: str = ""
    same_folder: bool = False
    lock: bytes = b""
    record: bytes = b""
    failures: dict[str, bytes] = field(default_factory=dict)
    printed: str = ""
    seconds: float = 0.0
    worker: str = ""


@cache
def code_of_prior3d() -> str:
    """A digest of all source files of prior3d as they are here."""
    root, together = Path(running.__file__).resolve().parents[2], hashlib.sha256()
    for package in ("flows", "prior3d", "stages"):
        for path in sorted((root / package).rglob("*")):
            if path.suffix in (".py", ".j2", ".js") and path.is_file():
                together.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return together.hexdigest()[:16]


def carry_out_task(task: Task, stopped: Callable[[], bool]) -> Answer:
    """Make a run on this machine.

    Args:
        task: what to make.
        stopped: whether the sweep was stopped meanwhile.
    """
    worker, began = f"{os.uname().nodename}, process {os.getpid()}", time.monotonic()
    own = code_of_prior3d()
    if own != task.code:
        return Answer(worker=worker, refused=f"it has another version of prior3d ({own}; the sweep's is {task.code})")
    try:
        project = find_project(Path(os.environ.get(HERE) or Path.cwd()))
    except Prior3dError:
        where = os.environ.get(HERE) or Path.cwd()
        return Answer(worker=worker, refused=f"{where} is in no project; start it in one, or set {HERE}")
    same = (project.state / "sweeps" / task.sweep / task.token).is_file()
    if not same and not task.remote:
        where = "results cannot come back: the sweep's project has no remote; name one with: prior3d remote add"
        return Answer(worker=worker, problem=where)
    worker += f", {project.root}"
    code, printed = _run_there(project, task, stopped)
    said, seconds = running.problem_in(printed), time.monotonic() - began
    end = Answer(same_folder=same, printed=printed[-MOST_LOG:], seconds=seconds, worker=worker)
    run = Run(project, task.name)
    if code:
        problem = said or f"exit code {code} on {worker}"
        return _with(end, problem=problem, failures=_failures(run))
    problem = "" if same else _shared(project, run)
    version = run.versions()[-1]
    record = version.with_suffix(".json")
    if read_record(record) is None:
        problem = problem or f"its record on {worker} is damaged"
    return _with(end, problem=problem, lock=run.lock_bytes(), record=record.read_bytes())


def _with(answer: Answer, **values: object) -> Answer:
    return Answer(**(vars(answer) | values))  # type: ignore[arg-type]


def _failures(run: Run) -> dict[str, bytes]:
    return {p.parent.name: p.read_bytes() for p in (run.folder / ".work").glob(f"*/{FAILURE}")}


def _shared(project: Project, run: Run) -> str:
    """Put what a run has into the remote, as far as it is not there; what went wrong with that."""
    try:
        SharedStore(project.root).complete(run.folder, [dict(e) for e in read_lock(run.folder / "dvc.lock").values()])
    except Exception as error:  # each kind of store has errors of its own
        return f"made, but not shared: {' '.join(str(error).split())[:200]}; give the same command again"
    return ""


def _run_there(project: Project, task: Task, stopped: Callable[[], bool]) -> tuple[int, str]:
    """Exit code of the run, and what it printed, which stays in the worker's project too."""
    until = time.monotonic() + BUSY_WAIT_S
    log = project.state / "sweeps" / task.sweep / f"{task.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="prior3d-") as folder:
        for name, content in task.files.items():
            (Path(folder) / Path(name).name).write_bytes(content)
        words = [w.replace(PROJECT, str(project.root)).replace(FILES, folder) for w in task.words]
        while True:
            begins_at = log.stat().st_size if log.exists() else 0
            code = _process(project, [task.method, *words], log, stopped)
            printed = log.read_bytes()[begins_at:].decode(errors="replace")
            # the worker before this one was killed: its run saves its checkpoints and leaves, a few seconds
            if not code or BUSY not in printed or time.monotonic() > until:
                return code, printed
            time.sleep(1.0)


def _process(project: Project, words: list[str], log: Path, stopped: Callable[[], bool]) -> int:
    package = str(Path(running.__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    # Its input ends when this process does, however that dies; then it stops at its checkpoints. What it prints goes
    # into a file: a pipe would break in the same moment.
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.sweeps.leash", "run", *words, "--plain"],
            cwd=project.root, env=environment, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        while process.poll() is None and not stopped():
            time.sleep(POLL_S)
    finally:
        if process.poll() is None:
            running.stop([process])
    return process.wait()
