"""All runs of a project on one page: pictures, prompts, measurements; sorted and filtered in the browser."""

import html
from typing import Any

from flows.engine.project import Project
from flows.versions.page import document
from flows.versions.pictures import thumbnail
from flows.versions.summaries import Summary, summaries
from flows.versions.tables import words
from flows.versions.text import local_time
from prior3d.errors import Prior3dError


def gallery_of(project: Project) -> tuple[str, int, list[str]]:
    """The page, how many runs are on it, and what is wrong with those that are not.

    Raises:
        Prior3dError: no run has made anything yet.
    """
    found = summaries(project)
    runs = [s for s in found if s.n_made and not s.problem]
    if not runs:
        raise Prior3dError(f"no run in {project.runs} has made anything yet; see: prior3d methods")
    entries = [{"text": f"{s.name} {s.prompt} {s.method}".lower(), "values": s.values} for s in runs]
    cards = "".join(_card(project, index, s) for index, s in enumerate(runs))
    body = f"""<header><p class="eyebrow">prior3d &middot; {html.escape(project.root.name)}</p>
<button id="theme" title="light or dark (t)" aria-label="light or dark">&#9680;</button></header><h1>Gallery</h1>
<div class="filters"><input id="find" type="search" placeholder="find (/)" aria-label="find">
<select id="method" aria-label="method"><option value="">all methods</option>{_methods(runs)}</select>
<select id="by" aria-label="sort">{_orders(entries)}</select><output id="count"></output></div>
<div class="gallery">{cards}</div>"""
    page = document("gallery", body, {"runs": entries}, script="gallery.js", viewer=False)
    return page, len(runs), [s.problem for s in found if s.problem]


def _card(project: Project, index: int, s: Summary) -> str:
    picture = thumbnail(project, s.name, s.picture) if s.picture else None
    shown = f'<img src="{picture}" alt="" loading="lazy">' if picture else '<div class="empty">no picture</div>'
    facts = "".join(f"<dt>{n}</dt><dd>{html.escape(v)}</dd>" for n, v in s.facts)
    when = f" &middot; {local_time(s.values['when'])}" if "when" in s.values else ""
    number = f"@{s.number}" if s.number else ""
    return (
        f'<article data-run="{index}" data-method="{html.escape(s.method, quote=True)}">{shown}'
        f'<div class="about"><h2>{html.escape(s.name)}{number}</h2>'
        f"<p>{html.escape(s.prompt or '-')}<br>{html.escape(s.method)}{when}</p>"
        f"<dl>{facts}</dl></div></article>"
    )


def _methods(runs: list[Summary]) -> str:
    names = sorted({s.method for s in runs})
    return "".join(f"<option>{html.escape(n)}</option>" for n in names)


def _orders(entries: list[dict[str, Any]]) -> str:
    """Every value that a run has, in the direction that one looks for first."""
    keys = dict.fromkeys(k for e in entries for k in e["values"])
    lines = []
    for key in keys:
        texts = any(isinstance(e["values"].get(key), str) for e in entries) and key != "when"
        for direction in ("up",) if texts else ("down", "up"):
            arrow = "" if texts else " &darr;" if direction == "down" else " &uarr;"
            selected = " selected" if key == "when" and direction == "down" else ""
            lines.append(
                f'<option value="{html.escape(key, quote=True)}|{direction}"{selected}>{words(key)}{arrow}</option>'
            )
    return "".join(lines)
