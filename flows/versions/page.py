"""One version, or several side by side, as one HTML file that needs nothing else: no network, no server."""

import importlib
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from markupsafe import Markup

from flows.engine.failures import read_failures
from flows.terminal import duration_text, size_text
from flows.versions import tables
from flows.versions.drawings import curves, graph, losses
from flows.versions.history import Version
from flows.versions.images import PageImage, data_url, input_images, page_image, previews, turntables
from flows.versions.render import render
from flows.versions.splat_export import splat_stage
from flows.versions.text import local_time

MOST_VERSIONS = 6
GIVEN_WIDTH = 480
T = TypeVar("T")


@dataclass(frozen=True)
class FileLink:
    """A result of a version on this machine: its path in the run, its address, and its size."""

    path: str
    address: str
    size: str


def page_of(versions: list[Version]) -> str:
    """The page of one version, or the comparison of up to six."""
    several = len(versions) > 1
    stages = tables.stages_of(versions)
    name = " / ".join(v.label for v in versions)
    models, series = _models(versions), [turntables(v) for v in versions]
    splats = _splats(versions)
    shown = {md5: described for md5, described in filter(None, splats)}
    kind = "comparison" if several else "run"
    prompts = list(dict.fromkeys(v.prompt or v.run.name for v in versions))
    return render(
        "page.html.j2",
        [*(["model-viewer.min.js"] if models else []), *(["splats.js"] if shown else []), "common.js", "page.js"],
        title=name,
        subtitle=f"{kind} {name}",
        data={"models": models, "series": series, "splats": shown},
        splats=splats,
        versions=versions,
        several=several,
        letters=string.ascii_uppercase,
        prompts=prompts,
        cards=[_card(v) for v in versions],
        links=[_file_links(v) for v in versions],
        meshes=[mesh and mesh[2] for mesh in map(mesh_of, versions)],
        turning=list(dict.fromkeys(name for s in series for name in s)),
        given=_rows(tables.inputs_of(versions), versions, _given),
        losses=_losses(stages, versions),
        graphs=[graph(v) for v in versions],
        previews=_shared(_rows(stages, versions, previews), versions),
        own_previews=_own(_rows(stages, versions, previews), versions),
        failures=read_failures(versions[0].run.folder) if not several and versions[0].is_present else [],
        **_tables(versions, several),
    )


def _tables(versions: list[Version], several: bool) -> dict[str, Any]:
    parameters = tables.parameters(versions)
    # A stage that one version alone has would fill the page with its parameters; the stages' own table names it.
    shared = {stage for stage, _ in parameters if not several or sum(stage in v.params() for v in versions) > 1}
    return {
        "inputs": tables.differing_inputs(versions),
        "varying": [(s, [row for row in rows if row.differs and s in shared]) for s, rows in parameters],
        "stage_differences": _shared(tables.stage_differences(versions), versions) if several else [],
        "own_stages": [[s for s in v.lock if s not in several_have(versions)] for v in versions],
        "measured": _shared(tables.measurements(versions), versions),
        "own_measured": _own(tables.measurements(versions), versions),
        "costs": tables.cost(versions),
        "origin": tables.provenance(versions),
        "all_parameters": parameters,
    }


def several_have(versions: list[Version]) -> set[str]:
    """The stages that stand open on a page: all of one version's, and those that more than one of several has."""
    return {s for s in tables.stages_of(versions) if len(versions) == 1 or sum(s in v.lock for v in versions) > 1}


def _shared(rows: list[tuple[str, T]], versions: list[Version]) -> list[tuple[str, T]]:
    return [row for row in rows if row[0] in several_have(versions)]


def _own(rows: list[tuple[str, T]], versions: list[Version]) -> list[tuple[str, T]]:
    """The rows of stages that one version alone has: there is nothing to compare them with, so they are folded."""
    return [row for row in rows if row[0] not in several_have(versions)]


def _card(version: Version) -> list[tuple[str, str]]:
    record = version.record
    seconds = sum(c.get("seconds", 0.0) for c in version.cost().values())
    preset = version.described.get("preset")
    return [
        ("method", f"{version.method}, {preset}" if preset else version.method),
        ("made", local_time(record.when) if record else "not recorded"),
        ("working time", duration_text(seconds)),
        ("seed", ", ".join(sorted({str(s) for s in version.seeds().values()})) or "-"),
    ]


def mesh_of(version: Version) -> tuple[str, str, str] | None:
    """Stage, path and md5 of the last GLB that a version made."""
    for stage in reversed(version.lock):
        glbs = [(path, md5) for path, md5 in (version.files(stage) or {}).items() if path.endswith(".glb")]
        if glbs and version.place(stage, glbs[0][0]) is not None:
            return stage, *glbs[0]
    return None


def _file_links(version: Version) -> list[FileLink]:
    """The last GLB, the OBJ beside it and the last video of a version whose files lie in its run's folder."""
    found = mesh_of(version) if version.is_present else None
    paths = [found[1], f"{found[0]}/mesh.obj"] if found else []
    if version.is_present:
        videos = [p for s in reversed(version.lock) for p in version.files(s) or {} if p.endswith(".mp4")]
        paths += videos[:1]
    files = [(path, version.run.folder / path) for path in paths]
    return [FileLink(path, file.as_uri(), size_text(file.stat().st_size)) for path, file in files if file.is_file()]


def _models(versions: list[Version]) -> dict[str, str]:
    """GLBs by their md5, each once."""
    found = {}
    for version in versions:
        if mesh := mesh_of(version):
            stage, path, md5 = mesh
            found[md5] = data_url(version.read(stage, path) or b"", "model/gltf-binary")
    return found


def _splats(versions: list[Version]) -> list[tuple[str, dict[str, Any]] | None]:
    """What the viewer of splats needs of each version that has some, with their md5."""
    if not any(splat_stage(version) for version in versions):
        return [None for _ in versions]
    # By name and only now: it imports numpy, which other pages do without.
    shown_splats = importlib.import_module("flows.versions.splats_shown").shown_splats
    return [shown_splats(version) for version in versions]


def _rows(
    names: list[str], versions: list[Version], images: Callable[[Version, str], list[PageImage]]
) -> list[tuple[str, list[list[PageImage]]]]:
    """Images by name and version, for the names that have any."""
    rows = [(name, [images(v, name) for v in versions]) for name in names]
    return [(name, shown) for name, shown in rows if any(shown)]


def _given(version: Version, name: str) -> list[PageImage]:
    """The images that a person gave as an input."""
    places = input_images(version, name) if name in version.inputs else []
    images = [page_image(p.name, p.read_bytes(), GIVEN_WIDTH) for p in places]
    return [image for image in images if image is not None]


def _losses(stages: list[str], versions: list[Version]) -> list[tuple[str, Markup]]:
    """The drawing of each stage that has losses."""
    found = []
    for stage in stages:
        series = [(v.label, losses(v, stage)) for v in versions]
        if any(points for _, points in series):
            found.append((stage, curves(series)))
    return found
