"""`prior3d run` and `prior3d plan`: their help; the work is in flows/commands/running.py."""

import contextlib
from types import ModuleType

from flows.engine.fork_client import ForkClient
from flows.engine.method import Method
from flows.method_options import parser_for
from flows.methods import METHODS
from flows.terminal import say, table

RUN_USAGE = """\
usage: prior3d run METHOD ...
       prior3d run RUN [--set STAGE.PARAMETER=VALUE ...]   that run again, as it was asked for, with changes
       prior3d run --from FILE.yaml ...                    what a run's method.yaml asks for, or a file like it

methods:
{methods}

see: prior3d run METHOD --help"""
PLAN_USAGE = """\
usage: prior3d plan RUN [--set STAGE.PARAMETER=VALUE ...]
       prior3d plan METHOD ... (with the options of run)

methods:
{methods}"""


def run(words: list[str]) -> int:
    """`prior3d run METHOD ...`: make a run, or resume it."""
    if not words or words[0] in ("-h", "--help"):
        return say(RUN_USAGE.format(methods=_methods()))
    if words[0] in METHODS and _asks_help(words):
        return _print_help(METHODS[words[0]], "run")
    with ForkClient(None) as client:
        if words[0] in METHODS:
            _preload(client, METHODS[words[0]])
        code: int = _running().run_words(words, client)
    return code


def plan(words: list[str]) -> int:
    """`prior3d plan RUN` or `prior3d plan METHOD ...`: what would run and why. Writes nothing."""
    if not words or words[0] in ("-h", "--help"):
        return say(PLAN_USAGE.format(methods=_methods()))
    method = METHODS.get(words[0])
    if method is not None and _asks_help(words):
        return _print_help(method, "plan")
    running = _running()
    code: int = running.plan_run(words[0]) if method is None and len(words) == 1 else running.plan_words(words)
    return code


def _running() -> ModuleType:
    from flows.commands import running  # start-up: help does not need the engine

    return running


def _preload(client: ForkClient, method: Method) -> None:
    """Have what all stages of a method import, such as torch, imported beside all that comes before the first stage."""
    from flows.engine.fingerprint import libraries  # start-up: help does not need it

    shared = set.intersection(*(set(libraries(stage.module)) for stage in method.stages))
    with contextlib.suppress(OSError):  # the server is gone: whoever asks for a stage says so
        client.preload(sorted(shared))


def _methods() -> str:
    return table([[f"  {m.name}", m.summary] for m in METHODS.values()])


def _asks_help(words: list[str]) -> bool:
    return "-h" in words or "--help" in words


def _print_help(method: Method, command: str) -> int:
    from flows.reference import method_reference  # start-up: it imports the method's stages, and pydantic with them

    parser_for(method, command, method_reference(method)).print_help()
    return 0
