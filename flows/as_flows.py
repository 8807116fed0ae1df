"""Every method as a Prefect flow: `from flows.as_flows import latent_nerf; latent_nerf.serve(name="mine")`.

Each is made of the method's one declaration. Its parameters are those of `prior3d.run`, so prompt and seed stand on
Prefect's pages, and its form asks for them. Stages are tasks of the flow; DVC is the only cache, as everywhere.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from flows.api import words_of
from flows.engine.events import Events
from flows.engine.method import Method
from flows.engine.orchestration import flow_of, in_flow
from flows.engine.project import find_project
from flows.engine.session import carry_out
from flows.methods import METHODS
from flows.progress import make_display
from flows.request import make_request
from flows.terminal import show, warn


def run_method(
    method: Method,
    *,
    name: str | None = None,
    preset: str | None = None,
    seed: int | None = None,
    set: dict[str, Any] | None = None,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "torch",
    restore: bool = True,
    project: str | None = None,
    **inputs: Any,
) -> dict[str, str]:
    """Make a run inside the flow that is running; returns the outcome of each stage that had something to do."""
    place = find_project(Path(project) if project else Path.cwd())
    options = {"name": name, "preset": preset, "seed": seed, "device": device, "precision": precision, "engine": engine}
    words = [*words_of(method, inputs, options, set or {}), *(["--no-restore"] if not restore else [])]
    request = make_request(place, method, words)
    events = Events()
    display = make_display([stage.name for stage in request.declaration.method.stages], plain=True)
    events.listen(display)
    tell: Callable[[str], None] = partial(show, sys.stdout)
    how = replace(request.options, make=in_flow)
    try:
        report = carry_out(request.run, request.declaration, request.settings, how, events, lambda _: None, warn, tell)
    finally:
        display.close()
    return dict(report.outcomes)


FLOWS = {name: flow_of(method, partial(run_method, method), __name__) for name, method in METHODS.items()}
globals().update({made.fn.__name__: made for made in FLOWS.values()})
