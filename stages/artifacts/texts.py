"""Small text files that a person gives: a sentence, and a camera in words."""

import math
from pathlib import Path

from prior3d.errors import Prior3dError
from stages.artifacts.base import read_file

MAX_PROMPT_CHARACTERS = 1000
CAMERA_SYNTAX = (
    "write azimuth,elevation,fov in degrees, e.g. --camera 30,15,40 (a negative azimuth as --camera=-30,15,40)"
)


def check_prompt(path: Path) -> None:
    """Check that there is text, and not more than a prior could read.

    Raises:
        Prior3dError: it is not UTF-8, empty or too long.
    """
    try:
        text = read_file(path).decode().strip()
    except UnicodeDecodeError as error:
        raise Prior3dError(f"{path}: not UTF-8 text ({error}). Save the prompt as UTF-8.") from error
    if not text:
        raise Prior3dError(f"{path}: the prompt is empty. Say in words what to make.")
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise Prior3dError(
            f"{path}: the prompt has {len(text):,} characters, the limit is {MAX_PROMPT_CHARACTERS:,}. Shorten it."
        )


def load_camera_text(path: Path) -> tuple[float, float, float]:
    """Read `azimuth,elevation,fov` in degrees; the azimuth comes back in [0, 360).

    Raises:
        Prior3dError: there are not three numbers, or one is out of its range.
    """
    text = read_file(path).decode("utf-8", "replace").strip()
    parts = text.split(",")
    try:
        azimuth_deg, elevation_deg, fov_deg = (float(part) for part in parts)
    except ValueError:
        raise Prior3dError(f"--camera {text!r}: not three numbers; {CAMERA_SYNTAX}") from None
    if not math.isfinite(azimuth_deg) or not -90 <= elevation_deg <= 90 or not 1 <= fov_deg <= 120:
        raise Prior3dError(
            f"--camera {text!r}: the elevation must lie in -90..90 and the field of view in 1..120; {CAMERA_SYNTAX}"
        )
    return azimuth_deg % 360.0, elevation_deg, fov_deg


def check_camera_text(path: Path) -> None:
    """Check that the camera can be read."""
    load_camera_text(path)
