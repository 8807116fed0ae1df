"""Read a person's mask: which of the ways to write one it is in, and a word about it where it is in none.

Masks are written as 0 and 255, as 0 and 1, as one bit, as soft edges, as a shape cut out by alpha, and as numbers of
labels. Which label means the object is nothing that a file says: such masks are refused with what was found in them.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Integer

from prior3d.errors import Prior3dError
from prior3d.images.files import resample
from prior3d.images.photographs import OPAQUE, SIXTEEN_BIT, WITH_ALPHA, decoded_image

MOST_LABELS = 40  # distinct values; soft edges have more, or most of their pixels at the ends
BRIGHT = 0.9  # of the largest value, above which a pixel is inside; below what is left of 1 it is outside
GREY_WITHIN = 16  # of 255, that the channels of a grey image may differ by: JPEG's noise
COLOURED_SHARE = 0.01  # of the pixels
WHAT_TO_GIVE = "Give a mask that is white (255) where the object is and black (0) elsewhere."


def read_mask(path: Path, height: int, width: int) -> Float32[np.ndarray, "height width"]:
    """Read a mask for an image of that size: white where the object is; transparent counts as black.

    Returns:
        [height, width] in [0, 1]; a mask of another size but the same shape is resized.

    Raises:
        Prior3dError: no image, another shape, of labels, or nothing or everything is white.
    """
    mask = decoded_mask(path)
    if abs(mask.shape[0] * width - mask.shape[1] * height) > 0.01 * mask.shape[0] * width:
        raise Prior3dError(
            f"{path}: the mask has {mask.shape[1]}x{mask.shape[0]} pixels, the image {width}x{height}. "
            "Give a mask of the image's shape."
        )
    check_mask(mask, str(path))
    return mask if mask.shape == (height, width) else resample(mask[..., None], height, width)[..., 0]


def check_mask(mask: Float32[np.ndarray, "height width"], where: str) -> None:
    """Hold that a mask [height, width] shows an object: not nothing, and not the whole image.

    Raises:
        Prior3dError: it does not; `where` begins the message.
    """
    covered = float((mask > 0.5).mean())
    if covered == 0:
        raise Prior3dError(f"{where}: the mask is empty. Make it white where the object is, black elsewhere.")
    if covered > 0.98:
        raise Prior3dError(
            f"{where}: the mask covers {covered:.0%} of the image, so there is no object to tell from a background. "
            "Make it black where the object is not."
        )


def decoded_mask(path: Path) -> Float32[np.ndarray, "height width"]:
    """A mask of any size and content, [height, width] in [0, 1].

    Raises:
        Prior3dError: no image, cut off, too large, or of labels.
    """
    image, _ = decoded_image(path)
    if image.mode == "F":
        values = np.asarray(image, np.float32)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise Prior3dError(f"{path}: a mask of floating-point numbers outside 0 to 1. {WHAT_TO_GIVE}")
        return values
    if image.mode in SIXTEEN_BIT:
        return _of_grey(path, np.asarray(image).astype(np.int64), 65535)
    if image.mode == "1":
        return np.asarray(image, np.float32)
    if image.mode in WITH_ALPHA or "transparency" in image.info:
        return _of_alpha(path, np.asarray(image.convert("RGBA")))
    if image.mode == "L":
        return _of_grey(path, np.asarray(image).astype(np.int64), 255)
    return _of_colours(path, np.asarray(image.convert("RGB")))


def _of_alpha(path: Path, rgba: np.ndarray) -> Float32[np.ndarray, "height width"]:
    """A mask with alpha: grey levels on transparent, the colours' own if it is opaque; else the shape cut out."""
    alpha = rgba[..., 3].astype(np.float32) / 255
    if alpha.min() >= OPAQUE:
        return _of_colours(path, rgba[..., :3])
    shown = rgba[..., :3][alpha > 0.5]
    if _is_grey(shown) and len(shown) and shown.max() > shown.min():
        return _of_grey(path, np.where(alpha > 0.5, rgba[..., 1].astype(np.int64), 0), 255) * alpha
    return alpha


def _of_colours(path: Path, rgb: np.ndarray) -> Float32[np.ndarray, "height width"]:
    """A mask of colours: grey ones by their level; one colour and black by what is not black."""
    if _is_grey(rgb.reshape(-1, 3)):
        return _of_grey(path, rgb[..., 1].astype(np.int64), 255)
    colours = np.unique(rgb.reshape(-1, 3), axis=0)
    if len(colours) == 2 and not colours[0].any():
        return np.asarray(rgb.any(axis=-1), np.float32)
    few = ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in colours[:4])
    raise Prior3dError(
        f"{path}: a mask of {len(colours):,} colours ({few}{', ...' if len(colours) > 4 else ''}); which of them is "
        f"the object cannot be told. {WHAT_TO_GIVE}"
    )


def _is_grey(colours: np.ndarray) -> bool:
    spread = np.ptp(colours.astype(np.int16), axis=-1) if len(colours) else np.zeros(1)
    return float((spread > GREY_WITHIN).mean()) <= COLOURED_SHARE


def _of_grey(
    path: Path, values: Integer[np.ndarray, "height width"], white: int
) -> Float32[np.ndarray, "height width"]:
    """A mask of levels: 0 and one other, or soft edges between black and white; numbers of labels are refused."""
    levels = np.unique(values)
    lowest, largest = int(levels[0]), int(levels[-1])
    if len(levels) <= 2 and (lowest == 0 or (len(levels) == 1 and largest in (1, white))):
        return (values > 0).astype(np.float32)
    inside, outside = (values >= BRIGHT * largest).mean(), (values <= (1 - BRIGHT) * largest).mean()
    edges = bool(largest >= BRIGHT * white and levels[-2:][0] > white / 4 and 1 - inside - outside <= inside)
    many = len(levels) > MOST_LABELS and largest > white / 2
    if lowest >= 0 and largest <= white and (edges or many):
        return values.astype(np.float32) / np.float32(white)
    few = ", ".join(str(level) for level in levels[:6]) + (", ..." if len(levels) > 6 else "")
    raise Prior3dError(
        f"{path}: a mask of the values {few} of {white}: if they are labels, which of them is the object cannot be "
        f"told. {WHAT_TO_GIVE}"
    )
