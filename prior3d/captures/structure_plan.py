"""Which photos cameras are looked for, and a drawing of where they were found; without pycolmap."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from prior3d.capture_files import IMAGE_ENDINGS
from prior3d.captures.capture import natural_order
from prior3d.errors import Prior3dError

SIDE = 320  # of the drawing, in pixels
LEAST = 3  # photos


def chosen_photos(folder: Path, most: int) -> list[Path]:
    """The photos of a folder in the order of their names; of too many an even choice.

    Raises:
        Prior3dError: there are fewer than three.
    """
    found = [file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_ENDINGS and file.is_file()]
    found.sort(key=lambda file: natural_order(file.relative_to(folder).as_posix()))
    if len(found) < LEAST:
        raise Prior3dError(
            f"{folder}: {len(found)} photo{'s' * (len(found) != 1)} ({', '.join(IMAGE_ENDINGS)}); their cameras can be "
            f"found from {LEAST} or more that overlap, better from 20 to 100"
        )
    n = len(found)
    return found if n <= most else [found[i * n // most] for i in range(most)]


def drawn_from_above(
    positions: Float[np.ndarray, "views 3"],
    directions: Float[np.ndarray, "views 3"],
    points: Float[np.ndarray, "points 3"],
    colours: UInt8[np.ndarray, "points 3"],
) -> Float[np.ndarray, "side side 3"]:
    """Cameras (orange, with a stroke where they look) and points, seen along the axis in which cameras differ least.

    Args:
        positions: of the cameras, in any frame.
        directions: unit, which way they look.
        points: of the model.
        colours: of the points.

    Returns:
        [side, side, 3] in [0, 1].
    """
    middle = positions.mean(0)
    _, _, axes = np.linalg.svd(positions - middle, full_matrices=True)
    flat = axes[:2].T
    shown = np.concatenate([positions, points[np.linalg.norm(points - middle, axis=1) < _reach(positions, points)]])
    extent = np.abs((shown - middle) @ flat).max() * 1.1 + 1e-9

    def place(what: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        placed: np.ndarray = ((what - middle) @ flat / extent * 0.5 + 0.5) * (SIDE - 1)
        return placed

    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    for (x, y), colour in zip(place(points), colours, strict=True):
        draw.point((x, y), fill=tuple(int(c) for c in colour))
    ends = place(positions + directions * extent * 0.08)
    for (x, y), (to_x, to_y) in zip(place(positions), ends, strict=True):
        draw.line((x, y, to_x, to_y), fill=(230, 120, 0))
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(230, 120, 0))
    drawn: np.ndarray = np.asarray(image, np.float64) / 255
    return drawn


def _reach(positions: Float[np.ndarray, "views 3"], points: Float[np.ndarray, "points 3"]) -> float:
    """How far from the cameras' middle nine of ten points lie: the others are far off, or wrong."""
    away = np.linalg.norm(points - positions.mean(0), axis=1)
    return float(np.quantile(away, 0.9)) if len(away) else 0.0
