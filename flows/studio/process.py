"""The process of one job: `python -m flows.studio.process FOLDER`. It makes the run as `prior3d run` does.

It holds the job's lock while it works. It notes what its stages do, and how it ended.
"""

import io
import json
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from flows.engine.events import Event, Events, warns
from flows.engine.execution import Interrupted
from flows.engine.plan import Plan
from flows.engine.project import find_project
from flows.engine.session import carry_out, wanted_stages
from flows.methods import find_method
from flows.progress import Stages, StageState
from flows.request import make_request
from flows.studio.jobs import Job, read_job
from flows.terminal import clean, show, warn
from prior3d.errors import Prior3dError
from prior3d.files import write_whole
from prior3d.locks import held

NOTE_EVERY_S = 0.4
A_BUG = "it failed with a bug; the end of its log says where"
NO_DISK = "the disk did not take it: {}; fix that and resume"


@dataclass
class Notes:
    """Keeps `progress.json` up to date: how each stage is doing."""

    folder: Path
    names: list[str]
    stages: Stages = field(init=False)
    warnings: list[str] = field(default_factory=list)
    actions: dict[str, str] = field(default_factory=dict)
    _written: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.stages = Stages(self.names, io.StringIO(), time.monotonic)

    def show_plan(self, plan: Plan) -> None:
        """Note what will be made."""
        self.actions = {step.stage: step.action for step in plan.steps}
        for step in plan.steps:
            if step.action == "keep":
                self.stages.states[step.stage].state = "unchanged"
        self.write()

    def __call__(self, event: Event) -> None:
        """Take what happened; steps are written a few times a second, all else at once."""
        with self._lock:
            self.stages.take(event)
            if warns(event):
                self.warnings.append(f"{event.stage}: {clean(event.data['text']).removeprefix('warning:').strip()}")
            if event.kind != "progress" or time.monotonic() - self._written > NOTE_EVERY_S:
                self.write()

    def write(self) -> None:
        """Write the notes."""
        self._written = time.monotonic()
        said = [_said(name, state) for name, state in self.stages.states.items()]
        write_whole(self.folder / "progress.json", json.dumps({"stages": said, "warnings": self.warnings}))


def _said(name: str, state: StageState) -> dict[str, Any]:
    running = state.state == "running"
    return {
        "name": name,
        "state": state.state,
        "step": int(state.task.completed),
        "total": int(state.task.total or 0),
        "left_s": state.task.time_remaining if running else None,
        "steps_per_s": state.task.speed if running else None,
        "loss": state.loss,
        "text": clean(state.text),
        "seconds": state.seconds,
    }


def work_on(job: Job) -> None:
    """Make a job's run, and note how it ended."""
    began = time.monotonic()
    try:
        job.note_process()
        if not job.stop:
            _make(job)
    except (Interrupted, KeyboardInterrupt):
        job.end("stopped", "its checkpoints are saved; resume when you like", time.monotonic() - began)
    except Prior3dError as error:
        show(sys.stderr, f"error: {error}")
        job.end("failed", clean(str(error)), time.monotonic() - began)
    except OSError as error:
        traceback.print_exc()
        job.end("failed", NO_DISK.format(error.strerror or error), time.monotonic() - began)
    except Exception:
        traceback.print_exc()
        job.end("failed", A_BUG, time.monotonic() - began)
    else:
        job.end("stopped" if job.stop else "done", "", time.monotonic() - began)


def _make(job: Job) -> None:
    project, method, events = find_project(Path.cwd()), find_method(job.method), Events()
    request = make_request(project, method, list(job.words))
    notes = Notes(job.folder, [s.name for s in wanted_stages(request.declaration, request.options.stop_after)])
    events.listen(notes)
    events.listen(_print)
    tell = partial(show, sys.stdout)
    carry_out(request.run, request.declaration, request.settings, request.options, events, notes.show_plan, warn, tell)
    notes.write()


def _print(event: Event) -> None:
    """What a stage prints goes into the job's log."""
    if event.kind == "line":
        show(sys.stdout, f"{event.stage} | {event.data['text']}")


def main(folder: Path) -> int:
    """Work on a job, unless another process has done it meanwhile; returns the exit code."""
    job = read_job(folder)
    if job is None:
        return 0  # it was removed
    with held(job.lock, wait_s=-1):  # another process of the same job goes first, and then there is nothing to do
        job = read_job(folder)
        if job is not None and job.outcome() is None:
            work_on(job)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
