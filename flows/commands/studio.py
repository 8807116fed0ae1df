"""`prior3d studio`: make, watch and compare runs in the browser."""

from pathlib import Path

from flows.engine.project import find_project, init_project
from flows.studio.serving import serve
from flows.terminal import Parser, say
from prior3d.errors import Prior3dError


def studio(words: list[str]) -> int:
    """`prior3d studio`: serve the page until ctrl-C."""
    what = "A page on this machine to make runs, watch them, compare them and download their meshes."
    parser = Parser.of("studio", what)
    parser.add_argument(
        "--port", type=int, help="port on this machine (default: that of last time, or the next free one)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open it in the browser")
    args = parser.parse_args(words)
    if args.port is not None and not 1 <= args.port <= 65_535:
        raise Prior3dError(f"--port {args.port}: use 1 to 65535")
    try:
        project = find_project(Path.cwd())
    except Prior3dError:
        project, _ = init_project(Path.cwd())
        say(f"made a project: {project.root}")
    return say(serve(project, args.port, not args.no_browser))
