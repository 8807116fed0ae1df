"""The commands that look at runs, methods and stages, and those that look after a project."""

import argparse
import sys
from pathlib import Path
from typing import Any

from flows.engine.declaration import read_declaration, read_yaml
from flows.engine.project import find_project, init_project
from flows.engine.results import read_results
from flows.engine.run import Run
from flows.methods import METHODS
from flows.request import Parser
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean


def _arguments(command: str, words: list[str], what: str, *names: str, optional: bool = False) -> argparse.Namespace:
    parser = Parser(prog=f"prior3d {command}", description=what)
    for name in names:
        parser.add_argument(name, metavar=name.upper(), nargs="?" if optional else None)
    return parser.parse_args(words)


def init(words: list[str]) -> int:
    """`prior3d init [DIR]`."""
    where = _arguments("init", words, "Make a folder a project (works with and without git).", "dir", optional=True).dir
    project, made = init_project(Path(where or "."))
    example = next(iter(METHODS.values())).example
    return _print(f"{'made' if made else 'already'} a project: {project.root}\nnext: {example}")


def list_runs(words: list[str]) -> int:
    """`prior3d ls`."""
    from flows.versions.summaries import summaries

    _arguments("ls", words, "All runs of this project.")
    project = find_project(Path.cwd())
    rows = [["run", "method", "stages", "versions", "asked"]]
    for s in summaries(project):
        if s.problem:
            sys.stderr.write(f"warning: left out: {s.problem}\n")
            continue
        rows.append([s.name, s.method, f"{s.n_made}/{s.n_stages}", str(s.n_versions), s.prompt[:60]])
    if len(rows) == 1:
        return _print(f"no runs yet; the first: {next(iter(METHODS.values())).example}")
    return _print(_table(rows))


def status(words: list[str]) -> int:
    """`prior3d status RUN`."""
    from flows.command_run import plan_text
    from flows.engine.dvc_store import DvcStore
    from flows.engine.plan import make_plan

    name = _arguments("status", words, "A run's stages, measurements and versions.", "run").run
    project = find_project(Path.cwd())
    run = Run(project, name).require()
    declaration = read_declaration(run.folder, METHODS)
    plan = make_plan(run, declaration, DvcStore(project.root), list(declaration.method.stages))
    described = read_yaml(run.folder / "method.yaml")
    lines = [f"run {run.name}: {declaration.method.name}, preset {declaration.preset}, {run.folder}"]
    for key, value in (described.get("inputs") or {}).items():
        lines.append(f"  {key}: {value.get('text') or value.get('name') or value.get('given') or value['file']}")
    lines += ["stages:", plan_text(plan), "measured:"]
    rows: list[list[str]] = []
    for stage in declaration.method.stages:
        for r in read_results(run.folder, stage.name):
            rows.append([f"  {stage.name}", r.name, f"{r.value:.4g} {r.unit}".strip(), f"n={r.n}" if r.n != 1 else ""])
    lines.append(_table(rows) if rows else "  nothing yet")
    resumable = [s.name for s in declaration.method.stages if any((run.folder / ".work" / s.name).glob("*/*"))]
    if resumable:
        lines.append(f"interrupted, with a checkpoint: {', '.join(resumable)}")
    return _print("\n".join([*lines, f"versions: {len(run.versions())}"]))


def list_methods(words: list[str]) -> int:
    """`prior3d methods`."""
    _arguments("methods", words, "All methods.")
    return _print(
        _table(
            [
                [m.name, m.summary, " -> ".join(f"[{s.name}]" if s.optional else s.name for s in m.stages)]
                for m in METHODS.values()
            ]
        )
    )


def stage(words: list[str]) -> int:
    """`prior3d stage NAME`."""
    from flows.reference import stage_reference

    known = {s.name: s for m in METHODS.values() for s in m.stages}
    name = _arguments("stage", words, f"Help for a stage: {', '.join(known)}.", "name").name
    if name not in known:
        hint = did_you_mean(name, known, f"stages: {', '.join(known)}")
        raise Prior3dError(f"there is no stage {name!r}; {hint}")
    return _print(stage_reference(known[name]))


def accept(words: list[str]) -> int:
    """`prior3d accept RUN`."""
    from flows.engine.session import accept as record

    what = "Keep a run's outputs, and record its parameters, inputs and code as they are now."
    run = Run(find_project(Path.cwd()), _arguments("accept", words, what, "run").run).require()
    recorded = record(run, read_declaration(run.folder, METHODS))
    return _print(f"recorded anew: {', '.join(recorded)}" if recorded else "nothing had changed")


def server(words: list[str]) -> int:
    """`prior3d server [stop]`."""
    from flows.engine.server import local_server, stop_local_server, users_server

    action = _arguments(
        "server", words, "The local Prefect server: where it is; `stop` ends it.", "action", optional=True
    )
    project = find_project(Path.cwd())
    if action.action == "stop":
        return _print("stopped" if stop_local_server(project) else "none was running")
    if action.action is not None:
        raise Prior3dError(f"prior3d server {action.action!r}: the one action is stop")
    found: Any = users_server() or local_server(project)
    if found is None:
        return _print("none runs; the next run starts one")
    state = "answers" if found.healthy() else "does not answer"
    return _print(f"{found.url.removesuffix('/api')} {state} ({'started by prior3d' if found.own else 'your own'})")


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(f"{c:<{w}}" for c, w in zip(r, widths, strict=True)).rstrip() for r in rows)


def _print(text: str) -> int:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return 0
