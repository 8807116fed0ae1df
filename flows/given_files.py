"""Files, folders and cameras that a person names, looked at before a run is made of them.

What costs little to see is said at once, in one line, and leaves nothing behind. The stages look closer.
"""

import importlib
import math
from pathlib import Path

from flows.engine.method import Input
from flows.inputs import PICTURES
from prior3d.errors import Prior3dError

CAMERA_SYNTAX = (
    "write azimuth,elevation,fov in degrees, e.g. --camera 30,15,40 (a negative azimuth as --camera=-30,15,40)"
)


def given_path(option: str, declared: Input, value: str) -> Path:
    """The file or folder of an input.

    Args:
        option: for messages.
        declared: the input.
        value: what a person wrote.

    Raises:
        Prior3dError: it is not there, is of another kind or ending, is empty, or is no image where one is wanted.
    """
    named = Path(value).expanduser()
    path = named.resolve()
    if declared.kind == "file" and path.is_dir():
        raise Prior3dError(f"{option} {value!r}: it is a folder; give a file")
    if declared.kind == "folder" and path.is_file():
        raise Prior3dError(f"{option} {value!r}: it is a file; give the folder that holds it")
    if not (path.is_dir() if declared.kind == "folder" else path.is_file()):
        raise Prior3dError(f"{option} {value!r}: there is no such {declared.kind}{_hint(value)}")
    ending = next((p for p in (path, named) if p.suffix.lower() in declared.suffixes), None)  # a link has its own
    if declared.suffixes and ending is None:
        endings = ", ".join(declared.suffixes)
        raise Prior3dError(f"{option} {value!r}: its ending is {named.suffix!r}; use one of {endings}")
    if declared.kind == "file":
        _look_at(f"{option} {value!r}", declared, path)
    return path if ending in (None, path) else named.absolute()


def _hint(value: str) -> str:
    return "; download it first, and give the file" if "://" in value else ""


def _look_at(where: str, declared: Input, path: Path) -> None:
    """Hold that a file holds something, and that an image begins as one (raises Prior3dError)."""
    if not path.stat().st_size:
        raise Prior3dError(f"{where}: the file is empty; fetch it again, or give another one")
    if declared.suffixes == PICTURES:
        opening = importlib.import_module("prior3d.images.opening")  # start-up: Pillow, for those who give an image
        with opening.opened_image(path, where, "fetch it again, or give another one"):
            pass


def check_camera(text: str) -> None:
    """Hold that a text is a camera.

    The stage says the same (`stages/artifacts/texts.py`), where torch is there anyway; a test holds both together.

    Raises:
        Prior3dError: it has not three numbers, or one is out of its range.
    """
    try:
        azimuth_deg, elevation_deg, fov_deg = (float(part) for part in text.split(","))
    except ValueError:
        raise Prior3dError(f"--camera {text!r}: not three numbers; {CAMERA_SYNTAX}") from None
    if not math.isfinite(azimuth_deg) or not -90 <= elevation_deg <= 90 or not 1 <= fov_deg <= 120:
        raise Prior3dError(
            f"--camera {text!r}: the elevation must lie in -90..90 and the field of view in 1..120; {CAMERA_SYNTAX}"
        )
