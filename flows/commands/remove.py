"""`prior3d rm RUN`: remove a run with all its versions; what it made stays in DVC's cache until `gc`."""

import shutil
import sys
from pathlib import Path

from flows.engine.project import find_project
from flows.engine.run import Run
from flows.terminal import Parser, say, size_text
from prior3d.errors import Prior3dError


def remove_run(words: list[str]) -> int:
    """`prior3d rm RUN ...`."""
    parser = Parser(prog="prior3d rm", description=__doc__)
    parser.add_argument("runs", metavar="RUN", nargs="+")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    runs = [_existing(Run(project, name)) for name in dict.fromkeys(args.runs)]
    for run in runs:
        say(_described(run))
    if not args.yes and not _confirmed(len(runs)):
        return say("nothing was removed")
    for run in runs:
        with run.held():  # a run that is being made is not removed
            shutil.rmtree(run.folder)
    kept = "what they made stays in DVC's cache" if len(runs) > 1 else "what it made stays in DVC's cache"
    return say(f"removed {', '.join(run.name for run in runs)}; {kept} until: prior3d gc")


def _existing(run: Run) -> Run:
    """A run whose folder is there, declared or not (raises Prior3dError)."""
    if run.folder.is_symlink() or not run.folder.is_dir():
        run.require()
        raise Prior3dError(f"run {run.name}: {run.folder} is no folder of its own; remove it by hand")
    return run


def _described(run: Run) -> str:
    files = [file for file in run.folder.rglob("*") if file.is_file() and not file.is_symlink()]
    size = sum(file.stat().st_size for file in files)
    n = len(run.versions())
    return f"{run.name}: {n} version{'s' * (n != 1)}, {size_text(size)} in {run.folder}"


def _confirmed(n: int) -> bool:
    sys.stdout.write(f"remove {'it' if n == 1 else 'them'}, with all versions? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
