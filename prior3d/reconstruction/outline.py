"""What an outline says of the body behind it: connected spans of rows, limbs apart, and a depth for every pixel.

All lengths are pixels of the image.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from prior3d.settings.completion import BodySettings

BASE_ROWS = 0.12  # of the outline's height: at the bottom thin parts are a base, not limbs
SMOOTH_ROWS = 2.0  # pixels, standard deviation
FOOT_ROWS, FOOT_WIDTH = (
    0.03,
    0.55,
)  # a thing stands if it is so wide (of its widest row) so far from its bottom


@dataclass(frozen=True)
class Outline:
    """An outline, each pixel with the cross-section that it belongs to.

    Attributes:
        inside: where the thing is.
        limb: where it is a limb before or beside a thicker part.
        middle: column of the middle of the pixel's cross-section.
        radius: half the width of the cross-section.
        half_depth: half the thickness at the pixel; 0 outside.
    """

    inside: Bool[np.ndarray, "h w"]
    limb: Bool[np.ndarray, "h w"]
    middle: Float[np.ndarray, "h w"]
    radius: Float[np.ndarray, "h w"]
    half_depth: Float[np.ndarray, "h w"]


def outline_of(inside: Bool[np.ndarray, "h w"], settings: BodySettings) -> Outline:
    """Cross-sections and depths of an outline.

    Each connected span of a row is turned about its own middle. Where that is much deeper than the largest disc that
    fits into the outline there, as in a long animal from its side, the disc decides.
    """
    local = local_thickness(inside)
    limb = limbs(inside, local, settings.limb_threshold)
    trunk = inside & ~limb
    ends = np.where(limb[..., None], spans(limb), spans(trunk)).astype(float)
    middle, radius = ends.mean(-1), (ends[..., 1] - ends[..., 0] + 1) / 2
    half = np.minimum(turned(ends) * inside, settings.longest * smoothed(local, inside, 1.5))
    half = standing(half, inside, foot(inside, settings.base))
    middle, radius = (smoothed_apart(values, limb, trunk, SMOOTH_ROWS) for values in (middle, radius))
    return Outline(inside, limb, middle, radius, settings.roundness * smoothed(half, inside, 1.0))


def foot(inside: Bool[np.ndarray, "h w"], base: float) -> slice:
    """Rows of the lowest fraction `base` of a thing that stands on a wide foot; none if it does not."""
    rows = np.flatnonzero(inside.any(1))
    width, n = between(inside).sum(1), len(rows)
    if n == 0 or width[rows[-1 - round(FOOT_ROWS * n)]] < FOOT_WIDTH * width.max():
        return slice(0, 0)
    return slice(int(rows[-1]) + 1 - round(base * n), int(rows[-1]) + 1)


def standing(
    half: Float[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"], foot_rows: slice
) -> Float[np.ndarray, "h w"]:
    """Depths that do not fall towards the bottom in the rows of a foot because it is in pieces.

    Two feet, or a foot and a tail, stand on one round base as wide as all of them; else the body would end in a wedge.
    """
    half, base = half.copy(), turned(spans(between(inside)).astype(float))
    for row in range(max(foot_rows.start, 1), foot_rows.stop):
        half[row] = np.maximum(half[row], np.minimum(half[row - 1], base[row]) * inside[row])
    return half


def turned(ends: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w"]:
    """Half the depth at each pixel of spans that are turned about their middles."""
    middle, radius = ends.mean(-1), (ends[..., 1] - ends[..., 0] + 1) / 2
    half: Float[np.ndarray, "h w"] = np.sqrt(np.maximum(radius**2 - (np.arange(ends.shape[1]) - middle) ** 2, 0))
    return half


def between(inside: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """From the first pixel inside to the last, in each row."""
    filled: Bool[np.ndarray, "h w"] = (
        np.logical_or.accumulate(inside, 1) & np.logical_or.accumulate(inside[:, ::-1], 1)[:, ::-1]
    )
    return filled


def spans(inside: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h w 2"]:
    """Of each pixel inside, the first and last column of its row's connected span; 0 outside."""
    ends = np.zeros((*inside.shape, 2), np.int64)
    for row, first, last in runs(inside):
        ends[row, first : last + 1] = first, last
    return ends


def runs(inside: Bool[np.ndarray, "h w"]) -> list[tuple[int, int, int]]:
    """Row, first and last column of each connected span of each row."""
    change = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    (rows, firsts), (_, ends) = np.nonzero(change == 1), np.nonzero(change == -1)
    return list(zip(rows.tolist(), firsts.tolist(), (ends - 1).tolist(), strict=True))


def local_thickness(inside: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Radius of the largest disc inside the outline that covers a pixel (Hildebrand and Ruegsegger 1997)."""
    distance = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    local = np.zeros(inside.shape)
    for radius in np.unique(np.ceil(distance[inside])):
        core = distance >= radius
        if core.any():
            local[(ndimage.distance_transform_edt(~core) <= radius) & inside] = radius
    return local


def limbs(
    inside: Bool[np.ndarray, "h w"], local: Float[np.ndarray, "h w"], threshold: float
) -> Bool[np.ndarray, "h w"]:
    """Where a row is much thinner than at its thickest place, as an arm before a trunk; not at the very bottom."""
    limb = np.zeros_like(inside)
    for row, first, last in runs(inside):
        part = local[row, first : last + 1]
        limb[row, first : last + 1] = part < threshold * part.max()
    rows = np.flatnonzero(inside.any(1))
    if len(rows):
        limb[round(rows[-1] - BASE_ROWS * len(rows)) :] = False
    opened: Bool[np.ndarray, "h w"] = ndimage.binary_opening(limb) & inside
    return opened


def smoothed(
    values: Float[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"], sigma: float
) -> Float[np.ndarray, "h w"]:
    """A Gaussian blur among the pixels inside; 0 outside."""
    weight = np.maximum(ndimage.gaussian_filter(inside.astype(float), sigma), 1e-3)
    blurred: Float[np.ndarray, "h w"] = ndimage.gaussian_filter(values * inside, sigma) / weight * inside
    return blurred


def smoothed_apart(
    values: Float[np.ndarray, "h w"], limb: Bool[np.ndarray, "h w"], trunk: Bool[np.ndarray, "h w"], sigma: float
) -> Float[np.ndarray, "h w"]:
    """A Gaussian blur of limbs and trunk, each for itself."""
    apart: Float[np.ndarray, "h w"] = smoothed(values, limb, sigma) + smoothed(values, trunk, sigma)
    return apart


def nearest_inside(known: Bool[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, "h w"]]:
    """Row and column of the nearest known pixel of every pixel."""
    rows: Int[np.ndarray, "h w"]
    columns: Int[np.ndarray, "h w"]
    rows, columns = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return rows, columns
