"""One version, or several side by side, as one HTML file that needs nothing else: no network, no server."""

import html
import json
from importlib import resources

from flows.versions import tables
from flows.versions.drawings import curves, graph, losses
from flows.versions.history import Version
from flows.versions.pictures import Picture, as_webp, data_url, input_pictures, previews, turntables
from flows.versions.text import local_time, number_text

# Nothing may be fetched from anywhere: what the page shows is inside it, or not there.
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'wasm-unsafe-eval'; connect-src data: blob:; media-src data:; worker-src blob:"
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_VERSIONS = 6
GIVEN_WIDTH = 480


def page_of(versions: list[Version]) -> str:
    """The page of one version, or the comparison of up to six."""
    title = _title(versions)
    several = len(versions) > 1
    sections = [
        f'<div class="{"" if several else "pair"}">{_viewers(versions)}{_turntables(versions)}</div>',
        _given(versions),
        _changes(versions) if several else "",
        _section("Measurements", tables.measurements(versions)),
        _section("Cost", tables.cost(versions)),
        _loss_section(versions),
        _graph_section(versions),
        _previews_section(versions),
        _section("Where it came from", tables.provenance(versions)),
        _parameters(versions),
    ]
    name = " / ".join(v.label for v in versions)
    body = f"""<header><p class="eyebrow">prior3d &middot; {"comparison" if several else "run"} {_e(name)}</p>
<button id="theme" title="light or dark (t)" aria-label="light or dark">&#9680;</button></header>
<h1>{title}</h1><section class="legend">{"".join(_card(i, v, several) for i, v in enumerate(versions))}</section>
{"".join(sections)}
<footer><kbd>&larr;</kbd> <kbd>&rarr;</kbd> turn the pictures &middot; <kbd>space</kbd> rotate the objects &middot;
<kbd>0</kbd> reset the view &middot; <kbd>t</kbd> light or dark &middot; click a picture to enlarge it</footer>
<dialog id="large"><img alt=""><p></p></dialog>"""
    data = {"models": _models(versions), "series": [turntables(v) for v in versions]}
    return document(name, body, data, script="page.js", viewer=bool(data["models"]))


def document(title: str, body: str, data: object, script: str, viewer: bool) -> str:
    """The frame of every page: style, data and scripts inside."""
    values = json.dumps(data).replace("</", "<\\/")
    scripts = [static("model-viewer.min.js")] if viewer else []
    code = "".join(f"<script>{text}</script>" for text in [*scripts, static("common.js"), static(script)])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{_e(title)}</title>
<link rel="icon" href="data:,"><style>{static("page.css")}</style></head><body><main>{body}</main>
<script type="application/json" id="data">{values}</script>{code}</body></html>
"""


def static(name: str) -> str:
    """A file that goes into pages."""
    return (resources.files("flows.versions") / "static" / name).read_text(encoding="utf-8")


def _title(versions: list[Version]) -> str:
    prompts = list(dict.fromkeys(v.prompt or v.run.name for v in versions))
    return " <i>or</i> ".join(_e(p) for p in prompts)


def _card(index: int, version: Version, several: bool) -> str:
    record = version.record
    seconds = sum(c.get("seconds", 0.0) for c in version.cost().values())
    seeds = sorted({str(s) for s in version.seeds().values()})
    facts = [
        (
            "method",
            version.method + (f", {version.described.get('preset')}" if version.described.get("preset") else ""),
        ),
        ("made", local_time(record.when) if record else "not recorded"),
        ("working time", f"{number_text(round(seconds, 1))} s"),
        ("seed", ", ".join(seeds) or "-"),
    ]
    number = f"version {version.number}" if version.number else "no version of its own"
    letter = f'<span class="letter c{index}">{LETTERS[index]}</span>' if several else ""
    lines = "".join(f"<div><dt>{n}</dt><dd>{_e(v)}</dd></div>" for n, v in facts)
    prompt = f"<p>{_e(version.prompt)}</p>" if several else ""
    return (
        f'<article class="card">{letter}<h2>{_e(version.label)}</h2><small>{number}</small>{prompt}'
        f"<dl>{lines}</dl></article>"
    )


def mesh_of(version: Version) -> tuple[str, str] | None:
    """Stage and path of the last GLB that a version made."""
    for stage in reversed(version.lock):
        glbs = [p for p in version.files(stage) or {} if p.endswith(".glb")]
        if glbs and version.place(stage, glbs[0]) is not None:
            return stage, glbs[0]
    return None


def _models(versions: list[Version]) -> dict[str, str]:
    """GLBs by their md5, each once."""
    found = {}
    for version in versions:
        mesh = mesh_of(version)
        if mesh is not None:
            md5 = (version.files(mesh[0]) or {})[mesh[1]]
            found[md5] = data_url(version.read(*mesh) or b"", "model/gltf-binary")
    return found


def _viewers(versions: list[Version]) -> str:
    figures = []
    for index, version in enumerate(versions):
        mesh = mesh_of(version)
        if mesh is None:
            figures.append(_figure(index, versions, '<div class="empty">no mesh</div>'))
            continue
        md5 = (version.files(mesh[0]) or {})[mesh[1]]
        viewer = (
            f'<model-viewer data-model="{md5}" alt="{_e(version.label)} in 3D" camera-controls disable-pan '
            'interaction-prompt="none" touch-action="pan-y" camera-orbit="30deg 75deg 4.1m" field-of-view="40deg" '
            'min-camera-orbit="auto auto 1.4m" max-camera-orbit="auto auto 8m" camera-target="0m 0m 0m" '
            'shadow-intensity="0" loading="eager" tone-mapping="neutral"></model-viewer>'
        )
        figures.append(_figure(index, versions, viewer))
    if not any(mesh_of(v) for v in versions):
        return ""
    buttons = (
        '<div class="tools"><button id="rotate" aria-pressed="false" title="space">rotate</button>'
        '<button id="reset" title="0">reset the view</button></div>'
    )
    return _section("In 3D", f'{buttons}<div class="side n{len(versions)}">{"".join(figures)}</div>')


def _figure(index: int, versions: list[Version], content: str) -> str:
    """Content with the version's letter under it, when there are several."""
    return f"<figure>{content}{_caption(index, versions)}</figure>"


