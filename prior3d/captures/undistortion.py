"""Make any perspective image one of a centred pinhole with square pixels, in one lookup, with no empty corners."""

import torch
import torch.nn.functional as functional
from jaxtyping import Float
from torch import Tensor

from prior3d.captures.capture import Intrinsics
from prior3d.errors import Prior3dError

WIDEST, NARROWEST = 0.5, 4.0  # focal lengths that are tried, relative to the lens's own
N_PROBES = 97  # along each side of an image, at which it is looked whether a view fits into it


def distort(
    x: Float[Tensor, "*places"], y: Float[Tensor, "*places"], intrinsics: Intrinsics
) -> tuple[Float[Tensor, "*places"], Float[Tensor, "*places"]]:
    """OpenCV's model: where a direction (x / z, y / z), y downwards, appears, in the same units; differentiable."""
    (k1, k2, k3), (p1, p2) = intrinsics.radial, intrinsics.tangential
    squared = x * x + y * y
    radial = 1 + squared * (k1 + squared * (k2 + squared * k3))
    moved_x = x * radial + 2 * p1 * x * y + p2 * (squared + 2 * x * x)
    return moved_x, y * radial + p1 * (squared + 2 * y * y) + 2 * p2 * x * y


def target_size(intrinsics: Intrinsics, longest_side: int) -> tuple[int, int]:
    """Height and width of an image made as small as asked for; never larger than it is. 0 keeps the size."""
    factor = min(1.0, longest_side / max(intrinsics.width, intrinsics.height)) if longest_side else 1.0
    return max(1, round(intrinsics.height * factor)), max(1, round(intrinsics.width * factor))


def pinhole_focal(intrinsics: Intrinsics, height: int, width: int, where: str = "lens") -> float:
    """The shortest focal length, in pixels of the target, at which no pixel looks outside of the image.

    Args:
        intrinsics: of the image.
        height: of the target.
        width: of the target.
        where: what to call the lens in a message.

    Raises:
        Prior3dError: even a narrow view would look outside, or where the distortion folds the image over itself.
    """
    intrinsics = intrinsics.resized(width, height)
    own: float = (intrinsics.fx * intrinsics.fy) ** 0.5
    if intrinsics.is_centred_pinhole:
        return own
    low, high = WIDEST * own, NARROWEST * own
    if not _inside(intrinsics, high):
        raise Prior3dError(
            f"{where}: its distortion or principal point ({intrinsics.cx:.1f}, {intrinsics.cy:.1f} of "
            f"{width}x{height}) leaves no image to cut out; calibrate the camera anew"
        )
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _inside(intrinsics, middle) else (middle, high)
    return high


def undistort(
    image: Float[Tensor, "channels old_height old_width"], intrinsics: Intrinsics, focal: float, height: int, width: int
) -> Float[Tensor, "channels height width"]:
    """What a centred pinhole camera of that focal length would have taken from the same place.

    Args:
        image: [channels, h, w] in [0, 1]; colours with an alpha channel should be premultiplied.
        intrinsics: of the image.
        focal: in pixels of the target.
        height: of the target.
        width: of the target.

    Returns:
        [channels, height, width] in [0, 1].
    """
    if image.shape[1:] != (height, width):
        image = functional.interpolate(image[None], (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)
    intrinsics = intrinsics.resized(width, height)
    if intrinsics.is_centred_pinhole and abs(focal / intrinsics.fx - 1) < 1e-6:
        return image
    x, y = _sources(intrinsics, focal, height, width)
    grid = torch.stack([x / width * 2 - 1, y / height * 2 - 1], -1).float()
    found = functional.grid_sample(image[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False)
    return found[0].clamp(0, 1)


def _sources(
    intrinsics: Intrinsics, focal: float, n_rows: int, n_columns: int
) -> tuple[Float[Tensor, "rows columns"], Float[Tensor, "rows columns"]]:
    """Where in the image target pixels come from: x and y [n_rows, n_columns], the first pixel's centre at 0.5.

    All of them, or fewer, evenly from the first to the last.
    """
    columns = torch.linspace(0.5, intrinsics.width - 0.5, n_columns, dtype=torch.float64) - intrinsics.width / 2
    rows = torch.linspace(0.5, intrinsics.height - 0.5, n_rows, dtype=torch.float64) - intrinsics.height / 2
    y, x = torch.meshgrid(rows / focal, columns / focal, indexing="ij")
    x, y = distort(x, y, intrinsics)
    return intrinsics.cx + intrinsics.fx * x, intrinsics.cy + intrinsics.fy * y


def _inside(intrinsics: Intrinsics, focal: float) -> bool:
    """Whether all pixels of the target come from inside the image, each from a place of its own."""
    x, y = _sources(intrinsics, focal, min(intrinsics.height, N_PROBES), min(intrinsics.width, N_PROBES))
    edge = 0.5 - 1e-6
    fits = (
        x.min() >= edge
        and y.min() >= edge
        and x.max() <= intrinsics.width - edge
        and y.max() <= intrinsics.height - edge
    )
    return bool(fits and (x.diff(dim=1) > 0).all() and (y.diff(dim=0) > 0).all())
