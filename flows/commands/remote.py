"""The commands that share results between machines: remote, push, pull."""

from pathlib import Path
from typing import Any

from flows.engine.dvc_store import DvcStore
from flows.engine.project import find_project
from flows.engine.run import Run
from flows.engine.run_files import read_lock
from flows.terminal import Parser, say, warn
from flows.versions.history import find_version
from flows.versions.objects import Objects
from prior3d.errors import Prior3dError


def remote(words: list[str]) -> int:
    """`prior3d remote [add FOLDER]`."""
    parser = Parser.of("remote", "Say where results are shared, or name a place for them.")
    parser.add_argument("action", metavar="add", nargs="?", help="name another place")
    parser.add_argument(
        "place", metavar="FOLDER", nargs="?", help="a folder that all machines see; it is made if need be"
    )
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    if args.action is None:
        return say(DvcStore(project.root).remote())
    if args.action != "add" or args.place is None:
        raise Prior3dError(f"prior3d remote {args.action}: write prior3d remote add FOLDER")
    folder = Path(args.place).expanduser().resolve()
    if "://" in args.place:
        raise Prior3dError(f"prior3d remote add {args.place}: only folders yet; for others: dvc remote add --default")
    if folder.is_file() or folder.is_relative_to(Objects(project.root).folder.parents[1].resolve()):
        raise Prior3dError(f"prior3d remote add {args.place}: it is a file, or this project's own cache; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    DvcStore(project.root).add_remote(str(folder))
    return say(f"results are shared in {folder}; next: prior3d push RUN")


def push(words: list[str]) -> int:
    """`prior3d push RUN`."""
    what = "Put the files of all versions of a run, and all results that this project knows, into the remote."
    run = _run("push", what, words)
    moved = DvcStore(run.project.root).push(run.folder, _entries(run))
    if moved.gone:
        warn(f"{moved.gone} outputs of earlier versions were collected here, so they were left out")
    has = f"which has {moved.results} results of this project"
    return say(f"{run.name}: {moved.files} files are new in the remote, {has}")


def pull(words: list[str]) -> int:
    """`prior3d pull RUN`."""
    what = (
        "Take the files of all versions of a run, and all results, from the remote, and put the present version in "
        "place. The run's folder itself (locks, records, inputs) comes by git or as a copy."
    )
    run = _run("pull", what, words)
    store = DvcStore(run.project.root)
    with run.held():
        moved = store.pull(run.folder, _entries(run))
        locked = run.locked()
        if locked:
            missing = find_version(run.project, run.name).collected()
            if missing:
                where = f"where {run.name} was made, give: prior3d push {run.name}"
                raise Prior3dError(f"{run.name}: {len(missing)} of its files are not in the remote; {where}")
            store.checkout(run.dvc_file, list(locked))
    taken = f"{moved.files} files are new here, and {moved.results} results are known"
    return say(f"{run.name}: {taken}; next: prior3d open {run.name}")


def _run(command: str, what: str, words: list[str]) -> Run:
    name = Parser.of(command, what, "run").parse_args(words).run
    return Run(find_project(Path.cwd()), name).require()


def _entries(run: Run) -> list[dict[str, Any]]:
    """The stages of the present lock and of all versions."""
    files = [run.folder / "dvc.lock", *run.versions()]
    return [dict(entry) for file in files for entry in read_lock(file).values()]