def _caption(index: int, versions: list[Version]) -> str:
    if len(versions) == 1:
        return ""
    label = _e(versions[index].label)
    return f'<figcaption><span class="letter c{index}">{LETTERS[index]}</span> {label}</figcaption>'


def _turntables(versions: list[Version]) -> str:
    series = [turntables(v) for v in versions]
    names = list(dict.fromkeys(name for s in series for name in s))
    if not names:
        return ""
    choice = "".join(f'<button class="series" data-series="{_e(n)}">{_e(n)}</button>' for n in names)
    slider = (
        '<label class="slider"><span id="angle">0&deg;</span>'
        '<input id="turn" type="range" min="0" max="359" value="0" aria-label="angle in degrees"></label>'
    )
    pictures = "".join(
        _figure(i, versions, f'<img class="turning" data-version="{i}" alt="{_e(v.label)}, turning">')
        for i, v in enumerate(versions)
    )
    tools = f'<div class="tools">{choice if len(names) > 1 else ""}{slider}</div>'
    return _section("All round", f'{tools}<div class="side n{len(versions)}">{pictures}</div>')


def _given(versions: list[Version]) -> str:
    """The pictures that a person gave; nothing if there are none."""
    rows = []
    for name in dict.fromkeys(n for v in versions for n in v.inputs):
        shown = [input_pictures(v, name) if name in v.inputs else [] for v in versions]
        if any(shown):
            urls = [[Picture(p.name, as_webp(p.read_bytes(), GIVEN_WIDTH)) for p in places] for places in shown]
            figures = "".join(
                _figure(i, versions, f'<div class="given">{"".join(_picture(name, p) for p in pictures)}</div>')
                for i, pictures in enumerate(urls)
            )
            rows.append(f'<h3>{tables.words(name)}</h3><div class="side wide n{len(versions)}">{figures}</div>')
    return _section("What it was given", "".join(rows)) if rows else ""


def _changes(versions: list[Version]) -> str:
    return _section("What differs", tables.differences(versions))


def _loss_section(versions: list[Version]) -> str:
    drawings = []
    for stage in dict.fromkeys(s for v in versions for s in v.lock):
        series = [(v.label, losses(v, stage)) for v in versions]
        if any(points for _, points in series):
            drawings.append(f"<figure><h3>{tables.words(stage)}</h3>{curves(series)}</figure>")
    keys = "".join(f'<span class="letter c{i}">{LETTERS[i]}</span> {_e(v.label)} ' for i, v in enumerate(versions))
    key = f'<p class="key">{keys}</p>' if len(versions) > 1 else ""
    return _section("Loss over the steps", key + f'<div class="two">{"".join(drawings)}</div>') if drawings else ""


def _graph_section(versions: list[Version]) -> str:
    key = (
        '<p class="key"><span class="dot completed"></span> made for this version '
        '<span class="dot restored"></span> from the cache <span class="dot cached"></span> unchanged</p>'
    )
    graphs = "".join(_figure(i, versions, graph(v)) for i, v in enumerate(versions))
    return _section("Stages", f'{key}<div class="side graphs n{len(versions)}">{graphs}</div>')


def _previews_section(versions: list[Version]) -> str:
    rows = []
    for stage in dict.fromkeys(s for v in versions for s in v.lock):
        shown = [previews(v, stage) for v in versions]
        if any(shown):
            figures = "".join(
                _figure(i, versions, "".join(_picture(stage, p) for p in pictures) or '<div class="empty">none</div>')
                for i, pictures in enumerate(shown)
            )
            rows.append(f'<h3>{tables.words(stage)}</h3><div class="side wide n{len(versions)}">{figures}</div>')
    return _section("Pictures of the stages", "".join(rows)) if rows else ""


def _picture(stage: str, picture: Picture) -> str:
    name = _e(f"{stage}/{picture.name}")
    return f'<img class="large" src="{picture.url}" alt="{name}" title="{name}" tabindex="0">'


def _parameters(versions: list[Version]) -> str:
    inside = tables.parameters(versions)
    return f"<details><summary>All parameters</summary>{inside}</details>"


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{title}</h2>{inside}</section>"


def _e(text: object) -> str:
    return html.escape(str(text), quote=True)
