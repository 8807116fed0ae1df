"""Numbers that compare images."""

import numpy as np
from jaxtyping import Bool, Float
from skimage.metrics import structural_similarity

from prior3d.errors import Prior3dError


def psnr_db(first: Float[np.ndarray, "*image"], second: Float[np.ndarray, "*image"]) -> float:
    """Peak signal-to-noise ratio of images with values in [0, 1], in decibels; 100 where they are equal to 1e-5.

    Raises:
        Prior3dError: there is no pixel to compare.
    """
    if np.asarray(first).size == 0:
        raise Prior3dError("PSNR: there is no pixel to compare; give images of at least one pixel")
    error = float(np.mean((np.asarray(first, np.float64) - np.asarray(second, np.float64)) ** 2))
    return float(-10 * np.log10(max(error, 1e-10)))


def mask_iou(
    first: Float[np.ndarray, "*image"] | Bool[np.ndarray, "*image"],
    second: Float[np.ndarray, "*image"] | Bool[np.ndarray, "*image"],
) -> float:
    """Intersection over union of two masks in [0, 1], each cut at one half; 1 where both are empty."""
    a, b = np.asarray(first) > 0.5, np.asarray(second) > 0.5
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def ssim(first: Float[np.ndarray, "height width 3"], second: Float[np.ndarray, "height width 3"]) -> float:
    """Structural similarity of images [height, width, 3] in [0, 1] (Wang et al. 2004: a Gaussian of 1.5 pixels)."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return float(
        structural_similarity(
            a, b, channel_axis=-1, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )
