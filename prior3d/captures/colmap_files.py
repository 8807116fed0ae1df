"""Hold COLMAP's binary files against their own counts before pycolmap reads them.

A damaged count makes pycolmap loop for hours at the end of a file, or allocate whatever the count says. The layouts are
those of COLMAP 3.x and 4.x (`src/colmap/scene/reconstruction_io.cc`); `rigs.bin` and `frames.bin` came with 3.12.
"""

import struct
from collections.abc import Callable
from pathlib import Path

from prior3d.errors import Prior3dError

LARGEST_BYTES = 2_000_000_000
PARAMETERS = (3, 4, 4, 5, 8, 8, 12, 5, 4, 5, 12)  # numbers of a camera by the model's number, SIMPLE_PINHOLE first
LONGEST_NAME = 4096
SENSOR = 8  # bytes: kind and number
POSE = 56  # bytes: a quaternion and a translation


class _Cut(Exception):
    """A count says more than the file holds."""


class _Walk:
    """A place in a file's content."""

    def __init__(self, content: memoryview) -> None:
        self.content, self.place = content, 0

    def skip(self, n_bytes: int) -> None:
        """Go on by so many bytes (raises _Cut)."""
        self.place += n_bytes
        if self.place > len(self.content):
            raise _Cut

    def number(self, form: str) -> int:
        """Read a number (raises _Cut)."""
        start = self.place
        self.skip(struct.calcsize(form))
        return int(struct.unpack_from(form, self.content, start)[0])

    def name(self) -> None:
        """Skip a text that ends with a zero byte (raises _Cut)."""
        end = bytes(self.content[self.place : self.place + LONGEST_NAME]).find(0)
        if end < 0:
            raise _Cut
        self.skip(end + 1)


def _camera(walk: _Walk) -> None:
    walk.skip(4)
    model = walk.number("<i")
    walk.skip(16)
    walk.skip(8 * (PARAMETERS[model] if 0 <= model < len(PARAMETERS) else 1))


def _image(walk: _Walk) -> None:
    walk.skip(4 + POSE + 4)
    walk.name()
    walk.skip(24 * walk.number("<Q"))


def _point(walk: _Walk) -> None:
    walk.skip(8 + 24 + 3 + 8)
    walk.skip(8 * walk.number("<Q"))


def _rig(walk: _Walk) -> None:
    walk.skip(4)
    for sensor in range(walk.number("<I")):
        walk.skip(SENSOR)
        if sensor and walk.number("<B"):
            walk.skip(POSE)


def _frame(walk: _Walk) -> None:
    walk.skip(8 + POSE)
    walk.skip((SENSOR + 8) * walk.number("<I"))


RECORDS: dict[str, Callable[[_Walk], None]] = {
    "cameras.bin": _camera,
    "images.bin": _image,
    "points3D.bin": _point,
    "rigs.bin": _rig,
    "frames.bin": _frame,
}


def check_model_files(model: Path) -> None:
    """Hold that every binary file of a sparse model is as long as its counts say.

    Raises:
        Prior3dError: one is shorter, or larger than `LARGEST_BYTES`; names it.
    """
    for name, record in RECORDS.items():
        file = model / name
        if not file.is_file():
            continue
        try:
            if file.stat().st_size > LARGEST_BYTES:
                raise Prior3dError(f"{file}: it has more than {LARGEST_BYTES // 10**9} GB; make a smaller model")
            walk = _Walk(memoryview(file.read_bytes()))
            for _ in range(walk.number("<Q")):
                record(walk)
        except _Cut:
            raise Prior3dError(f"{file}: shorter than its counts say; it is damaged: run COLMAP again") from None
        except OSError as error:
            raise Prior3dError(f"{file}: cannot be read ({error.strerror}); run COLMAP again") from None
