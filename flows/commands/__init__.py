"""The commands, one module for those that belong together. Each is imported when it is called."""

import importlib
from collections.abc import Callable

PLACES = {
    "run": "flows.commands.run:run",
    "import": "flows.commands.imports:import_file",
    "plan": "flows.commands.run:plan",
    "sweep": "flows.commands.sweep:sweep",
    "deploy": "flows.commands.deploy:deploy",
    "accept": "flows.commands.running:accept",
    "init": "flows.commands.project:init",
    "server": "flows.commands.project:server",
    "doctor": "flows.commands.doctor:doctor",
    "ls": "flows.commands.show:list_runs",
    "status": "flows.commands.show:status",
    "watch": "flows.commands.watch:watch",
    "studio": "flows.commands.studio:studio",
    "open": "flows.commands.pages:open_run",
    "compare": "flows.commands.pages:compare",
    "gallery": "flows.commands.pages:gallery",
    "log": "flows.commands.versions:log",
    "diff": "flows.commands.versions:diff",
    "restore": "flows.commands.versions:restore",
    "export": "flows.commands.versions:export",
    "whence": "flows.commands.provenance:whence",
    "find": "flows.commands.provenance:find",
    "reproduce": "flows.commands.reproduce:reproduce",
    "verify": "flows.commands.verify:verify",
    "rm": "flows.commands.remove:remove_run",
    "gc": "flows.commands.versions:gc",
    "remote": "flows.commands.remote:remote",
    "push": "flows.commands.remote:push",
    "pull": "flows.commands.remote:pull",
    "methods": "flows.commands.methods:list_methods",
    "stage": "flows.commands.methods:stage",
    "completion": "flows.commands.completion:completion",
    "priors": "flows.commands.priors:priors",
}


def command(name: str) -> Callable[[list[str]], int]:
    """The function that carries out a command (KeyError without one); it takes the words behind the command's name."""
    module, _, function = PLACES[name].partition(":")
    found: Callable[[list[str]], int] = getattr(importlib.import_module(module), function)
    return found
