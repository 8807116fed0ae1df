"""Drawings of a version as SVG: its stages as a graph, its losses as curves. Colours come from the page's style."""

import math

from markupsafe import Markup

from flows.engine.run_files import parse_json
from flows.terminal import duration_text
from flows.versions.history import Version
from flows.versions.text import number_text, words

NODE_WIDTH, NODE_HEIGHT, GAP_X, GAP_Y = 190, 46, 24, 34
CURVE_WIDTH, CURVE_HEIGHT, LEFT, BELOW = 520, 200, 52, 26
OUTCOMES = {"Completed": "made", "Restored": "from the cache", "Cached": "unchanged"}


def graph(version: Version) -> Markup:
    """The stages of a version from top to bottom, with what feeds what and what became of each."""
    wiring = wired(version)
    rows = layers(wiring)
    width = max(len(row) for row in rows) * (NODE_WIDTH + GAP_X) + 3 * GAP_X
    height = len(rows) * (NODE_HEIGHT + GAP_Y)
    places: dict[str, tuple[float, float]] = {}
    for y, row in enumerate(rows):
        left = (width - len(row) * (NODE_WIDTH + GAP_X) + GAP_X) / 2
        places |= {n: (left + x * (NODE_WIDTH + GAP_X), y * (NODE_HEIGHT + GAP_Y) + 8) for x, n in enumerate(row)}
    edges = [_edge(places, rows, s, stage) for stage, sources in wiring.items() for s in sources]
    outcomes = version.record.outcomes if version.record else {}
    nodes = [_node(name, place, outcomes.get(name), _seconds(version, name)) for name, place in places.items()]
    return Markup(
        '<svg class="graph" viewBox="0 0 {} {}" role="img" aria-label="the stages of {}">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>{}</svg>'
    ).format(width, height, version.label, Markup().join(edges + nodes))


def wired(version: Version) -> dict[str, list[str]]:
    """Node -> what feeds it: the inputs from outside (nothing), then the stages in their order."""
    stages = version.described.get("stages") or {name: {} for name in version.lock}
    named = {entry["file"]: name for name, entry in (version.described.get("inputs") or {}).items()}
    feeds = {
        stage: [named.get(source, source) for key, source in wiring.items() if key != "module"]
        for stage, wiring in stages.items()
    }
    outside = [name for name in named.values() if any(name in sources for sources in feeds.values())]
    return {name: [] for name in outside} | feeds


def layers(wiring: dict[str, list[str]]) -> list[list[str]]:
    """The nodes in rows: each one row below the lowest that feeds it."""
    depth: dict[str, int] = {}
    for name, sources in wiring.items():  # sources stand before what they feed
        depth[name] = 1 + max((depth.get(s, -1) for s in sources), default=-1)
    rows: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name, row in depth.items():
        rows[row].append(name)
    return rows


def _edge(places: dict[str, tuple[float, float]], rows: list[list[str]], source: str, target: str) -> Markup:
    if source not in places:
        return Markup()
    (x0, y0), (x1, y1) = places[source], places[target]
    start, end = (x0 + NODE_WIDTH / 2, y0 + NODE_HEIGHT), (x1 + NODE_WIDTH / 2, y1)
    skipped = (
        next(i for i, r in enumerate(rows) if target in r) - next(i for i, r in enumerate(rows) if source in r) - 1
    )
    if skipped <= 0 or abs(start[0] - end[0]) > NODE_WIDTH / 2:
        middle = (start[1] + end[1]) / 2
        bend = f"C{start[0]} {middle} {end[0]} {middle} {end[0]} {end[1]}"
    else:  # round the nodes between
        side = start[0] + NODE_WIDTH / 2 + GAP_X / 2 + 14 * skipped
        bend = f"C{side} {start[1] + 12} {side} {start[1] + 12} {side} {(start[1] + end[1]) / 2}"
        bend += f"S{side} {end[1] - 12} {end[0] + 30} {end[1]}"
    return Markup('<path class="edge" marker-end="url(#tip)" d="M{} {}{}"/>').format(*start, bend)


def _node(name: str, place: tuple[float, float], outcome: str | None, seconds: float | None) -> Markup:
    x, y = place
    small = OUTCOMES.get(outcome or "", "")
    if seconds is not None and outcome in ("Completed", None):
        small = f"{small + ', ' if small else ''}{duration_text(seconds)}"
    kind = (outcome or "known").lower() if seconds is not None or outcome else "input"
    centre = x + NODE_WIDTH / 2
    text = Markup('<text x="{}" y="{}">{}</text>').format(centre, y + (20 if small else 28), words(name))
    if small:
        text += Markup('<text class="small" x="{}" y="{}">{}</text>').format(centre, y + 37, small)
    box = Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="9"/>').format(x, y, NODE_WIDTH, NODE_HEIGHT)
    return Markup('<g class="node {}">{}{}</g>').format(kind, box, text)


def _seconds(version: Version, stage: str) -> float | None:
    return version.cost().get(stage, {}).get("seconds")


def losses(version: Version, stage: str) -> list[tuple[float, float]]:
    """The loss of a stage over its steps, without values that are not finite; empty without one."""
    try:
        points = parse_json(version.read(stage, f"losses/{stage}.json") or b"[]", list[dict[str, float]])
        pairs = [(float(p["step"]), float(p["loss"])) for p in points]
    except (ValueError, KeyError):
        return []
    return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y) and x > 0]


def curves(series: list[tuple[str, list[tuple[float, float]]]]) -> Markup:
    """Losses of one stage in one drawing.

    Args:
        series: (label, points); the n-th is drawn in the page's n-th colour.
    """
    points = [p for _, s in series for p in s]
    low, high = min(y for _, y in points), max(y for _, y in points)
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    last = max(x for x, _ in points)
    width, height = CURVE_WIDTH - LEFT - 8, CURVE_HEIGHT - BELOW - 8

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return LEFT + point[0] / last * width, 8 + (high - point[1]) / (high - low) * height

    lines = []
    for tick in _ticks(low, high):
        y = at((0, tick))[1]
        lines.append(Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, y, CURVE_WIDTH - 8))
        lines.append(_tick("end", LEFT - 6, y + 4, number_text(tick)))
    for tick in _ticks(0, last):
        lines.append(_tick("middle", at((tick, low))[0], CURVE_HEIGHT - 8, f"{tick:,.0f}"))
    for index, (_, own) in enumerate(series):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, own))
        lines += [Markup('<polyline class="curve c{}" points="{}"/>').format(index % 6, path)] if path else []
    return Markup(
        '<svg class="curves" viewBox="0 0 {} {}" role="img" aria-label="loss over steps: {}">{}</svg>'
    ).format(CURVE_WIDTH, CURVE_HEIGHT, ", ".join(name for name, _ in series), Markup().join(lines))


def _tick(anchor: str, x: float, y: float, text: str) -> Markup:
    label = Markup('<text class="tick" text-anchor="{}" x="{:.1f}" y="{:.1f}">{}</text>')
    return label.format(anchor, x, y, text)


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between two."""
    rough = (high - low) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
