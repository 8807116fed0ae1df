"""Pictures of a result, and the metrics that lie beside every artifact."""

import math
from pathlib import Path
from typing import Any

from prior3d.errors import Prior3dError
from stages.artifacts.base import RUN_AGAIN, read_file, read_json

RENDER_FILES = ("turntable.png", "turntable.mp4", "mesh_turntable.png", "rig.json", "report.html")
STARTS = {".png": (0, b"\x89PNG"), ".mp4": (4, b"ftyp"), ".json": (0, b"{"), ".html": (0, b"<!doctype html")}


def check_renders(folder: Path) -> None:
    """Check turntables of field and mesh, a video, `rig.json` and `report.html`: each is what its name says."""
    _check_files(folder, RENDER_FILES)


def check_path_renders(folder: Path) -> None:
    """Check a scene along its capture's path: `path.mp4`, and `path.png`, a sheet of some of its frames."""
    _check_files(folder, ("path.mp4", "path.png"))


def load_metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """Read `metrics.json`: name to {value, unit, n, higher_is_better}; a Prior3dError says what is wrong with it."""
    path = folder / "metrics.json"
    metrics = read_json(path)
    for name, entry in metrics.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("value"), int | float):
            raise Prior3dError(
                f"{path}: {name}: found {entry!r}, expected an object with a number 'value'. {RUN_AGAIN}"
            )
        if not math.isfinite(entry["value"]):
            raise Prior3dError(f"{path}: {name} is {entry['value']}, not a finite number. {RUN_AGAIN}")
    return metrics


def _check_files(folder: Path, names: tuple[str, ...]) -> None:
    """Check that every file is there and begins as files of its suffix do."""
    for name in names:
        offset, expected = STARTS[Path(name).suffix]
        content = read_file(folder / name)
        if content[offset : offset + len(expected)] != expected:
            raise Prior3dError(f"{folder / name}: its content is not {Path(name).suffix}. {RUN_AGAIN}")
