"""Points of what photos show, out of the PLY that a transforms.json names as its `ply_file_path` (nerfstudio).

They lie in the frame of the cameras' matrices. `ns-process-data` writes the points that COLMAP found so.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh

from prior3d.capture_files import portable
from prior3d.captures.capture import CapturePoints
from prior3d.errors import Prior3dError
from prior3d.inside import named_file

MOST_POINTS = 5_000_000
LARGEST_FILE = 500_000_000  # bytes
LONGEST_HEADER = 10_000  # bytes
GREY = 0.5
COUNT = re.compile(rb"^element vertex (\d+)\s*$", re.MULTILINE)


def named_points(file: Path, content: dict[str, Any]) -> tuple[CapturePoints | None, tuple[str, ...]]:
    """The points that a transforms.json names, None where it names none, and what a person may not expect of them.

    Args:
        file: the transforms.json.
        content: what it holds.

    Raises:
        Prior3dError: the named file is no PLY of points, cut off, or too large.
    """
    name = content.get("ply_file_path")
    if not isinstance(name, str) or not name:
        return None, ()
    path = named_file(file.parent, portable(file.parent, name), str(file))
    if not path.is_file():
        return None, (f"{name}, which ply_file_path names, is not there, so the capture has no points",)
    return _read(path)


def _read(path: Path) -> tuple[CapturePoints | None, tuple[str, ...]]:
    """Points of a file that is there (raises Prior3dError)."""
    n_bytes = path.stat().st_size
    with path.open("rb") as stream:
        counted = COUNT.search(stream.read(LONGEST_HEADER))
    n_claimed = int(counted[1]) if counted else 0
    if n_bytes > LARGEST_FILE or n_claimed > MOST_POINTS:
        raise Prior3dError(
            f"{path}: {n_claimed:,} points in {n_bytes / 1e6:,.0f} MB; at most {MOST_POINTS:,} in "
            f"{LARGEST_FILE / 1e6:,.0f} MB are read, so thin them out, or take ply_file_path out of transforms.json"
        )
    try:
        found: Any = trimesh.load(path, process=False)
        places = np.asarray(found.vertices, dtype=np.float64).reshape(-1, 3)
        colours = getattr(found, "colors", None)
    except Exception as error:  # of the file's contents, of many kinds
        reason = " ".join(str(error).split())[:120]
        raise Prior3dError(f"{path}: no PLY of points ({reason}); write it again") from error
    if len(places) != n_claimed:
        raise Prior3dError(f"{path}: it is cut off: {len(places):,} of {n_claimed:,} points are there; write it again")
    whole = np.isfinite(places).all(1)
    if not whole.any():
        return None, (f"{path.name} holds no point that can be used",)
    rgb = np.asarray(colours) if colours is not None else np.zeros((0, 4))
    if len(rgb) != len(places):
        grey = torch.full((int(whole.sum()), 3), GREY)
        return CapturePoints(torch.from_numpy(places[whole]), grey), (f"the points of {path.name} have no colours",)
    return CapturePoints(torch.from_numpy(places[whole]), torch.from_numpy(rgb[whole, :3] / 255).float()), ()
