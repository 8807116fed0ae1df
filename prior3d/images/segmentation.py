"""Tell an object from its background without a network: by the colours along the image's border.

A flat border is one colour, and what differs from it is the object. Otherwise the object is what stands out from all
that the border leads to (`prior3d/images/salient.py`). A photograph of several things, or of one that the
border cuts, is beyond this: then a mask or alpha is needed.
"""

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.morphology import remove_small_holes

from prior3d.errors import Prior3dError
from prior3d.images.files import resample
from prior3d.images.salient import salient_mask

WORKING_SIZE = 192  # pixels of the longer side at which the outline is found
FLAT = 6.0  # differences of colour (CIELAB) along the border below which it is one colour
SMALLEST_SHARE, LARGEST_SHARE = 0.005, 0.95  # of the image, that an object covers
LARGEST_AT_BORDER = 0.5  # of the border


def foreground_mask(rgb: Float32[np.ndarray, "height width 3"]) -> tuple[Float32[np.ndarray, "height width"], str]:
    """The object of an image whose background is plain.

    Args:
        rgb: [height, width, 3] in [0, 1].

    Returns:
        mask [height, width] in [0, 1], and in words how it was found.

    Raises:
        Prior3dError: what was found is no object: nothing, nearly all, or most of the border.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, WORKING_SIZE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = rgb2lab(resample(rgb, *size)).astype(np.float32)
    border = border_of(small)
    middle = np.median(border, axis=0)
    spread = np.percentile(np.linalg.norm(border - middle, axis=-1), 90)
    if spread < FLAT:
        mask, how = _unlike(small, middle, float(spread)), "what differs from the flat colour of the border"
    else:
        mask = salient_mask(resample(rgb, *size).clip(0, 1).astype(np.float32)).astype(np.float32)
        how = "what stands out from all that the border leads to, by a graph cut"
    mask = _connected(mask)
    _check(mask)
    return resample(mask[..., None], height, width)[..., 0].clip(0, 1), how


def border_of(pixels: Float32[np.ndarray, "height width channels"]) -> Float32[np.ndarray, "pixels channels"]:
    """The pixels [n, channels] of a frame of a thirty-second of the image's width, at least one pixel."""
    inside = np.zeros(pixels.shape[:2], bool)
    thick = max(1, min(pixels.shape[:2]) // 32)
    inside[thick:-thick, thick:-thick] = True
    found: NDArray[np.float32] = pixels[~inside]
    return found


def _unlike(
    lab: Float32[np.ndarray, "height width 3"], colour: Float32[np.ndarray, "3"], spread: float
) -> Float32[np.ndarray, "height width"]:
    """A soft mask of what differs from one colour."""
    distance = np.linalg.norm(lab - colour, axis=-1)
    limit = float(np.clip(threshold_otsu(distance) / 2, 2 * spread + 4, 20)) if distance.max() > 1 else 20.0
    soft: NDArray[np.float32] = np.clip((distance - 0.5 * limit) / limit, 0, 1).astype(np.float32)
    return soft


def _connected(mask: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Without specks: parts smaller than a fiftieth of the largest, and holes of a few pixels."""
    parts = label(mask > 0.5)
    sizes = np.bincount(parts.ravel())[1:]
    if not len(sizes):
        return mask * 0
    kept = np.isin(parts, 1 + np.flatnonzero(sizes >= sizes.max() / 50))
    filled = remove_small_holes(kept, max_size=max(4, int(sizes.max() / 400)))
    near = _grown(kept)
    return np.where(filled & ~kept, 1, np.where(near, mask, 0)).astype(np.float32)


def _grown(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    grown: NDArray[np.bool_] = ndimage.binary_dilation(mask, iterations=1)
    return grown


def _check(mask: Float32[np.ndarray, "height width"]) -> None:
    covered = float((mask > 0.5).mean())
    at_border = float((border_of(mask[..., None]) > 0.5).mean())
    if SMALLEST_SHARE <= covered <= LARGEST_SHARE and at_border <= LARGEST_AT_BORDER:
        return
    raise Prior3dError(
        f"no object can be told from the background by the border's colours (it would be {covered:.0%} of the image, "
        f"and {at_border:.0%} of its border). Give an image with alpha, or a mask"
    )
