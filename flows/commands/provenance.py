"""The commands about where files came from: whence, find."""

import contextlib
import json
from dataclasses import asdict
from pathlib import Path

from flows.engine.project import Project, find_project
from flows.methods import find_method
from flows.provenance.finding import Wanted, condition, rows_of
from flows.provenance.finding import find as find_versions
from flows.provenance.whence import as_json, as_text, origin_of
from flows.terminal import Parser, say, table
from prior3d.errors import Prior3dError

PROJECT = "look this project through (default: the one that the file or this folder is in)"
WHERE = (
    "only versions of which this holds: a measure, a parameter (STAGE.NAME) or `seconds`, compared by > < >= <= = !=; "
    "may be repeated, e.g. --where 'mesh_psnr>28'"
)


def whence(words: list[str]) -> int:
    """`prior3d whence FILE`."""
    what = "Where a file came from: what an exported file says itself, and what the project knows of it."
    parser = Parser.of("whence", what)
    parser.add_argument("file", metavar="FILE", type=Path, help="an artifact, an exported file, or a copy of either")
    parser.add_argument("--project", type=Path, metavar="DIR", help=PROJECT)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(words)
    origin = origin_of(args.file.expanduser(), project_of(args.file.expanduser(), args.project))
    return say(json.dumps(as_json(origin), indent=1) if args.json else as_text(origin))


def project_of(file: Path, named: Path | None) -> Project | None:
    """The project to look a file up in: the one that a person names, else the file's, else this folder's."""
    if named is not None:
        return find_project(named.expanduser())
    for place in (file.absolute().parent, Path.cwd()):
        with contextlib.suppress(Prior3dError):
            return find_project(place)
    return None


def find(words: list[str]) -> int:
    """`prior3d find`."""
    parser = Parser.of("find", "Versions of runs by what they were asked for and what they measured.")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="a part of the prompt or file name, or 'a * mug'")
    parser.add_argument("--method", default="", metavar="METHOD", help="made by this method")
    parser.add_argument("--prior", default="", metavar="NAME|DIGEST", help="made with this prior")
    parser.add_argument("--where", action="append", default=[], metavar="CONDITION", help=WHERE)
    parser.add_argument("--newest", action="store_true", help="only the newest version of each run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(words)
    method = find_method(args.method).name if args.method else ""
    wanted = Wanted(args.prompt, method, args.prior, tuple(map(condition, args.where)))
    matches = find_versions(find_project(Path.cwd()), wanted, not args.newest)
    if args.json:
        return say(json.dumps([asdict(match) for match in matches], indent=1))
    return say(table(rows_of(matches)) if matches else "no version fits; see all runs: prior3d ls")
