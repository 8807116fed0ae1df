"""The commands that look at runs: ls, status."""

import json
from pathlib import Path
from typing import Any

from flows.engine.project import find_project
from flows.engine.run import Run
from flows.methods import METHODS
from flows.terminal import Parser, duration_text, say, table, warn
from flows.versions.summaries import Summary, summaries
from flows.versions.text import local_time
from flows.watching.state import is_running


def list_runs(words: list[str]) -> int:
    """`prior3d ls`."""
    parser = Parser.of("ls", "All runs of this project.")
    parser.add_argument("--json", action="store_true", help="print everything that is known of them as JSON")
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    found = summaries(project)
    if args.json:
        return say(json.dumps([_facts(summary) for summary in found], indent=1))
    rows = [["run", "method", "stages", "versions", "when", "took", "asked for"]]
    for s in found:
        if s.problem:
            warn(f"left out: {s.problem}")
            continue
        when = local_time(s.values["when"]) if s.values.get("when") else "-"
        when = "now" if is_running(Run(project, s.name)) else when
        took = duration_text(s.values["seconds"]) if "seconds" in s.values else "-"
        rows.append([s.name, s.method, f"{s.n_made}/{s.n_stages}", str(s.n_versions), when, took, s.prompt[:60]])
    if len(rows) == 1:
        return say(f"no runs yet; the first: {next(iter(METHODS.values())).example}")
    return say(table(rows))


def _facts(summary: Summary) -> dict[str, Any]:
    """What a program may want to know of a run; `seconds` is its working time, `measures` have a better direction."""
    if summary.problem:
        return {"run": summary.name, "problem": summary.problem}
    values = dict(summary.values)
    values.pop("name", None), values.pop("prompt", None)
    return {
        "run": summary.name, "method": summary.method, "asked_for": summary.prompt, "n_stages": summary.n_stages,
        "n_made": summary.n_made, "n_versions": summary.n_versions, "version": summary.number,
        "when": values.pop("when", None), "seconds": values.pop("seconds", None), "measures": values,
    }  # fmt: skip


def status(words: list[str]) -> int:
    """`prior3d status RUN`."""
    name = Parser.of("status", "A run's stages, measurements and versions.", "run").parse_args(words).run
    from flows.commands.status import status_of  # start-up: `ls` needs neither pydantic nor DVC

    return say(status_of(find_project(Path.cwd()), name))
