"""What `prior3d status RUN` says."""

from dataclasses import replace

from flows.commands.running import plan_text
from flows.engine.declaration import read_declaration
from flows.engine.dvc_store import DvcStore
from flows.engine.forecast import forecast
from flows.engine.plan import Plan, make_plan
from flows.engine.project import Project
from flows.engine.results import read_results
from flows.engine.run import Run
from flows.engine.run_files import read_method
from flows.methods import METHODS
from flows.terminal import duration_text, table
from flows.versions.text import measured_text, words
from flows.watching.state import State, is_running, read_state


def status_of(project: Project, name: str) -> str:
    """A run's inputs, stages, measurements and versions, as text."""
    run = Run(project, name).require()
    declaration = read_declaration(run.folder, METHODS)
    stages = list(declaration.method.stages)
    lines = [f"run {run.name}: {declaration.method.name}, preset {declaration.preset}, {run.folder}"]
    for key, value in (read_method(run.folder).get("inputs") or {}).items():
        lines.append(f"  {key}: {value.get('text') or value.get('name') or value.get('given') or value['file']}")
    plan = make_plan(run, declaration, DvcStore(project.root), stages)
    now = _now(run, [s.name for s in stages], plan) if is_running(run) else None
    ahead = forecast(run, declaration, plan, stages)
    lines += ["stages:", plan_text(plan, ahead, now.stage if now else "")]
    if now is not None:
        lines.append(f"runs now{_where(now)}; from any side while it trains: prior3d watch {run.name}")
    lines += ["measured:", _measured(run, [s.name for s in stages])]
    resumable = [s.name for s in stages if any((run.folder / ".work" / s.name).glob("*/*"))]
    if resumable and now is None:
        lines.append(f"interrupted, with a checkpoint: {', '.join(resumable)}")
    return "\n".join([*lines, f"versions: {len(run.versions())}"])


def _now(run: Run, stages: list[str], plan: Plan) -> State:
    """The state of a run that runs; a stage that has begun, but kept nothing yet, is the first that is to be made."""
    state = read_state(run, stages)
    first = next((step.stage for step in plan.steps if step.action != "keep"), "")
    return state if state.stage else replace(state, stage=first)


def _where(now: State) -> str:
    """The stage that runs, and how far it was at its last checkpoint."""
    if not now.stage:
        return ""
    steps = f", step {now.step:,} of {now.total:,}" if now.total else ""
    worked = f", {duration_text(now.seconds)} so far" if now.seconds else ""
    return f": {now.stage}{steps}{worked}"


def _measured(run: Run, stages: list[str]) -> str:
    rows = []
    for stage in stages:
        for r in read_results(run.folder, stage):
            n = f"n={r.n:,}" if r.n != 1 else ""
            rows.append([f"  {stage}", words(r.name), measured_text(r.name, r.value, r.unit), n])
    return table(rows) if rows else "  nothing yet"
