"""The commands that make pages: open, compare, gallery."""

import webbrowser
from pathlib import Path

from flows.engine.failures import read_failures
from flows.engine.project import Project, find_project
from flows.engine.run import Run
from flows.terminal import A_VERSION, Parser, say, size_text, warn
from flows.versions.gallery import gallery_of
from flows.versions.history import Version, find_version
from flows.versions.page import MOST_VERSIONS, page_of
from prior3d.errors import Prior3dError
from prior3d.files import write_whole

PAGES = (".html", ".htm")
TO = "where to write the page (default: in .prior3d/pages)"


def open_run(words: list[str]) -> int:
    """`prior3d open RUN`."""
    parser = Parser.of("open", "Make the page of a run, and open it in the browser.")
    parser.add_argument("version", metavar="RUN", help=A_VERSION)
    parser.add_argument("--to", type=Path, metavar="FILE", help=TO)
    parser.add_argument("--no-browser", action="store_true", help="do not open it")
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    return _finish(
        project, page_of([_version(project, args.version)]), f"run-{args.version}", args.to, not args.no_browser
    )


def _version(project: Project, text: str) -> Version:
    """What a person names; also a run that has made nothing because its first stage failed."""
    run = Run(project, text) if "@" not in text else None
    made_nothing = run is not None and run.exists() and not (run.folder / "dvc.lock").is_file()
    if run is not None and made_nothing and read_failures(run.folder):
        return Version(run, run.name, "", {}, None, None)
    return find_version(project, text)


def compare(words: list[str]) -> int:
    """`prior3d compare A B ...`."""
    parser = Parser.of("compare", "Two to six runs or versions side by side on one page.")
    parser.add_argument("versions", metavar="A B", nargs="+", help=A_VERSION)
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument("--to", type=Path, metavar="FILE", help=TO)
    args = parser.parse_args(words)
    if not 2 <= len(args.versions) <= MOST_VERSIONS:
        raise Prior3dError(
            f"prior3d compare takes 2 to {MOST_VERSIONS} runs or versions, found {len(args.versions)}; "
            "one alone: prior3d open RUN; all runs: prior3d gallery"
        )
    project = find_project(Path.cwd())
    versions = [find_version(project, text) for text in args.versions]
    return _finish(project, page_of(versions), f"compare-{'-'.join(args.versions)}", args.to, args.open)


def gallery(words: list[str]) -> int:
    """`prior3d gallery`."""
    parser = Parser.of("gallery", "All runs on one page, to sort and filter.")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument("--to", type=Path, metavar="FILE", help=TO)
    args = parser.parse_args(words)
    project = find_project(Path.cwd())
    page, _, problems = gallery_of(project)
    for problem in problems:
        warn(f"left out: {problem}")
    return _finish(project, page, "gallery", args.to, args.open)


def _finish(project: Project, page: str, name: str, to: Path | None, in_browser: bool) -> int:
    safe = "".join(c if c.isalnum() or c in "-_.@" else "-" for c in name)[:120]
    path = (to.expanduser() if to else project.state / "pages" / f"{safe}.html").absolute()
    if path.is_dir():
        raise Prior3dError(f"--to {path}: it is a folder; name a file in it, e.g. {path / f'{safe}.html'}")
    if path.suffix.lower() not in PAGES:  # also where something lies there: a page takes the place of a page alone
        raise Prior3dError(f"--to {path}: it is no name of a page; let it end in .html")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page)
    say(f"{path}  ({size_text(path.stat().st_size)})")
    if in_browser:
        webbrowser.open(path.as_uri())
    return 0
