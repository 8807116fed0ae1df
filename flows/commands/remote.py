"""The commands that share results between machines: remote, push, pull."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flows.engine.dvc_store import DvcStore
from flows.engine.project import Project, find_project
from flows.engine.run import Run
from flows.engine.run_files import read_lock
from flows.engine.shared_store import SharedStore
from flows.terminal import Parser, say, warn
from flows.versions.history import find_version
from flows.versions.objects import Objects
from prior3d.errors import Prior3dError

S3_OPTIONS = {"connect_timeout": "5", "read_timeout": "60"}  # seconds


def remote(words: list[str]) -> int:
    """`prior3d remote [add PLACE]`."""
    parser = Parser.of("remote", "Say where results are shared, or name a place for them.")
    parser.add_argument("action", metavar="add", nargs="?", help="name another place")
    parser.add_argument(
        "place",
        metavar="PLACE",
        nargs="?",
        help="a folder that all machines see (made if need be), or s3://BUCKET/FOLDER",
    )
    endpoint = "of an S3 store that is not Amazon's; keys come from the environment or from ~/.aws"
    parser.add_argument("--endpoint", metavar="URL", help=endpoint)
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    store = SharedStore(project.root)
    if args.action is None:
        return say(store.url())
    if args.action != "add" or args.place is None:
        raise Prior3dError(f"prior3d remote {args.action}: write prior3d remote add FOLDER, or s3://BUCKET/FOLDER")
    if "://" in args.place:
        place = _bucket(args.place)
        store.name(place, S3_OPTIONS | ({"endpointurl": args.endpoint} if args.endpoint else {}))
    else:
        place = _folder(project, args.place, args.endpoint)
        store.name(place, {})
    return say(f"results are shared in {place}; runs put them there from now on. Earlier runs: prior3d push RUN")


def _folder(project: Project, text: str, endpoint: str | None) -> str:
    folder = Path(text).expanduser().resolve()
    if endpoint:
        raise Prior3dError(f"prior3d remote add {text} --endpoint: only s3:// has an endpoint; leave it out")
    if folder.is_file() or folder.is_relative_to(Objects(project.root).folder.parents[1].resolve()):
        raise Prior3dError(f"prior3d remote add {text}: it is a file, or this project's own cache; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _bucket(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme != "s3" or not rest.strip("/"):
        raise Prior3dError(
            f"prior3d remote add {text}: give a folder, or s3://BUCKET/FOLDER; for others: dvc remote add --default"
        )
    if find_spec("dvc_s3") is None:
        raise Prior3dError(f"prior3d remote add {text}: the extra s3 is missing; type: pip install 'prior3d[s3]'")
    return text.rstrip("/")


def push(words: list[str]) -> int:
    """`prior3d push RUN`."""
    what = "Put the files of all versions of a run, and all results that this project knows, into the remote."
    run = _run("push", what, words)
    moved = SharedStore(run.project.root).push(run.folder, _entries(run))
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
        moved = SharedStore(run.project.root).pull(run.folder, _entries(run))
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
