"""The commands that look at runs: ls, status."""

from pathlib import Path

from flows.engine.project import find_project
from flows.methods import METHODS
from flows.terminal import Parser, say, table, warn
from flows.versions.summaries import summaries


def list_runs(words: list[str]) -> int:
    """`prior3d ls`."""
    Parser.of("ls", "All runs of this project.").parse_args(words)
    rows = [["run", "method", "stages", "versions", "asked for"]]
    for s in summaries(find_project(Path.cwd())):
        if s.problem:
            warn(f"left out: {s.problem}")
            continue
        rows.append([s.name, s.method, f"{s.n_made}/{s.n_stages}", str(s.n_versions), s.prompt[:60]])
    if len(rows) == 1:
        return say(f"no runs yet; the first: {next(iter(METHODS.values())).example}")
    return say(table(rows))


def status(words: list[str]) -> int:
    """`prior3d status RUN`."""
    name = Parser.of("status", "A run's stages, measurements and versions.", "run").parse_args(words).run
    from flows.commands.status import status_of  # start-up: `ls` needs neither pydantic nor DVC

    return say(status_of(find_project(Path.cwd()), name))
