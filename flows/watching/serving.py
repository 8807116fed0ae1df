"""The loop behind `prior3d watch`: read the run's files, show what is new."""

import os
import time
import webbrowser

import torch

from flows.engine.run import Run
from flows.engine.run_files import read_method
from flows.terminal import say
from flows.watching.live_view import NO_FIELD, LiveView
from flows.watching.state import is_running, read_state
from flows.watching.viewer import Viewer
from prior3d.errors import Prior3dError

READ_EVERY_S, IDLE_S = 1.0, 0.05


def serve(run: Run, port: int, in_browser: bool) -> str:
    """Serve a run's viewer until the run ends or ctrl-C is pressed; returns what to say then.

    A run that has ended before shows the last field that it left, until ctrl-C; if it is started again, it is followed.

    Raises:
        Prior3dError: the run has ended, and left no field that can be shown.
    """
    torch.set_num_threads(1)
    os.nice(5)  # the run comes first
    stages = list(read_method(run.folder).get("stages") or {})
    view, follows = LiveView(run), is_running(run)
    if not follows:
        _show_what_is_left(view, stages)
    viewer, read_at = Viewer(run.name, port), 0.0
    if follows:
        say(f"watching run {run.name}: {viewer.url}  (ctrl-C stops watching; the run continues)")
    else:
        say(f"run {run.name} has ended; the field that it left: {viewer.url}  (ctrl-C stops watching)")
    if in_browser:
        webbrowser.open(viewer.url)
    try:
        while True:
            if time.monotonic() - read_at > READ_EVERY_S:
                running, state = is_running(run), read_state(run, stages)
                view.refresh(state.field)
                viewer.show_state(state, view, "" if running else "the run has ended")
                read_at = time.monotonic()
                if follows and not running:
                    viewer.draw(view)
                    return f"run {run.name} has ended; next: prior3d open {run.name}"
                follows = running
            if not viewer.draw(view):
                time.sleep(IDLE_S)
    except KeyboardInterrupt:
        return f"stopped watching; run {run.name} continues" if follows else f"next: prior3d open {run.name}"
    finally:
        viewer.close()


def _show_what_is_left(view: LiveView, stages: list[str]) -> None:
    """Read the last field of a run that has ended (raises Prior3dError: there is none)."""
    view.refresh(read_state(view.run, stages).field)
    if view.field is None:
        name, why = view.run.name, "it left no field of an object" if view.problem in ("", NO_FIELD) else view.problem
        raise Prior3dError(f"run {name} has ended, and {why}; to see its results: prior3d open {name}")
