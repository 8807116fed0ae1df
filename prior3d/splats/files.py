"""Files of splats that other programs read and write, by their ending."""

from collections.abc import Callable
from pathlib import Path

from prior3d.errors import Prior3dError
from prior3d.limits import read_bytes
from prior3d.splats.checks import BadSplats
from prior3d.splats.glb_file import glb_bytes, read_glb_bytes
from prior3d.splats.model import Splats
from prior3d.splats.ply_file import ply_bytes, read_ply_bytes
from prior3d.splats.splat_file import read_splat_bytes, splat_bytes
from prior3d.splats.spz_file import read_spz, spz_bytes

LARGEST_FILE = 2_000_000_000  # bytes
WRITERS: dict[str, Callable[[Splats], bytes]] = {
    "ply": ply_bytes, "spz": spz_bytes, "splat": splat_bytes, "glb": glb_bytes,
}  # fmt: skip
READERS: dict[str, Callable[[bytes], Splats]] = {
    "ply": read_ply_bytes, "splat": read_splat_bytes, "glb": read_glb_bytes,
}  # fmt: skip


def read_splats(path: Path) -> Splats:
    """Read a file of splats into our world: z up, the front along x.

    Args:
        path: ends in .ply, .spz, .splat or .glb.

    Raises:
        Prior3dError: it cannot be read, is cut off, is no splats, or holds values that cannot be used.
    """
    kind = path.suffix.lower()[1:]
    if kind not in WRITERS:
        raise Prior3dError(f"{path}: splats are read from {', '.join(f'.{known}' for known in WRITERS)}")
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise BadSplats(f"it has more than {LARGEST_FILE // 10**6} MB")
        return read_spz(path, size) if kind == "spz" else READERS[kind](read_bytes(path, size))
    except BadSplats as error:
        raise Prior3dError(f"{path}: {error}; export it again as a .ply of 3D Gaussian splatting") from error
    except (OSError, ValueError) as error:
        raise Prior3dError(f"{path}: it cannot be read ({error})") from error
