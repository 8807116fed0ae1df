"""One sequence of a category in CO3Dv2's layout, as a capture with masks."""

from pathlib import Path
from typing import Any

import torch

from prior3d.captures.capture import Capture, Frame, Lens, checked_pose, picture_size
from prior3d.captures.co3d_objects import annotations, file_of, frame_pose
from prior3d.errors import Prior3dError
from prior3d.suggestions import did_you_mean

FRAMES, SEQUENCES = "frame_annotations.jgz", "sequence_annotations.jgz"


def is_co3d(folder: Path) -> bool:
    """Whether a folder is one of a CO3Dv2 category."""
    return (folder / FRAMES).is_file()


def read_co3d_sequence(folder: Path, sequence: str = "") -> Capture:
    """Read the cameras of one sequence; no picture is decoded.

    Args:
        folder: of the category.
        sequence: its name; empty: the only one there is.

    Raises:
        Prior3dError: annotations or pictures are missing or unreadable, or which sequence is meant is not clear.
    """
    frames = annotations(folder / FRAMES)
    names = sorted({str(frame["sequence_name"]) for frame in frames})
    if not sequence and len(names) == 1:
        sequence = names[0]
    if sequence not in names:
        known = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        hint = did_you_mean(sequence, names, f"it has {known}", str)
        raise Prior3dError(f"{folder}: which sequence? --set view_preparation.sequence=NAME; {hint}")
    chosen = sorted((f for f in frames if f["sequence_name"] == sequence), key=lambda f: int(f.get("frame_number", 0)))
    return Capture(folder, "co3d", tuple(_frame(folder, frame) for frame in chosen))


def _frame(folder: Path, frame: dict[str, Any]) -> Frame:
    said_in = f"{folder / FRAMES}, sequence {frame['sequence_name']}"
    try:
        image, mask = (file_of(folder, frame[kind]["path"]) for kind in ("image", "mask"))
        width, height = picture_size(image, said_in)
        rotation, place, focal, centre = frame_pose(frame["viewpoint"], height, width)
    except (KeyError, TypeError, ValueError) as error:
        raise Prior3dError(f"{said_in}: a frame lacks or garbles {error}; fetch the annotations again") from error
    if picture_size(mask, said_in) != (width, height):
        raise Prior3dError(f"{mask}: it has another size than its picture {image.name}; fetch both again")
    c2w = torch.cat([rotation, place[:, None]], dim=1)
    (fx, fy), (cx, cy) = focal.tolist(), centre.tolist()
    return Frame(image, checked_pose(c2w, f"{said_in}, frame {image.name}"), Lens(width, height, fx, fy, cx, cy), mask)
