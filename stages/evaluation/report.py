"""The report of a run as one HTML file: images and video inside, no script, nothing loaded from elsewhere."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SPELLING = {"psnr": "PSNR", "iou": "IoU", "glb": "GLB", "rgb": "RGB", "nerf": "NeRF", "uv": "UV"}


def report(
    prompt: str,
    folder: Path,
    metrics: dict[str, dict[str, dict[str, Any]]],
    parameters: dict[str, dict[str, Any]],
    mesh_link: str,
    with_field: bool = True,
    further: Mapping[str, Path] | None = None,
    remark: str = "",
) -> str:
    """The whole page.

    Args:
        prompt: what was asked for.
        folder: holds turntable.png, mesh_turntable.png and turntable.mp4, which go into the page.
        metrics: stage to name to {value, unit, n, higher_is_better}; the last stage's are shown large.
        parameters: stage to name to value.
        mesh_link: from the page to the folder of mesh.glb and mesh.obj.
        with_field: turntable.png shows a field above the mesh; without one it repeats what mesh_turntable.png shows.
        further: images that go into the page too, by the line below each.
        remark: a sentence below the title.
    """
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            prompt=prompt,
            video=_embedded(folder / "turntable.mp4", "video/mp4"),
            turntable=_embedded(folder / "turntable.png", "image/png") if with_field else "",
            mesh_turntable=_embedded(folder / "mesh_turntable.png", "image/png"),
            further={line: _embedded(path, "image/png") for line, path in (further or {}).items()},
            remark=remark,
            metrics=metrics,
            newest=metrics[list(metrics)[-1]],
            all_parameters=parameters,
            mesh_link=mesh_link,
        )
    )


def _environment() -> Environment:
    """What fills the template in."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": _words, "value": _value, "unit": _unit}
    return environment


def _embedded(path: Path, kind: str) -> str:
    """The content of a file as a data: URL."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _words(name: str) -> str:
    """An identifier as words, with the usual spelling of abbreviations."""
    return " ".join(SPELLING.get(word, word) for word in name.split("_"))


def _unit(entry: dict[str, Any], name: str) -> str:
    """The unit, unless the name says it already (faces) or the value is yes or no."""
    return "" if entry["unit"] in (name, "yes/no") else entry["unit"]


def _value(entry: dict[str, Any]) -> str:
    """Yes or no; whole numbers with separators; others with three significant digits."""
    value = float(entry["value"])
    if entry["unit"] == "yes/no":
        return "yes" if value else "no"
    return f"{value:,.0f}" if value.is_integer() else f"{value:.3g}"
