"""All runs of a project on one page: pictures, prompts, measurements; sorted and filtered in the browser."""

import html
from typing import Any

from flows.engine.project import Project
from flows.engine.run import all_runs
from flows.versions.history import Version, find_version
from flows.versions.page import document
from flows.versions.pictures import thumbnail
from flows.versions.tables import words
from flows.versions.text import local_time, number_text, unit_of
from prior3d.errors import Prior3dError

SHOWN_MEASURES = 4


def gallery_of(project: Project) -> tuple[str, int, list[str]]:
    """The page, how many runs are on it, and what is wrong with those that are not.

    Raises:
        Prior3dError: no run has made anything yet.
    """
    versions, problems = [], []
    for run in all_runs(project):
        try:
            versions.append(find_version(project, run.name))
        except Prior3dError as error:
            problems.append(str(error))
    if not versions:
        raise Prior3dError(f"no run in {project.runs} has made anything yet; see: prior3d methods")
    entries = [_entry(v) for v in versions]
    cards = "".join(_card(i, v, e) for i, (v, e) in enumerate(zip(versions, entries, strict=True)))
    body = f"""<header><p class="eyebrow">prior3d &middot; {html.escape(project.root.name)}</p>
<button id="theme" title="light or dark (t)" aria-label="light or dark">&#9680;</button></header><h1>Gallery</h1>
<div class="filters"><input id="find" type="search" placeholder="find (/)" aria-label="find">
<select id="method" aria-label="method"><option value="">all methods</option>{_methods(versions)}</select>
<select id="by" aria-label="sort">{_orders(entries)}</select><output id="count"></output></div>
<div class="gallery">{cards}</div>"""
    return document("gallery", body, {"runs": entries}, script="gallery.js", viewer=False), len(versions), problems


def _entry(version: Version) -> dict[str, Any]:
    """What the page's script sorts and filters by."""
    values: dict[str, Any] = {"name": version.run.name, "prompt": version.prompt}
    if version.record:
        values["when"] = version.record.when
    values["seconds"] = round(sum(c.get("seconds", 0.0) for c in version.cost().values()), 2)
    for measures in version.metrics().values():
        values |= {name: m["value"] for name, m in measures.items() if m.get("higher_is_better") is not None}
    return {"text": f"{version.run.name} {version.prompt} {version.method}".lower(), "values": values}


def _card(index: int, version: Version, entry: dict[str, Any]) -> str:
    picture = thumbnail(version)
    shown = f'<img src="{picture}" alt="" loading="lazy">' if picture else '<div class="empty">no picture</div>'
    rows = [("working time", f"{number_text(entry['values']['seconds'])} s")]
    for stage in reversed(version.lock):
        for name, m in version.metrics().get(stage, {}).items():
            if m.get("higher_is_better") is not None and m.get("unit") != "yes/no" and len(rows) <= SHOWN_MEASURES:
                rows.append((words(name), number_text(m["value"]) + unit_of(name, m)))
    facts = "".join(f"<dt>{n}</dt><dd>{html.escape(v)}</dd>" for n, v in rows)
    when = f" &middot; {local_time(version.record.when)}" if version.record else ""
    number = f"@{version.number}" if version.number else ""
    return (
        f'<article data-run="{index}" data-method="{html.escape(version.method, quote=True)}">{shown}'
        f'<div class="about"><h2>{html.escape(version.run.name)}{number}</h2>'
        f"<p>{html.escape(version.prompt or '-')}<br>{html.escape(version.method)}{when}</p>"
        f"<dl>{facts}</dl></div></article>"
    )


def _methods(versions: list[Version]) -> str:
    names = sorted({v.method for v in versions})
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
