"""The page of studio, from its template. Autoescape is on; its scripts and styles are files of this server."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from prior3d.errors import Prior3dError

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self' data: blob:; img-src 'self' data: blob:; worker-src blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HERE = Path(__file__).parent
SHARED = HERE.parent / "versions" / "static"
STATIC = {
    **{
        name: HERE / "static" / name
        for name in ("studio.css", "studio.js", "form.js", "stage.js", "shelf.js", "ask.js")
    },
    "model-viewer.min.js": SHARED / "model-viewer.min.js",
}


def static_file(name: str) -> Path:
    """A script or style (raises Prior3dError for any other name)."""
    if name not in STATIC:
        raise Prior3dError("there is no such file")
    return STATIC[name]


def home(project: str, catalogue: dict[str, Any]) -> str:
    """The page."""
    return _environment().get_template("studio.html.j2").render(project=project, catalogue=catalogue)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("flows.studio"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
