"""`prior3d watch RUN`: see a run while it trains, or the field that it left."""

import importlib.util
import sys
from pathlib import Path

from flows.engine.project import find_project
from flows.engine.run import Run
from flows.terminal import Parser, say
from prior3d.errors import Prior3dError

PORT = 8080
NEEDS = '"viser>=1.1,<2"'


def watch(words: list[str]) -> int:
    """`prior3d watch RUN`: serve the viewer until the run ends or ctrl-C is pressed."""
    what = (
        "Watch a run while it trains: its field from any side, its loss, its previews. Ends when the run ends. "
        "Of a run that has ended it shows the field that is left, until ctrl-C."
    )
    parser = Parser.of("watch", what, "run")
    port = f"port on this machine (default: {PORT}, or the next free one)"
    parser.add_argument("--port", type=int, default=PORT, help=port)
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    args = parser.parse_args(words)
    if not 1 <= args.port <= 65_535:
        raise Prior3dError(f"--port {args.port}: use 1 to 65535")
    run = Run(find_project(Path.cwd()), args.run).require()
    if importlib.util.find_spec("viser") is None:
        raise Prior3dError(f"prior3d watch needs viser; type: {sys.executable} -m pip install {NEEDS}")
    from flows.watching.serving import serve  # start-up: torch and viser, which the errors above do not need

    return say(serve(run, args.port, args.open))
