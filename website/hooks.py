"""What the site has beside docs/: a reference made from the declarations, and two pages of the repository's root."""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flows.cli import OVERVIEW  # noqa: E402
from flows.commands import PLACES, command  # noqa: E402
from flows.engine.method import Method, Stage  # noqa: E402
from flows.method_options import option_of  # noqa: E402
from flows.methods import METHODS  # noqa: E402
from flows.reference import allowed_values  # noqa: E402
from stages.contract.parameters import kinds_of, settings_fields  # noqa: E402

COPIED = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
STAGES: dict[str, Stage] = {stage.name: stage for method in METHODS.values() for stage in method.stages}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages into the reference."""
    reference: list[Any] = next(entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    reference[1:1] = [
        {"Methods": [{name: f"reference/methods/{name}.md"} for name in METHODS]},
        {"Stages": [{name: f"reference/stages/{name}.md"} for name in sorted(STAGES)]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"reference/commands.md": commands_page(), "reference/python.md": PYTHON}
    pages |= {f"reference/methods/{name}.md": method_page(method) for name, method in METHODS.items()}
    pages |= {f"reference/stages/{name}.md": stage_page(stage) for name, stage in STAGES.items()}
    pages |= {
        name: (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](") for name, source in COPIED.items()
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links to pages of the repository's root lead to their copies; of other files outside docs/ the path is named."""
    for copy, source in COPIED.items():
        markdown = markdown.replace(f"](../{source}", f"]({copy}")
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def named(found: re.Match[str]) -> str:
        place = (folder / found[2]).resolve()
        outside = place.exists() and not place.is_relative_to(ROOT / "docs")
        return f"{found[1]} (`{place.relative_to(ROOT)}`)" if outside else found[0]

    return re.sub(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#\s]+)\)", named, markdown)


PYTHON = """\
# Python reference

The guide: [from Python](../python.md).

::: flows.api
    options:
      show_root_heading: false
      show_root_toc_entry: false
      members: [run, load, methods, Result, Page]

## The library

::: prior3d.distillation.sds
    options: {heading_level: 3}

::: prior3d.distillation.view_sampler
    options: {heading_level: 3}

::: prior3d.fields.object_field
    options: {heading_level: 3}

::: prior3d.cameras
    options: {heading_level: 3}

::: prior3d.optimisation
    options: {heading_level: 3}
"""


def commands_page() -> str:
    """Every command with its own help."""
    parts = ["# Commands", f"```text\n{OVERVIEW}\n```"]
    for name in PLACES:
        parts += [f"## {name}", f"```text\n{_help(name)}\n```"]
    return "\n\n".join(parts)


def _help(name: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        command(name)(["--help"])
    return said.getvalue().strip()


def method_page(method: Method) -> str:
    """A method: what it takes, and its stages in order."""
    lines = [
        f"# {method.name}",
        _sentence(method.summary),
        f"    {method.example}",
        "## Inputs",
        _inputs(method),
        "## Stages",
    ]
    rows = ["| stage | what it does |", "|---|---|"]
    for stage in method.stages:
        when = f" (only with `{stage.brought_with}`)" if stage.brought_with else ""
        rows.append(f"| [{stage.name}](../stages/{stage.name}.md) | {_cell(_first_line(stage))}{when} |")
    return "\n\n".join([*lines, "\n".join(rows)]) + "\n"


def _inputs(method: Method) -> str:
    rows = ["| option | default | what it is |", "|---|---|---|"]
    for given in method.inputs:
        shown = "required" if given.default is None else f"`{given.default}`" if given.default else "none"
        rows.append(f"| `{option_of(given.name)}` | {shown} | {_cell(given.help)} |")
    return "\n".join(rows)


def stage_page(stage: Stage) -> str:
    """A stage: inputs, output, and every parameter."""
    module = stage.load()
    optional: frozenset[str] = getattr(module, "OPTIONAL_INPUTS", frozenset())
    inputs = [
        f"- `{name}`: {kind.name}{' (optional)' if name in optional else ''}" for name, kind in module.INPUTS.items()
    ]
    users = [
        f"[{name}](../methods/{name}.md)"
        for name, method in METHODS.items()
        if stage.name in {s.name for s in method.stages}
    ]
    rows = ["| parameter | default | unit | allowed | what it does |", "|---|---|---|---|---|"]
    rows += _parameters(settings_fields(module.Params), module.Params(), "")
    about = [
        f"# {stage.name}",
        _text(module.__doc__ or ""),
        f"Methods: {', '.join(users)}. Output: {module.OUTPUT.name}.",
    ]
    how = f"Change one with `--set {stage.name}.NAME=VALUE`."
    return "\n\n".join([*about, "## Inputs", "\n".join(inputs), "## Parameters", how, "\n".join(rows)]) + "\n"


def _parameters(fields: dict[str, Any], defaults: Any, prefix: str) -> list[str]:
    rows = []
    for name, info in fields.items():
        default = getattr(defaults, name)
        if kinds := kinds_of(info.annotation):
            whole = f"one of {', '.join(kinds)}"
            cells = [f"`{prefix}{name}.kind`", f"`{default.kind}`", "", whole, info.description or ""]
            rows.append(f"| {' | '.join(map(_cell, cells))} |")
            for kind, model in kinds.items():
                fields_of = {field: about for field, about in settings_fields(model).items() if field != "kind"}
                about_kind = (model.__doc__ or "").strip().partition("\n")[0]
                rows.append(f"| *with kind {kind}* | | | | {_cell(about_kind)} |")
                rows += _parameters(fields_of, model(), f"{prefix}{name}.")
            continue
        if group := settings_fields(info.annotation):
            rows += _parameters(group, default, f"{prefix}{name}.")
            continue
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        cells = [f"`{prefix}{name}`", f"`{default}`" if str(default) else "", str(extra.get("unit", "")),
                 allowed_values(info).strip("()"), info.description or ""]  # fmt: skip
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    return rows


def _first_line(stage: Stage) -> str:
    return (stage.load().__doc__ or "").strip().partition("\n")[0]


def _text(text: str) -> str:
    """A docstring as Markdown: what is indented stays as it is drawn."""
    return re.sub(r"^(?=\S)(.*)\[(.*?)\](?!\()", r"\1\\[\2\\]", text.strip(), flags=re.M)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
