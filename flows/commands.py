"""The commands, each imported when it is called."""

import importlib
from collections.abc import Callable

PLACES = {
    "run": "flows.command_run:run",
    "plan": "flows.command_run:plan",
    "init": "flows.command_show:init",
    "ls": "flows.command_show:list_runs",
    "status": "flows.command_show:status",
    "open": "flows.command_pages:open_run",
    "compare": "flows.command_pages:compare",
    "gallery": "flows.command_pages:gallery",
    "watch": "flows.command_watch:watch",
    "log": "flows.command_versions:log",
    "diff": "flows.command_versions:diff",
    "restore": "flows.command_versions:restore",
    "export": "flows.command_versions:export",
    "gc": "flows.command_versions:gc",
    "methods": "flows.command_show:list_methods",
    "stage": "flows.command_show:stage",
    "accept": "flows.command_show:accept",
    "priors": "flows.command_priors:priors",
    "server": "flows.command_show:server",
    "doctor": "flows.doctor:doctor",
}


def _lazy(place: str) -> Callable[[list[str]], int]:
    def call(words: list[str]) -> int:
        module, _, function = place.partition(":")
        return int(getattr(importlib.import_module(module), function)(words))

    return call


COMMANDS: dict[str, Callable[[list[str]], int]] = {name: _lazy(place) for name, place in PLACES.items()}
