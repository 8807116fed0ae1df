"""`symmetry.json`: an object's mirror planes, and how well fits showed inputs that were left out."""

from dataclasses import asdict
from pathlib import Path

from prior3d.errors import Prior3dError
from prior3d.reconstruction.symmetry import MirrorPlane, Symmetry
from stages.artifacts.base import RUN_AGAIN, read_json, write_json


def save_symmetry(folder: Path, symmetry: Symmetry) -> None:
    """Write the file."""
    content = {
        "planes": [asdict(plane) for plane in symmetry.planes],
        "weight": symmetry.weight,
        "leave_one_out_db": {str(view): score_db for view, score_db in symmetry.leave_one_out_db.items()},
    }
    write_json(folder / "symmetry.json", content)


def load_symmetry(folder: Path) -> Symmetry:
    """Read the file; a Prior3dError says what is wrong with it."""
    path = folder / "symmetry.json"
    content = read_json(path)
    try:
        planes = tuple(MirrorPlane(**plane) for plane in content["planes"])
        scores_db = {int(view): float(score_db) for view, score_db in content["leave_one_out_db"].items()}
        return Symmetry(planes, float(content["weight"]), scores_db)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise Prior3dError(f"{path}: not a symmetry ({error}). {RUN_AGAIN}") from error


def check_symmetry(folder: Path) -> None:
    """Load the file."""
    load_symmetry(folder)
