"""The loop behind `prior3d watch`: read the run's files, show what is new."""

import os
import time
import webbrowser

import torch

from flows.engine.run import Run
from flows.engine.run_files import read_method
from flows.terminal import say
from flows.watching.live_view import LiveView
from flows.watching.state import is_running, read_state
from flows.watching.viewer import Viewer

READ_EVERY_S, IDLE_S = 1.0, 0.05


def serve(run: Run, port: int, in_browser: bool) -> str:
    """Serve a run's viewer until the run ends or ctrl-C is pressed; returns what to say then."""
    torch.set_num_threads(1)
    os.nice(5)  # the run comes first
    stages = list(read_method(run.folder).get("stages") or {})
    viewer, view, read_at = Viewer(run.name, port), LiveView(run), 0.0
    say(f"watching run {run.name}: {viewer.url}  (ctrl-C stops watching; the run continues)")
    if in_browser:
        webbrowser.open(viewer.url)
    try:
        while True:
            if time.monotonic() - read_at > READ_EVERY_S:
                running, state = is_running(run), read_state(run, stages)
                view.refresh(state.field)
                viewer.show_state(state, view, "" if running else "the run has ended")
                read_at = time.monotonic()
                if not running:
                    viewer.draw(view)
                    return f"run {run.name} has ended; next: prior3d open {run.name}"
            if not viewer.draw(view):
                time.sleep(IDLE_S)
    except KeyboardInterrupt:
        return f"stopped watching; run {run.name} continues"
    finally:
        viewer.close()
