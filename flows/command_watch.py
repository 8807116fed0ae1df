"""`prior3d watch RUN`: look at a run while it trains."""

import importlib.util
import os
import sys
import time
import webbrowser
from pathlib import Path

from flows.engine.declaration import read_yaml
from flows.engine.project import find_project
from flows.engine.run import Run
from flows.request import Parser
from prior3d.errors import Prior3dError

PORT = 8080
LOOK_EVERY_S, IDLE_S = 1.0, 0.05
NEEDS = '"viser>=1.1,<2"'


def watch(words: list[str]) -> int:
    """`prior3d watch RUN`: serve the view until the run has ended, or ctrl-C."""
    what = "Look at a run while it trains: its field from any side, its loss, its previews. Ends when the run ends."
    parser = Parser(prog="prior3d watch", description=what)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--port", type=int, default=PORT, help=f"on this machine only (default: {PORT}, or the next)")
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    args = parser.parse_args(words)
    if not 1 <= args.port <= 65_535:
        raise Prior3dError(f"--port {args.port}: use 1 to 65535")
    run = Run(find_project(Path.cwd()), args.run).require()
    if importlib.util.find_spec("viser") is None:
        raise Prior3dError(f"prior3d watch needs viser; type: {sys.executable} -m pip install {NEEDS}")
    from flows.watching.state import is_running

    if not is_running(run):
        raise Prior3dError(f"nothing works on run {run.name} now; what it has made: prior3d open {run.name}")
    return _serve(run, args.port, args.open)


def _serve(run: Run, port: int, in_browser: bool) -> int:
    import torch

    from flows.watching.seeing import Seen
    from flows.watching.state import is_running, look
    from flows.watching.viewer import Viewer

    torch.set_num_threads(1)
    os.nice(5)  # the run comes first
    stages = list(read_yaml(run.folder / "method.yaml").get("stages") or {})
    viewer, seen, looked = Viewer(run.name, port), Seen(run), 0.0
    _print(f"watching run {run.name}: {viewer.url}  (ctrl-C leaves; the run goes on)")
    if in_browser:
        webbrowser.open(viewer.url)
    try:
        while True:
            if time.monotonic() - looked > LOOK_EVERY_S:
                running, state = is_running(run), look(run, stages)
                seen.look(state.field)
                viewer.tell(state, seen, "" if running else "the run has ended")
                looked = time.monotonic()
                if not running:
                    viewer.draw(seen)
                    return _print(f"run {run.name} has ended; next: prior3d open {run.name}")
            if not viewer.draw(seen):
                time.sleep(IDLE_S)
    except KeyboardInterrupt:
        return _print(f"left; run {run.name} goes on")
    finally:
        viewer.close()


def _print(text: str) -> int:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return 0
