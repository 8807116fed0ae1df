"""What a capture consists of: frames with an image and its camera; and the checks that all layouts share."""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.errors import Prior3dError
from prior3d.images.opening import MAX_PIXELS
from prior3d.images.photographs import ImageHeader, read_header

Layout = Literal["transforms", "blender", "colmap", "co3d"]
ORTHONORMAL_WITHIN = 1e-2  # of each entry of R^T R; what text files and solvers leave


@dataclass(frozen=True)
class Intrinsics:
    """A camera's intrinsics in pixels of an image of width x height, with OpenCV's distortion.

    Attributes:
        width: of the image that the other numbers speak of.
        height: of the same.
        fx: horizontal focal length.
        fy: vertical focal length.
        cx: principal point, from the left edge.
        cy: principal point, from the top edge.
        radial: k1, k2, k3.
        tangential: p1, p2.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    radial: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tangential: tuple[float, float] = (0.0, 0.0)

    @property
    def is_centred_pinhole(self) -> bool:
        """No distortion, square pixels, the principal point in the middle: what `prior3d.cameras.Cameras` describe."""
        middle = abs(self.cx - self.width / 2) < 1e-3 and abs(self.cy - self.height / 2) < 1e-3
        return middle and abs(self.fx / self.fy - 1) < 1e-6 and not any(self.radial + self.tangential)

    def resized(self, width: int, height: int) -> "Intrinsics":
        """The intrinsics of the same image with another number of pixels."""
        x, y = width / self.width, height / self.height
        return replace(self, width=width, height=height, fx=self.fx * x, fy=self.fy * y, cx=self.cx * x, cy=self.cy * y)


@dataclass(frozen=True)
class Frame:
    """One photograph.

    Attributes:
        image: the image's file; it is there and its header can be read.
        c2w: [4, 4] float64 camera-to-world, OpenGL axes.
        intrinsics: for the image's own number of pixels.
        mask: an image, white where the first is to be used; or None.
        upright: whether the image is to be turned as its EXIF says; else its pixels are used as they are stored.
        soft_mask: whether the mask holds probabilities, which may be faint everywhere.
    """

    image: Path
    c2w: Float[Tensor, "4 4"]
    intrinsics: Intrinsics
    mask: Path | None = None
    upright: bool = True
    soft_mask: bool = False


@dataclass(frozen=True)
class CapturePoints:
    """Points of the surfaces that photos show, as structure from motion found them.

    Attributes:
        places: [n, 3] float64, in the capture's units.
        colours: [n, 3] in [0, 1].
    """

    places: Float[Tensor, "points 3"]
    colours: Float[Tensor, "points 3"]


@dataclass(frozen=True)
class Capture:
    """A folder of posed photographs.

    Attributes:
        folder: where it lies.
        layout: how it was written down.
        frames: in the natural order of their names (r_2 before r_10), which is usually the camera's path.
        notes: what a person may not expect of what was read.
        points: of what the photos show, where the layout has some.
    """

    folder: Path
    layout: Layout
    frames: tuple[Frame, ...]
    notes: tuple[str, ...] = ()
    points: CapturePoints | None = None

    @property
    def c2w(self) -> Float[Tensor, "frames 4 4"]:
        """[frames, 4, 4] float64 camera-to-world, OpenGL axes."""
        return torch.stack([frame.c2w for frame in self.frames])


def natural_order(text: str) -> list[tuple[int, int, str]]:
    """A sorting key under which numbers inside names count as numbers."""
    return [(0, int(word), "") if word.isdecimal() else (1, 0, word) for word in re.split(r"(\d+)", text) if word]


def image_header(path: Path, said_in: str) -> ImageHeader:
    """What an image's file says before it is decoded.

    Raises:
        Prior3dError: the file is missing, or is no image, or has more pixels than are read.
    """
    if not path.is_file():
        raise Prior3dError(f"{said_in}: {path} is named there but missing; restore it, or take its frame out")
    try:
        return read_header(path)
    except Prior3dError as error:
        raise Prior3dError(f"{error}; or take its frame out") from None


def checked_intrinsics(intrinsics: Intrinsics, where: str) -> Intrinsics:
    """The intrinsics, if a camera can have them.

    Raises:
        Prior3dError: a number is not finite, or a focal length or size is not above 0 or beyond any image.
    """
    i = intrinsics
    numbers = (i.fx, i.fy, i.cx, i.cy, *i.radial, *i.tangential)
    possible = all(math.isfinite(number) for number in numbers) and min(i.fx, i.fy, i.width, i.height) > 0
    if not possible or max(i.width, i.height) > MAX_PIXELS:
        raise Prior3dError(
            f"{where}: focal length [{i.fx:g}, {i.fy:g}], principal point [{i.cx:g}, {i.cy:g}] or size "
            f"{str(i.width)[:12]}x{str(i.height)[:12]} is not possible; right it"
        )
    return intrinsics


def image_size(path: Path, said_in: str) -> tuple[int, int]:
    """Width and height of an upright image, from its header (raises Prior3dError as `image_header` does)."""
    header = image_header(path, said_in)
    return header.width, header.height


def size_and_turn(
    header: ImageHeader, calibrated: tuple[int, int] | None, *, stored: bool = False
) -> tuple[tuple[int, int], bool]:
    """Which way an image that its EXIF turns was calibrated: upright, as viewers show it, or as it is stored.

    Args:
        header: of the image.
        calibrated: width and height that the intrinsics are for, if they are known: their shape decides.
        stored: as it is stored, where the shape does not tell; some programs do not look at EXIF.

    Returns:
        width and height, and whether EXIF is to be followed.
    """
    sizes = {True: (header.width, header.height), False: (header.width, header.height)}
    if header.turned:
        sizes[False] = (header.height, header.width)
    turns = (False, True) if stored else (True, False)
    for upright in turns:
        if calibrated is not None and _same_shape(sizes[upright], calibrated):
            return sizes[upright], upright
    return sizes[turns[0]], turns[0]


def _same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) are of one shape, to a pixel or so."""
    (width, height), (other_width, other_height) = size, other
    if min(other) <= 0:
        return False
    return (
        abs(width * other_height / other_width - height) <= 1.5
        and abs(height * other_width / other_height - width) <= 1.5
    )


