"""A file of Gaussian splats as a person gives it."""

from pathlib import Path

from prior3d.errors import Prior3dError


def check_splat_file(path: Path) -> None:
    """Check that it is one file that is not empty; the stage that reads it looks at what is in it."""
    if path.is_dir():
        raise Prior3dError(f"{path}: a file of splats is needed, this is a folder; give one PLY, SPZ, SPLAT or GLB")
    if not path.is_file() or not path.stat().st_size:
        raise Prior3dError(f"{path}: missing or empty; give a PLY, SPZ, SPLAT or GLB file of Gaussian splats")
