"""A job of studio: a run that a person asked for in the browser, as a folder of small files.

What a job is doing is read from its files and from a lock that its process holds. So nothing that is killed, neither
studio nor a run, leaves a job that claims to be running.
"""

import json
import re
import secrets
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import psutil

from flows.engine.project import Project
from flows.engine.run_files import derived
from prior3d.files import write_whole
from prior3d.locks import is_held

ID = re.compile(r"[0-9a-f]{16}")
State = Literal["waiting", "running", "stopping", "stopped", "done", "failed"]
Ending = Literal["stopped", "done", "failed"]
AT_WORK = ("waiting", "running", "stopping")
SAME_MOMENT_S = 1.0  # how far two notes of when a process began may lie apart


class Noted(TypedDict):
    """A job as it is kept."""

    id: str
    key: str
    method: str
    words: list[str]
    run: str
    asked: str
    inputs: dict[str, str]
    queued: float
    stop: bool
    kills: int


class Outcome(TypedDict):
    """How a job ended."""

    state: str
    message: str
    seconds: float


class Process(TypedDict):
    """The process that works on a job."""

    pid: int
    began: float


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        folder: its files.
        id: its name.
        key: of the request that made it, so that a request that is sent twice makes one job.
        method: the method.
        words: what follows `prior3d run METHOD` on the command line.
        run: the run that it makes.
        asked: the words or files that were given, for people.
        inputs: the value of each input, to tell requests apart.
        queued: when it was asked for, or asked to go on; the queue's order.
        stop: whether a person has asked it to stop.
        kills: how often its process was killed since then.
    """

    folder: Path
    id: str
    key: str
    method: str
    words: tuple[str, ...]
    run: str
    asked: str
    inputs: dict[str, str] = field(default_factory=dict)
    queued: float = 0.0
    stop: bool = False
    kills: int = 0

    @property
    def lock(self) -> Path:
        """Held by the process that works on it."""
        return self.folder / "process.lock"

    @property
    def log(self) -> Path:
        """All that its processes printed."""
        return self.folder / "log.txt"

    def outcome(self) -> Outcome | None:
        """How it ended; None if it has not."""
        ended: Outcome | None = derived(self.folder / "outcome.json", Outcome)
        return ended

    def progress(self) -> dict[str, Any]:
        """What its process last said of the stages; empty before it began."""
        return derived(self.folder / "progress.json", dict[str, Any]) or {}

    def state(self) -> State:
        """What it is doing now."""
        running = is_held(self.lock)  # first: a process writes the outcome before it lets go
        ended = self.outcome()
        if ended is not None:
            return "done" if ended["state"] == "done" else "stopped" if ended["state"] == "stopped" else "failed"
        if running:
            return "stopping" if self.stop else "running"
        return "stopped" if self.stop else "waiting"

    def save(self) -> "Job":
        """Write it."""
        values = asdict(self)
        del values["folder"]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / "job.json", json.dumps(values, indent=1))
        return self

    def end(self, state: Ending, message: str = "", seconds: float = 0.0) -> None:
        """Note how it ended."""
        write_whole(
            self.folder / "outcome.json", json.dumps(Outcome(state=state, message=message, seconds=round(seconds, 1)))
        )

    def again(self) -> "Job":
        """The job, at the queue's end, as if it had not ended."""
        waiting = replace(self, stop=False, kills=0, queued=time.time()).save()
        (self.folder / "outcome.json").unlink(missing_ok=True)
        return waiting

    def note_process(self) -> None:
        """Note that the present process works on it."""
        me = psutil.Process()
        write_whole(self.folder / "process.json", json.dumps(Process(pid=me.pid, began=me.create_time())))

    def process(self) -> psutil.Process | None:
        """The process that works on it; None if it is gone (its number may belong to another process by now)."""
        noted: Process | None = derived(self.folder / "process.json", Process)
        if noted is None:
            return None
        try:
            found = psutil.Process(noted["pid"])
            return found if abs(found.create_time() - noted["began"]) < SAME_MOMENT_S else None
        except psutil.Error:
            return None

    def remove(self) -> None:
        """Forget it; the run stays."""
        shutil.rmtree(self.folder, ignore_errors=True)


def jobs_folder(project: Project) -> Path:
    """Where a project's jobs are."""
    return project.state / "studio" / "jobs"


def new_job(
    project: Project, key: str, method: str, words: list[str], run: str, asked: str, inputs: dict[str, str]
) -> Job:
    """Put a job at the end of the queue."""
    name = secrets.token_hex(8)
    return Job(
        jobs_folder(project) / name, name, key, method, tuple(words), run, asked, inputs, queued=time.time()
    ).save()


def read_job(folder: Path) -> Job | None:
    """A job; None if there is none, or if its file is damaged."""
    noted: Noted | None = derived(folder / "job.json", Noted)
    if noted is None or not ID.fullmatch(folder.name) or noted["id"] != folder.name:
        return None
    return Job(
        folder, noted["id"], noted["key"], noted["method"], tuple(noted["words"]), noted["run"], noted["asked"],
        noted["inputs"], noted["queued"], noted["stop"], noted["kills"],
    )  # fmt: skip


def all_jobs(project: Project) -> list[Job]:
    """All jobs, in the queue's order."""
    found = [read_job(folder) for folder in jobs_folder(project).glob("*/")]
    return sorted((job for job in found if job is not None), key=lambda job: (job.queued, job.id))
