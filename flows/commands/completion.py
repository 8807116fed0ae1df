"""`prior3d completion SHELL`: what a shell needs to complete command lines of prior3d.

The shell asks this command for the words that may come next: commands, methods, stages, runs of this project, options
out of each command's own help. Where it knows none, the shell completes file names.
"""

import contextlib
import io
import re
from pathlib import Path

from flows.commands import PLACES, command
from flows.engine.project import find_project
from flows.methods import METHODS
from flows.terminal import Parser, say
from prior3d.errors import Prior3dError

SCRIPTS = {
    "bash": """\
_prior3d() {
    local IFS=$'\\n'
    COMPREPLY=($(prior3d completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _prior3d prior3d""",
    "zsh": """\
#compdef prior3d
_prior3d() {
    local -a found
    found=(${(f)"$(prior3d completion words -- ${words[2,CURRENT]} 2>/dev/null)"})
    if (( $#found )); then compadd -- $found; else _files; fi
}
compdef _prior3d prior3d""",
    "fish": """\
complete -c prior3d -a '(prior3d completion words -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'""",
}
PLACES_OF = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/config.fish"}
NAMES_RUNS = ("status", "open", "watch", "compare", "log", "diff", "restore", "export", "rm", "accept", "push", "pull",
              "verify")  # fmt: skip
PRIORS = ("ls", "show", "check", "train", "sample", "fuse", "lock", "accept")
WORDS = "words"


def completion(words: list[str]) -> int:
    """`prior3d completion bash|zsh|fish`."""
    if words[:1] == [WORDS]:
        found = candidates(words[2:] if words[1:2] == ["--"] else words[1:])
        return say("\n".join(found)) if found else 0
    lines = [f"{shell}: add to {PLACES_OF[shell]}: {_line(shell)}" for shell in SCRIPTS]
    parser = Parser.of("completion", "Print what a shell needs to complete command lines.\n" + "\n".join(lines))
    parser.add_argument("shell", metavar="SHELL", choices=tuple(SCRIPTS), help="bash, zsh or fish")
    return say(SCRIPTS[parser.parse_args(words).shell])


def _line(shell: str) -> str:
    return "prior3d completion fish | source" if shell == "fish" else f'eval "$(prior3d completion {shell})"'


def candidates(words: list[str]) -> list[str]:
    """Words that may stand in place of the last one, which may be empty or begun; none where a file may stand."""
    *before, begun = words or [""]
    return sorted(word for word in _possible(before, begun) if word.startswith(begun))


def _possible(before: list[str], begun: str) -> list[str]:
    if not before:
        return [*PLACES, "--help", "--version"]
    name, *rest = before
    if begun.startswith("-"):
        return _options(name, rest)
    if rest and rest[-1].startswith("-"):
        return []  # the value of an option
    if name in ("run", "plan"):
        return [*METHODS, *_runs()] if not rest else []
    if name == "stage":
        return sorted({stage.name for method in METHODS.values() for stage in method.stages}) if not rest else []
    if name == "priors":
        return list(PRIORS) if not rest else []
    if name == "completion":
        return list(SCRIPTS)
    return _runs() if name in NAMES_RUNS else []


def _runs() -> list[str]:
    """The runs of the project that the current folder belongs to, if it belongs to one."""
    try:
        project = find_project(Path.cwd())
    except Prior3dError:
        return []
    return [file.parent.name for file in project.runs.glob("*/method.yaml")]


def _options(name: str, rest: list[str]) -> list[str]:
    """The options that a command's help names; of a method, that of the method."""
    if name not in PLACES or name == "completion":
        return []
    shown = io.StringIO()
    words = [*rest[:1], "--help"] if name in ("run", "plan", "priors") and rest else ["--help"]
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit, Prior3dError):
        command(name)(words)
    usage = shown.getvalue().partition("parameters")[0]
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", usage)))
