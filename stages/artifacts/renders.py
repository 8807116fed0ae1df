"""Images of a result: turntables and a report, a scene along its path, samples of novel views."""

from pathlib import Path

from prior3d.errors import Prior3dError
from stages.artifacts.base import RUN_AGAIN, read_file

RENDER_FILES = ("turntable.png", "turntable.mp4", "mesh_turntable.png", "rig.json", "report.html")
STARTS = {".png": (0, b"\x89PNG"), ".mp4": (4, b"ftyp"), ".json": (0, b"{"), ".html": (0, b"<!doctype html")}


def check_renders(folder: Path) -> None:
    """Check turntables of field and mesh, a video, `rig.json` and `report.html`: each is what its name says."""
    _check_files(folder, RENDER_FILES)


def check_path_renders(folder: Path) -> None:
    """Check a scene along its capture's path: `path.mp4`, and `path.png`, a sheet of some of its frames."""
    _check_files(folder, ("path.mp4", "path.png"))


def check_samples(folder: Path) -> None:
    """Check `samples.png`: novel views to look at."""
    _check_files(folder, ("samples.png",))


def _check_files(folder: Path, names: tuple[str, ...]) -> None:
    """Check that every file is there and begins as files of its suffix do."""
    for name in names:
        offset, expected = STARTS[Path(name).suffix]
        content = read_file(folder / name)
        if content[offset : offset + len(expected)] != expected:
            raise Prior3dError(f"{folder / name}: its content is not {Path(name).suffix}. {RUN_AGAIN}")
