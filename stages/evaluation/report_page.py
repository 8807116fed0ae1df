"""The report of a run as one HTML file: pictures and video inside, no script, nothing loaded from elsewhere."""

import base64
import html
from pathlib import Path
from typing import Any

FIELD_AND_MESH = "Above: the field, volume-rendered. Below: the textured mesh, same cameras."
SPELLING = {"psnr": "PSNR", "iou": "IoU", "glb": "GLB", "rgb": "RGB", "nerf": "NeRF", "uv": "UV"}
STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #6b7280; --line: #e5e7eb; --paper: #fff;
  --card: #f8f9fb; --accent: #0f766e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #9aa3af; --line: #2d333b; --paper: #14171b; --card: #1c2026; --accent: #5eead4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 48px 24px 96px; }
.eyebrow { color: var(--soft); letter-spacing: .08em; text-transform: uppercase; font-size: 12px; margin: 0; }
h1 { font-size: clamp(28px, 5vw, 44px); line-height: 1.15; margin: 6px 0 24px; letter-spacing: -.02em; }
h2 { font-size: 18px; margin: 48px 0 12px; }
.hero { display: grid; grid-template-columns: minmax(0, 340px) 1fr; gap: 32px; align-items: center; }
@media (max-width: 720px) { .hero { grid-template-columns: 1fr; } }
video, img { width: 100%; display: block; border-radius: 12px; background: #fff; border: 1px solid var(--line); }
figure { margin: 0 0 20px; }
figcaption { color: var(--soft); font-size: 14px; margin-top: 8px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 0; }
.facts div, pre { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
.facts dt { color: var(--soft); font-size: 13px; }
.facts dd { margin: 2px 0 0; font-size: 22px; font-variant-numeric: tabular-nums; }
.facts small { font-size: 13px; color: var(--soft); }
.links { margin: 20px 0 0; display: flex; gap: 12px; flex-wrap: wrap; }
.links a { color: var(--accent); border: 1px solid currentColor; border-radius: 999px; padding: 6px 16px;
  text-decoration: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 500; }
.facts dd { line-height: 1.3; }
.facts small { white-space: nowrap; }
tbody tr:hover { background: var(--card); }
tbody tr.first td { border-top: 1px solid var(--soft); }
details { margin: 48px 0 0; }
summary { font-size: 18px; font-weight: 600; cursor: pointer; }
.parameters { columns: 3 300px; column-gap: 16px; margin-top: 12px; }
.parameters section { break-inside: avoid; margin: 0 0 16px; }
.parameters h3 { font-size: 14px; margin: 0 0 6px; color: var(--soft); font-weight: 500; }
pre { overflow-x: auto; font-size: 13px; margin: 0; }
"""


def page(
    prompt: str,
    folder: Path,
    metrics: dict[str, dict[str, dict[str, Any]]],
    parameters: dict[str, dict[str, Any]],
    mesh_link: str,
    with_field: bool = True,
) -> str:
    """The whole page.

    Args:
        prompt: what was asked for.
        folder: holds turntable.png, mesh_turntable.png and turntable.mp4, which go into the page.
        metrics: stage to name to {value, unit, n, higher_is_better}; the last stage's are shown large.
        parameters: stage to name to value.
        with_field: turntable.png shows a field above the mesh; without one it repeats what mesh_turntable.png shows.
        mesh_link: from the page to the folder of mesh.glb and mesh.obj.
    """
    title = html.escape(prompt)
    link = html.escape(mesh_link, quote=True)
    video = _embedded(folder / "turntable.mp4", "video/mp4")
    newest = list(metrics)[-1]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{STYLE}</style></head><body><main>
<p class="eyebrow">prior3d</p><h1>{title}</h1>
<section class="hero"><video src="{video}" autoplay loop muted playsinline controls></video>
<div><dl class="facts">{_facts(metrics[newest])}</dl>
<p class="links"><a href="{link}/mesh.glb">mesh.glb</a><a href="{link}/mesh.obj">mesh.obj</a></p>
</div></section>
<h2>All round</h2>
{_figure(folder / "turntable.png", FIELD_AND_MESH) if with_field else ""}
{_figure(folder / "mesh_turntable.png", "Above: the textured mesh. Below: its normals.")}
<h2>Measurements</h2><div class="scroll"><table><thead><tr><th>stage</th><th>measure</th><th class="number">value</th>
<th>unit</th><th class="number">over</th><th>better</th></tr></thead><tbody>{_rows(metrics)}</tbody></table></div>
<details><summary>Parameters</summary><div class="parameters">{_sections(parameters)}</div></details>
</main></body></html>
"""


def _sections(parameters: dict[str, dict[str, Any]]) -> str:
    """The parameters, a box a stage."""
    boxes = []
    for stage, values in parameters.items():
        text = html.escape("\n".join(f"{name}: {value}" for name, value in (values or {}).items()) or "none")
        boxes.append(f"<section><h3>{html.escape(_words(stage))}</h3><pre>{text}</pre></section>")
    return "".join(boxes)


def _facts(metrics: dict[str, dict[str, Any]]) -> str:
    """The measures as large figures."""
    facts = []
    for name, entry in metrics.items():
        value, unit = _shown(entry), html.escape(_unit(name, entry))
        facts.append(f"<div><dt>{html.escape(_words(name))}</dt><dd>{value} <small>{unit}</small></dd></div>")
    return "".join(facts)


def _rows(metrics: dict[str, dict[str, dict[str, Any]]]) -> str:
    """One table row a measure, stage after stage."""
    better = {True: "higher", False: "lower", None: ""}
    rows = []
    for stage, entries in metrics.items():
        for name, entry in entries.items():
            new = name == next(iter(entries))
            cells = [_words(stage) if new else "", _words(name), _shown(entry), _unit(name, entry), f"{entry['n']:,}"]
            first, second, value, unit, n = (html.escape(cell) for cell in cells)
            opening = '<tr class="first">' if new else "<tr>"
            rows.append(
                f'{opening}<td>{first}</td><td>{second}</td><td class="number">{value}</td><td>{unit}</td>'
                f'<td class="number">{n}</td><td>{better[entry.get("higher_is_better")]}</td></tr>'
            )
    return "".join(rows)


def _figure(path: Path, caption: str) -> str:
    """A picture with a line under it."""
    text = html.escape(caption)
    return f'<figure><img src="{_embedded(path, "image/png")}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _embedded(path: Path, kind: str) -> str:
    """A file's content as a data: URL."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _words(name: str) -> str:
    """An identifier as words, with the usual spelling of abbreviations."""
    return " ".join(SPELLING.get(word, word) for word in name.split("_"))


def _unit(name: str, entry: dict[str, Any]) -> str:
    """The unit, unless the name says it already (faces) or the value is yes or no."""
    return "" if entry["unit"] in (name, "yes/no") else entry["unit"]


def _shown(entry: dict[str, Any]) -> str:
    """Yes or no; whole numbers with separators; others with three significant digits."""
    value = float(entry["value"])
    if entry["unit"] == "yes/no":
        return "yes" if value else "no"
    return f"{value:,.0f}" if value.is_integer() else f"{value:.3g}"
