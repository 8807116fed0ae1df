"""prior3d from Python: `import prior3d; result = prior3d.run("latent-nerf", prompt="a blue mug")`.

The same engine, cache and versions as the command line. `prior3d` hands these names on when they are first asked for
(`prior3d/__init__.py`); the library below it imports nothing of this floor.
"""

import html
import json
import sys
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from flows.engine.events import Display, Events
from flows.engine.method import Method
from flows.engine.plan import Plan
from flows.engine.project import Project, find_project, init_project
from flows.engine.run import Run
from flows.engine.run_files import Measure
from flows.engine.session import carry_out, wanted_stages
from flows.method_options import option_of
from flows.methods import METHODS, find_method
from flows.nameless_user import give_name_and_home
from flows.progress import make_display
from flows.request import Request, make_request
from flows.terminal import show, warn
from flows.versions.history import Version, find_version
from flows.versions.images import data_url
from flows.versions.page import mesh_of, page_of
from flows.versions.render import render
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

HEIGHT_PX = 480  # of what is shown in a notebook


@dataclass(frozen=True)
class Page:
    """An HTML page that needs no network; a notebook shows it in a frame."""

    html: str
    height_px: int = HEIGHT_PX

    def _repr_html_(self) -> str:
        """A frame of its own; the page's content security policy lets it fetch nothing."""
        frame = f'<iframe srcdoc="{html.escape(self.html)}" width="100%" height="{self.height_px}"'
        return f'{frame} style="border: 0"></iframe>'

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the page to a file, and return its path."""
        file = Path(path)
        file.write_text(self.html, encoding="utf-8")
        return file


@dataclass(frozen=True)
class Result:
    """A version of a run.

    Attributes:
        name: the run, as the command line calls it.
        version: its number; None for a run that was stopped before its last stage.
        folder: the run's folder, with a folder of each stage in it.
    """

    name: str
    version: int | None
    folder: Path
    _found: Version

    @property
    def mesh(self) -> Path:
        """The textured mesh, a GLB (raises Prior3dError if the run has none yet)."""
        found = mesh_of(self._found)
        place = self._found.place(found[0], found[1]) if found else None
        if found is None or place is None:
            raise Prior3dError(f"{self.name}: this run has no GLB; see its stages with: prior3d status {self.name}")
        present = self.folder / found[1]
        return present if self._found.is_present and present.is_file() else place

    @property
    def metrics(self) -> dict[str, dict[str, Measure]]:
        """Stage -> measurement -> {value, unit, n, higher_is_better}."""
        return self._found.metrics()

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """Stage -> parameter -> value."""
        return self._found.params()

    @property
    def versions(self) -> list["Result"]:
        """All versions of the run, oldest first."""
        numbers = [int(file.stem) for file in self._found.run.versions()]
        return [_result(self._found.run.project, f"{self.name}@{number}") for number in numbers]

    def show(self) -> Page:
        """The mesh, to turn with the mouse: leave it as the last line of a notebook's cell."""
        content = data_url(self.mesh.read_bytes(), "model/gltf-binary")
        return Page(render("mesh.html.j2", ["model-viewer.min.js"], title=self.name, model=content))

    def report(self) -> Page:
        """Everything about this version: meshes, turntables, measurements, parameters."""
        return Page(page_of([self._found]), 2 * HEIGHT_PX)

    def compare(self, *others: "Result") -> Page:
        """Show this result beside others."""
        return Page(page_of([self._found, *(other._found for other in others)]), 2 * HEIGHT_PX)

    def __repr__(self) -> str:
        number = f", version {self.version}" if self.version else ""
        return f"<prior3d run {self.name}{number}: {self.folder}>"


