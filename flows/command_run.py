"""`prior3d run` and `prior3d plan`."""

import sys
from pathlib import Path

from flows.cli import command_line
from flows.engine.declaration import read_declaration
from flows.engine.events import Events
from flows.engine.execution import Interrupted
from flows.engine.method import Method
from flows.engine.plan import Plan, make_plan
from flows.engine.project import find_project
from flows.engine.run import Run
from flows.methods import METHODS, find_method
from prior3d.errors import Prior3dError

FAILED, INTERRUPTED = 2, 130


def run(words: list[str]) -> int:
    """`prior3d run METHOD ...`: carry a run out, or go on with it."""
    if not words or words[0] in ("-h", "--help"):
        return _print("usage: prior3d run METHOD ...\n\nmethods:\n" + _methods() + "\n\nsee: prior3d run METHOD --help")
    method = find_method(words[0])
    if _asks_help(words):
        return _print_help(method, "run")
    from flows.engine.session import Report, carry_out, wanted_stages
    from flows.progress import make_display
    from flows.request import make_request, parser_for

    request = make_request(find_project(Path.cwd()), method, parser_for(method, "run"), words[1:])
    stages = [s.name for s in wanted_stages(request.declaration, request.options.stop_after)]
    _print(f"run {request.run.name}: {request.run.folder.relative_to(request.run.project.root)}")
    events, displays = Events(), []

    def show(plan: Plan) -> None:
        _print(plan_text(plan))
        if not plan.idle:
            displays.append(make_display(stages, request.options.plain))
            events.listen(displays[0])

    report: Report | None = None
    try:
        report = carry_out(
            request.run, request.declaration, request.settings, request.options, events, show, lambda w: _warn(w)
        )
    except Prior3dError as error:
        for display in displays:
            display.close()
        sys.stderr.write(f"error: {error}\n")
        if displays:
            sys.stderr.write(f"to go on from here: {command_line(['run', *words])}\n")
        return INTERRUPTED if isinstance(error, Interrupted) else FAILED
    for display in displays:
        display.close()
    return _print(_ending(request.run, report.version, idle=report.plan.idle))


def _ending(run: Run, version: str | None, idle: bool) -> str:
    what = "nothing to do, all is as it was made" if idle else "done" + (f", version {int(version)}" if version else "")
    return f"{what}; next: prior3d open {run.name}"


def plan(words: list[str]) -> int:
    """`prior3d plan RUN` or `prior3d plan METHOD ...`: what would be made and why; writes nothing."""
    if not words or words[0] in ("-h", "--help"):
        return _print(
            "usage: prior3d plan RUN\n       prior3d plan METHOD ... (with the options of run)\n\nmethods:\n"
            + _methods()
        )
    from flows.engine.dvc_store import DvcStore

    project = find_project(Path.cwd())
    if words[0] in METHODS:
        method = METHODS[words[0]]
        if _asks_help(words):
            return _print_help(method, "plan")
        from flows.engine.session import wanted_stages
        from flows.request import make_request, parser_for

        request = make_request(project, method, parser_for(method, "plan"), words[1:])
        stages = wanted_stages(request.declaration, request.options.stop_after)
        force = not request.options.restore
        found = make_plan(request.run, request.declaration, DvcStore(project.root), stages, force)
    else:
        the_run = Run(project, words[0]).require()
        declaration = read_declaration(the_run.folder, METHODS)
        found = make_plan(the_run, declaration, DvcStore(project.root), list(declaration.method.stages))
    return _print(plan_text(found))


def plan_text(plan: Plan) -> str:
    """A plan as a table: stage, what happens, why."""
    words = {"keep": "unchanged", "make": "to make", "follow": "perhaps"}
    width = max(len(s.stage) for s in plan.steps)
    rows = []
    for step in plan.steps:
        shown = [*step.reasons[:4], *([f"and {len(step.reasons) - 4} more"] if len(step.reasons) > 4 else [])]
        rows.append(f"  {step.stage:<{width}}  {words[step.action]:<9}  {'; '.join(shown)}".rstrip())
    return "\n".join(rows)


def _methods() -> str:
    width = max(len(n) for n in METHODS)
    return "\n".join(f"  {m.name:<{width}}  {m.summary}" for m in METHODS.values())


def _asks_help(words: list[str]) -> bool:
    return "-h" in words or "--help" in words


def _print_help(method: Method, command: str) -> int:
    from flows.reference import method_reference
    from flows.request import parser_for

    parser_for(method, command, method_reference(method)).print_help()
    return 0


def _print(text: str) -> int:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return 0


def _warn(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
