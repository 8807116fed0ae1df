"""HTML from the templates beside this file. Autoescape is on, and a value that a template lacks is an error."""

from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flows.terminal import duration_text
from flows.versions.text import local_time, words

# Nothing may be fetched from anywhere: what the page shows is inside it, or not there.
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'wasm-unsafe-eval'; connect-src data: blob:; media-src data:; worker-src blob:"
)


def render(template: str, scripts: list[str], **values: Any) -> str:
    """A whole page.

    Args:
        template: a file in `templates`.
        scripts: files in `static` that run in the page, besides those of every page.
        values: what the template shows; `data` reaches the scripts as JSON.
    """
    return _environment().get_template(template).render(policy=POLICY, static=static, scripts=scripts, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("flows.versions"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": words, "duration": duration_text, "local_time": local_time, "seen": _seen}
    environment.policies["json.dumps_kwargs"] = {}  # keep the order of keys: the first series is shown first
    return environment


SHOWN = {
    "preview.png": "a preview",
    "path.png": "views along the capture's path",
    "samples.png": "the prior's samples",
}


def _seen(file: str) -> str:
    """What an image shows, by the name of its file, in words."""
    return SHOWN.get(file, words(file.rpartition(".")[0]))


def static(name: str) -> Markup:
    """A file of `static`, as it is."""
    return Markup((resources.files("flows.versions") / "static" / name).read_text(encoding="utf-8"))
