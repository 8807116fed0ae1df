"""All runs of a project on one page: images, prompts, measurements; sorted and filtered in the browser."""

from dataclasses import dataclass
from typing import Any

from flows.engine.project import Project
from flows.versions.images import thumbnail
from flows.versions.render import render
from flows.versions.summaries import summaries
from prior3d.errors import Prior3dError


@dataclass(frozen=True)
class Order:
    """One way to sort; `first` for the order that the page opens with."""

    key: str
    direction: str
    arrow: str
    first: bool


def gallery_of(project: Project) -> tuple[str, int, list[str]]:
    """The page, the number of runs on it, and the problem of each run that is left out.

    Raises:
        Prior3dError: no run has a result yet.
    """
    found = summaries(project)
    runs = [s for s in found if s.n_made and not s.problem]
    if not runs:
        raise Prior3dError(f"no run in {project.runs} has a result yet; see: prior3d methods")
    page = render(
        "gallery.html.j2",
        ["common.js", "gallery.js"],
        title="gallery",
        subtitle=project.root.name,
        data={"runs": [{"text": f"{s.name} {s.prompt} {s.method}".lower(), "values": s.values} for s in runs]},
        runs=runs,
        places={s.name: _place(project, s.name) for s in runs},
        thumbnails={s.name: thumbnail(project, s.name, s.thumbnail) if s.thumbnail else None for s in runs},
        orders=_orders([s.values for s in runs]),
    )
    return page, len(runs), [s.problem for s in found if s.problem]


def _place(project: Project, name: str) -> str:
    """Where a card leads: the page of this version that `open` has made, else the run's report, else its folder."""
    folder = project.runs / name
    made, report = project.state / "pages" / f"run-{name}.html", folder / "evaluation" / "report.html"
    if made.is_file() and made.stat().st_mtime >= (folder / "dvc.lock").stat().st_mtime:
        return made.absolute().as_uri()
    return (report if report.is_file() else folder).absolute().as_uri()


def _orders(values: list[dict[str, Any]]) -> list[Order]:
    """Every value that a run has, the usual direction first."""
    orders = []
    for key in dict.fromkeys(k for of_run in values for k in of_run):
        if key != "when" and any(isinstance(of_run.get(key), str) for of_run in values):
            orders.append(Order(key, "up", "", first=False))
        else:
            orders += [Order(key, "down", "↓", first=key == "when"), Order(key, "up", "↑", first=False)]
    return orders