def run(
    method: str,
    *,
    name: str | None = None,
    preset: str | None = None,
    seed: int | None = None,
    set: dict[str, Any] | None = None,
    device: str = "auto",
    precision: str = "auto",
    engine: str = "torch",
    restore: bool = True,
    stop_after: str | None = None,
    prefect: bool = False,
    project: str | PathLike[str] | None = None,
    **inputs: Any,
) -> Result:
    """Make a run, or resume it; what an earlier call has made is not made again.

    Args:
        method: one of `prior3d.methods()`.
        name: the run's folder under data/runs; None: made from the prompt.
        preset: `toy` or `paper`; None: by the prior.
        seed: of every stage.
        set: parameters by their dotted names, e.g. `{"coarse_nerf.steps": 100}`.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: of the priors' networks.
        engine: what runs their U-Nets: torch or openvino.
        restore: False computes every stage, even if the cache holds its result.
        stop_after: the last stage to make.
        prefect: whether a Prefect server shows the run.
        project: a folder in a project; None: the current one. A folder in no project becomes one.
        inputs: what the method takes, such as `prompt=`, `image=`, `prior=`; `prior3d run METHOD --help` lists them.

    Raises:
        Prior3dError: in one line, what is wrong with the request, or what failed. Call again to resume.
    """
    options = {"name": name, "preset": preset, "seed": seed, "device": device, "precision": precision, "engine": engine}
    words = ["--no-restore"] * (not restore) + ["--plain"] * (not prefect)
    words += words_of(find_method(method), inputs, options | {"stop-after": stop_after}, set or {})
    return _made(find_method(method), words, project)


def _made(method: Method, words: list[str], project: str | PathLike[str] | None) -> Result:
    """What a command line of that method makes in a project."""
    place = _project(Path.cwd() if project is None else Path(project))
    return _result(place, _carry_out(make_request(place, method, words)).name)


def load(version: str, *, project: str | PathLike[str] | None = None) -> Result:
    """A run that is there: `mug`, or one of its versions: `mug@3` (raises Prior3dError)."""
    return _result(find_project(Path.cwd() if project is None else Path(project)), version)


def methods() -> dict[str, str]:
    """Method -> what it makes of what."""
    return {name: method.summary for name, method in METHODS.items()}


def words_of(method: Method, inputs: dict[str, Any], options: dict[str, Any], sets: dict[str, Any]) -> list[str]:
    """The command line; an input or option that is None is left out (raises Prior3dError for an unknown input)."""
    known = [i.name for i in method.inputs]
    for name in inputs:
        if name not in known:
            hint = did_you_mean(name, known, f"inputs: {', '.join(known)}", str)
            raise Prior3dError(f"run({method.name!r}): there is no input {name!r}; {hint}")
    words = [f"{option_of(name)}={value}" for name, value in inputs.items() if value is not None]
    words += [f"--{option}={value}" for option, value in options.items() if value is not None]
    as_yaml = {name: value if isinstance(value, str) else json.dumps(value) for name, value in sets.items()}
    return words + [f"--set={name}={value}" for name, value in as_yaml.items()]


def _project(folder: Path) -> Project:
    give_name_and_home()
    try:
        return find_project(folder)
    except Prior3dError:
        project, _ = init_project(folder)
        show(sys.stderr, f"made a project: {project.root}")
        return project


def _carry_out(request: Request) -> Run:
    """Do the run; its stages are shown as they go."""
    events, displays = Events(), list[Display]()
    tell = partial(show, sys.stderr)

    def show_plan(plan: Plan) -> None:
        if not plan.idle:
            stages = wanted_stages(request.declaration, request.options.stop_after)
            displays.append(make_display([s.name for s in stages], plain=True))
            events.listen(displays[0])

    try:
        carry_out(request.run, request.declaration, request.settings, request.options, events, show_plan, warn, tell)
    finally:
        for display in displays:
            display.close()
    return request.run


def _result(project: Project, text: str) -> Result:
    """The version that a text names; under its number, if it has one, so that a later run does not change it."""
    found = find_version(project, text)
    if found.number is not None:
        found = find_version(project, f"{found.run.name}@{found.number}")
    return Result(found.run.name, found.number, found.run.folder, found)
