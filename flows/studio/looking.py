"""What studio shows of jobs and runs: read from their files at each request."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from flows.engine.project import Project
from flows.engine.run import NAME, Run
from flows.engine.run_files import Damaged, read_method, text_of
from flows.provenance.statement import with_statement
from flows.studio.catalogue import seconds_of
from flows.studio.jobs import Job
from flows.terminal import clean
from flows.versions.history import find_version
from flows.versions.images import thumbnail
from flows.versions.page import MOST_VERSIONS, mesh_of, page_of
from flows.versions.summaries import summaries
from flows.watching.state import read_state
from prior3d.errors import Prior3dError

LONGEST_LOG = 40_000
Kind = Literal["colours", "depth"]
SMALLEST, LARGEST = 64, 512  # pixels of a live image


def about_job(project: Project, job: Job) -> dict[str, Any]:
    """A job, for the page."""
    state, outcome, progress = job.state(), job.outcome(), job.progress()
    stages = progress.get("stages") or []
    about = {
        "id": job.id,
        "run": job.run,
        "method": job.method,
        "asked": job.asked,
        "state": state,
        "message": outcome["message"] if outcome else "",
        "seconds": outcome["seconds"] if outcome else None,
        "queued": job.queued,
        "stages": stages,
        "warnings": progress.get("warnings") or [],
        "left_s": _left(project, job, stages) if state == "running" and stages else None,
        "field": "",
        "preview": "",
    }
    if state in ("running", "stopping", "stopped", "failed") and NAME.match(job.run):
        run = Run(project, job.run)
        found = read_state(run, stages_of(run))
        about["field"] = f"{found.field_stage}-{_stamp(found.field)}" if found.field else ""
        about["preview"] = f"{found.stage}-{_stamp(found.preview)}" if found.preview else ""
    return about


def _left(project: Project, job: Job, stages: list[dict[str, Any]]) -> float | None:
    """Seconds until the run is done, by its own speed and by what its other stages took before; None if unknown."""
    took, left = seconds_of(project, job.method), 0.0
    for stage in stages:
        if stage["state"] in ("done", "restored", "unchanged"):
            continue
        known = stage["left_s"] if stage["left_s"] is not None else took.get(stage["name"])
        if known is None:
            return None
        left += known
    return round(left, 1)


def _stamp(place: Any) -> str:
    file = place / "field.safetensors" if place.is_dir() else place
    try:
        return f"{file.stat().st_mtime_ns:x}"
    except OSError:
        return ""


def stages_of(run: Run) -> list[str]:
    """The names of a run's stages; none before it is declared."""
    try:
        return list(read_method(run.folder).get("stages") or {})
    except Damaged:
        return []


def log_of(job: Job) -> str:
    """The end of what a job's processes printed."""
    return clean((text_of(job.log) or "it has printed nothing yet\n")[-LONGEST_LOG:])


def all_about(project: Project) -> list[dict[str, Any]]:
    """Every run, the newest first."""
    found = [
        {
            "run": s.name,
            "method": s.method,
            "asked": s.prompt,
            "when": s.values.get("when", ""),
            "done": bool(s.n_made and s.n_made == s.n_stages),
            "problem": s.problem,
            "facts": s.facts,
            "version": s.number or 0,
        }
        for s in summaries(project)
    ]
    return sorted(found, key=lambda about: str(about["when"]), reverse=True)


def mesh(project: Project, name: str) -> Response:
    """The run's GLB, with where it came from written into it."""
    version = find_version(project, name)
    found = mesh_of(version)
    if found is None:
        raise Prior3dError(f"{name} has no mesh yet")
    stage, path, _ = found
    content = with_statement(version, stage, path, version.read(stage, path) or b"")
    file = re.sub(r"[^A-Za-z0-9._-]", "-", name)
    headers = {"Content-Disposition": f'inline; filename="{file}.glb"'}
    return Response(content, media_type="model/gltf-binary", headers=headers)


def report(project: Project, name: str) -> Response:
    """The page of a run, as `prior3d open` makes it."""
    return HTMLResponse(page_of([find_version(project, name)]))


def comparison(project: Project, names: list[str]) -> str:
    """The page of several runs, as `prior3d compare` makes it (raises Prior3dError)."""
    if not 2 <= len(names) <= MOST_VERSIONS:
        raise Prior3dError(f"choose 2 to {MOST_VERSIONS} runs to compare, found {len(names)}")
    return page_of([find_version(project, name) for name in names])


def thumbnail_of(project: Project, name: str) -> Response:
    """A small image of a run: a data: URL as text; empty without one."""
    key = next((s.thumbnail for s in summaries(project) if s.name == name), "")
    return PlainTextResponse((thumbnail(project, name, key) if key else None) or "")


def preview(project: Project, name: str) -> Response:
    """The newest preview of a stage that runs."""
    run = Run(project, name).require()
    place = read_state(run, stages_of(run)).preview
    try:
        content = place.read_bytes() if place is not None else b""
    except OSError:  # the stage has just ended
        content = b""
    return Response(content, media_type="image/png") if content else Response(status_code=404)


def camera_asked(query: Mapping[str, str]) -> tuple[float, float, int, Kind]:
    """Azimuth, elevation, pixels and kind of a live image (raises Prior3dError)."""
    try:
        azimuth, elevation = float(query.get("azimuth", "30")) % 360, float(query.get("elevation", "15"))
        size = int(query.get("size", "160"))
    except ValueError:
        raise Prior3dError("azimuth, elevation and size are numbers") from None
    kind: Kind = "depth" if query.get("kind") == "depth" else "colours"
    return azimuth, min(max(elevation, -85.0), 85.0), min(max(size, SMALLEST), LARGEST), kind