def fitted_to_image(intrinsics: Intrinsics, size: tuple[int, int], where: str) -> Intrinsics:
    """The intrinsics for an image of another size (width, height) than they are for, if the shape is the same.

    Raises:
        Prior3dError: the shapes differ by more than a pixel or so.
    """
    width, height = size
    if size == (intrinsics.width, intrinsics.height):
        return intrinsics
    if not _same_shape(size, (intrinsics.width, intrinsics.height)):
        raise Prior3dError(
            f"{where}: the image has {width}x{height} pixels, its intrinsics are for "
            f"{intrinsics.width}x{intrinsics.height}, which is another shape; give the image that was calibrated, "
            "or right w and h"
        )
    return intrinsics.resized(width, height)


def checked_pose(matrix: object, where: str) -> Float[Tensor, "4 4"]:
    """A camera-to-world matrix [4, 4] float64 with an exactly orthonormal rotation.

    Args:
        matrix: nested lists or a tensor, 4 x 4 or 3 x 4.
        where: what to call it in a message.

    Raises:
        Prior3dError: not a matrix, not finite, left-handed, scaled or sheared.
    """
    try:
        given = torch.as_tensor(matrix, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise Prior3dError(f"{where}: transform_matrix is no matrix of numbers; give 4 rows of 4") from None
    if given.shape not in ((4, 4), (3, 4)):
        raise Prior3dError(f"{where}: transform_matrix is {tuple(given.shape)}; give 4 rows of 4")
    if not given.isfinite().all():
        raise Prior3dError(f"{where}: transform_matrix holds a value that is not finite; estimate this camera anew")
    rotation = given[:3, :3]
    lengths = rotation.norm(dim=0)
    if rotation.det() < 0:
        raise Prior3dError(
            f"{where}: transform_matrix is left-handed (its determinant is {rotation.det():.3g}); "
            "mirror one axis of the whole capture, or export it for a right-handed program"
        )
    if (lengths - 1).abs().max() > ORTHONORMAL_WITHIN:
        found = ", ".join(f"{length:.3g}" for length in lengths.tolist())
        raise Prior3dError(
            f"{where}: transform_matrix is scaled: its axes have lengths {found}, not 1; divide them by their lengths"
        )
    if (rotation.T @ rotation - torch.eye(3, dtype=torch.float64)).abs().max() > ORTHONORMAL_WITHIN:
        raise Prior3dError(f"{where}: the axes of transform_matrix are not at right angles; export the camera anew")
    u, _, v = torch.linalg.svd(rotation)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3], pose[:3, 3] = u @ v, given[:3, 3]
    return pose
