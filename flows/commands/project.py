"""The commands that look after a project: init, server."""

from pathlib import Path

from flows.engine.project import find_project, init_project
from flows.engine.server import local_server, password_file, stop_local_server, users_server
from flows.methods import METHODS
from flows.terminal import Parser, say
from prior3d.errors import Prior3dError


def init(words: list[str]) -> int:
    """`prior3d init [DIR]`."""
    what = "Make a folder a project; it may be in a git repository or not."
    where = Parser.of("init", what, "dir", optional=True).parse_args(words).dir
    project, made = init_project(Path(where or "."))
    example = next(iter(METHODS.values())).example
    return say(f"{'made' if made else 'already'} a project: {project.root}\nnext: {example}")


def server(words: list[str]) -> int:
    """`prior3d server [stop]`."""
    what = "Print the address of the local Prefect server; `stop` ends it."
    action = Parser.of("server", what, "action", optional=True).parse_args(words).action
    project = find_project(Path.cwd())
    if action == "stop":
        return say("stopped" if stop_local_server(project) else "none was running")
    if action is not None:
        raise Prior3dError(f"prior3d server {action!r}: the only action is stop")
    found = users_server() or local_server(project)
    if found is None:
        return say("none runs; the next run starts one")
    state = "answers" if found.healthy() else "does not answer"
    whose = f"started by prior3d; its pages ask for what is in {password_file(project)}" if found.own else "your own"
    return say(f"{found.shown.removesuffix('/api')} {state} ({whose})")
