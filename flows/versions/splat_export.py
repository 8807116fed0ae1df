"""Export of a version's Gaussian splats alone, as one file for viewers and engines."""

import importlib
import tempfile
from pathlib import Path

from flows.provenance.statement import with_statement
from flows.terminal import size_text
from flows.versions.history import Version
from prior3d.errors import Prior3dError

SPLAT_FORMATS = ("ply", "spz", "splat", "glb")  # of prior3d.splats.files, which imports torch
TENSORS, DESCRIBED = "field.safetensors", "field.json"


def export_version_splats(version: Version, target: Path, kind: str) -> str:
    """Write the last splats of a version.

    Args:
        version: all its files are in the cache, or in the run's folder.
        target: a new file with that ending, or a folder to put it in.
        kind: one of `SPLAT_FORMATS`.

    Returns:
        One line that says what was written.

    Raises:
        Prior3dError: there are no splats, the file exists, or it cannot be written.
    """
    if target.suffix.lower()[1:] in SPLAT_FORMATS and target.suffix.lower() != f".{kind}":
        raise Prior3dError(f"{target.name} ends in {target.suffix}, but --splats is {kind}; let them agree")
    stage = splat_stage(version)
    if stage is None:
        how = "--set scene_fit.kind=splats, or coarse_nerf.kind=splats"
        raise Prior3dError(f"{version.label} has no splats; make some: {how}")
    file = target if target.suffix.lower() == f".{kind}" else target / f"{version.run.name}.{kind}"
    if file.exists():
        raise Prior3dError(f"{file} exists; name another file, or delete it")
    content = _content(version, stage, kind)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(with_statement(version, stage, f"{stage}/splats.{kind}", content))
    except OSError as error:
        raise Prior3dError(f"{file} cannot be written ({error.strerror or error}); name another place") from error
    return f"{version.label}: {file} ({size_text(file.stat().st_size)})"


def splat_stage(version: Version) -> str | None:
    """The last stage of a version that left splats."""
    return next((stage for stage in reversed(version.lock) if _has_splats(version, stage)), None)


def _has_splats(version: Version, stage: str) -> bool:
    path = f"{stage}/{DESCRIBED}"
    content = version.read(stage, path) if path in (version.files(stage) or {}) else None
    return content is not None and b'"splats"' in content


def _content(version: Version, stage: str, kind: str) -> bytes:
    """The splats of a stage in another format."""
    # By name and only now: they import torch, which other exports do without.
    reader, writers = (importlib.import_module(name) for name in ("stages.artifacts.splats", "prior3d.splats.files"))
    with tempfile.TemporaryDirectory() as folder:
        for name in (DESCRIBED, TENSORS):
            content = version.read(stage, f"{stage}/{name}")
            if content is None:
                version.require_files()
            (Path(folder) / name).write_bytes(content or b"")
        made: bytes = writers.WRITERS[kind](reader.load_splats(Path(folder)).splats)
    return made
