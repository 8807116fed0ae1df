"""The commands that make a run, say what would be made, or accept what is there: all of them need the engine."""

import os
import shlex
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from flows.engine.declaration import Declaration, read_declaration
from flows.engine.dvc_store import DvcStore
from flows.engine.events import Display, Event, Events, warns
from flows.engine.execution import Interrupted, StageFailed
from flows.engine.forecast import Forecast, forecast
from flows.engine.fork_client import ForkClient
from flows.engine.method import Method, Stage
from flows.engine.plan import Plan, make_plan
from flows.engine.project import Project, find_project
from flows.engine.run import Run, all_runs
from flows.engine.session import accept as accept_run
from flows.engine.session import carry_out, wanted_stages
from flows.methods import METHODS, find_method
from flows.request import Request, make_request
from flows.run_again import words_of_file, words_of_run
from flows.terminal import (
    INTERRUPTED,
    USER_ERROR,
    Parser,
    clean,
    duration_text,
    fail,
    say,
    show,
    size_text,
    table,
    warn,
)
from prior3d.errors import Prior3dError

ACTIONS = {"keep": "unchanged", "make": "to make", "follow": "perhaps"}
MOST_REASONS = 4


def run_words(words: list[str], client: ForkClient) -> int:
    """Make a run as a command line asks, or resume it, with a fork server that was started; returns the exit code."""
    project = find_project(Path.cwd())
    request = make_request(project, *meant(project, words))
    run, options, began = request.run, replace(request.options, client=client), time.monotonic()
    say(f"run {run.name}: {run.folder.relative_to(run.project.root)}")
    for text in request.warnings:
        warn(text)
    shown, tell = _Shown(request), partial(show, sys.stdout)
    try:
        report = carry_out(
            run, request.declaration, request.settings, options, shown.events, shown.show_plan, warn, tell
        )
    except Prior3dError as error:
        shown.close()
        fail(str(error))
        if isinstance(error, StageFailed) and error.retry:
            show(sys.stderr, f"all that it printed: prior3d open {run.name}")
        if shown.display is not None:
            show(sys.stderr, f"to resume: {shlex.join(['prior3d', 'run', *words])}")
        return INTERRUPTED if isinstance(error, Interrupted) else USER_ERROR
    shown.close()
    for text in shown.warnings:  # again, as they have scrolled by
        warn(text)
    version = f", version {int(report.version)}" if report.version else ""
    what = f"done{version}, in {duration_text(time.monotonic() - began)}"
    what = "nothing to do, all is as it was made" if report.plan.idle else what
    return say(f"{what}{_mesh_of(run, request.declaration)}; next: prior3d open {run.name}")


def meant(project: Project, words: list[str]) -> tuple[Method, list[str]]:
    """The method, and the words behind it, that `run METHOD ...`, `run RUN ...` or `run --from FILE ...` stands for.

    Raises:
        Prior3dError: it is none of these.
    """
    first, _, glued = words[0].partition("=")
    if first == "--from":
        file, changes = (glued, words[1:]) if glued else (words[1] if len(words) > 1 else "", words[2:])
        place = Path(file).expanduser()
        return words_of_file(place / "method.yaml" if place.is_dir() else place, changes)
    if words[0] not in METHODS and words[0] in {run.name for run in all_runs(project)}:
        return words_of_run(project, words[0], words[1:])
    return find_method(words[0]), words[1:]


def _mesh_of(run: Run, declaration: Declaration) -> str:
    """The last GLB that a run has, from where one stands, and its size."""
    places = [run.folder / stage.name / "mesh.glb" for stage in reversed(declaration.method.stages)]
    mesh = next((place for place in places if place.is_file()), None)
    return "" if mesh is None else f": {os.path.relpath(mesh)} ({size_text(mesh.stat().st_size)})"


class _Shown:
    """What a run shows: its plan, and then its events if there is anything to make."""

    def __init__(self, request: Request) -> None:
        self.events = Events()
        self.display: Display | None = None
        self.warnings: list[str] = []
        self.events.listen(self._note_warning)
        self._request, self._options = request, request.options
        self._wanted = wanted_stages(request.declaration, request.options.stop_after)
        self._stages = [s.name for s in self._wanted]

    def show_plan(self, plan: Plan) -> None:
        ahead = forecast(
            self._request.run, self._request.declaration, plan, self._wanted, self._request.options.restore
        )
        say(plan_text(plan, ahead))
        if not plan.idle:
            from flows.progress import make_display  # start-up: rich, which a run with nothing to do does not need

            self.display = make_display(self._stages, self._options.plain)
            self.events.listen(self.display)

    def _note_warning(self, event: Event) -> None:
        if warns(event):
            self.warnings.append(f"{event.stage}: {clean(event.data['text']).removeprefix('warning:').strip()}")

    def close(self) -> None:
        if self.display is not None:
            self.display.close()


def plan_words(words: list[str]) -> int:
    """Say what `run` with the same words would make, and why."""
    project = find_project(Path.cwd())
    request = make_request(project, *meant(project, words), "plan")
    stages = wanted_stages(request.declaration, request.options.stop_after)
    return _say_plan(request.run, request.declaration, stages, request.options.restore)


def plan_run(name: str) -> int:
    """Say which stages of a run would be made, and why."""
    project = find_project(Path.cwd())
    run = Run(project, name).require()
    declaration = read_declaration(run.folder, METHODS)
    return _say_plan(run, declaration, list(declaration.method.stages), True)


def _say_plan(run: Run, declaration: Declaration, stages: list[Stage], restore: bool) -> int:
    plan = make_plan(run, declaration, DvcStore(run.project.root), stages, force=not restore)
    return say(plan_text(plan, forecast(run, declaration, plan, stages, restore)))


def plan_text(plan: Plan, ahead: Forecast | None = None, running: str = "") -> str:
    """A plan as a table: stage, what happens, why, and how long it took last time.

    Args:
        plan: the plan.
        ahead: what the cache has, and what took how long.
        running: the stage that runs now.
    """
    rows, ahead = [], ahead or Forecast()
    for step in plan.steps:
        left_out = len(step.reasons) - MOST_REASONS
        reasons = [*step.reasons[:MOST_REASONS], *([f"and {left_out} more"] if left_out > 0 else [])]
        reasons += [f"took {duration_text(ahead.seconds[step.stage])} last time"] if step.stage in ahead.seconds else []
        action = "from the cache" if step.stage in ahead.cached else ACTIONS[step.action]
        rows.append([f"  {step.stage}", "running" if step.stage == running else f"{action:<9}", "; ".join(reasons)])
    return "\n".join([table(rows), *_in_all(plan, ahead)])


def _in_all(plan: Plan, ahead: Forecast) -> list[str]:
    """About how long the stages ahead take together, if several are, and it is known of each of them."""
    slow = [step.stage for step in plan.steps if step.action != "keep" and step.stage not in ahead.cached]
    if len(slow) < 2 or not ahead.seconds.keys() >= set(slow):
        return []
    return [
        f"  about {duration_text(sum(ahead.seconds[name] for name in slow))} in all, as these stages took last time"
    ]


def accept(words: list[str]) -> int:
    """`prior3d accept RUN`."""
    what = "Keep a run's outputs, and record its present parameters, inputs and code beside them."
    args = Parser.of("accept", what, "run").parse_args(words)
    run = Run(find_project(Path.cwd()), args.run).require()
    recorded = accept_run(run, read_declaration(run.folder, METHODS), warn)
    return say(f"accepted: {', '.join(recorded)}" if recorded else "nothing had changed")
