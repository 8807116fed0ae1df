"""Find the one object of a busy image without a network: what the border does not lead to, then a graph cut.

Regions of one colour (SLIC) that the image's border runs along are background, and so are those that are reached from
there by small steps of colour (Zhu et al. 2014, saliency by boundary connectivity). What contrasts with them near by
is the object. GrabCut (Rother et al. 2004) then draws the outline by the colours of both.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import shortest_path
from skimage.color import rgb2lab
from skimage.filters import threshold_otsu
from skimage.segmentation import slic

REGIONS = 250
STEP_OF_COLOUR = 7.0  # CIELAB; steps of that size end a region's neighbourhood
NEAR = 0.25  # of the image's longer side: how far contrast is looked for
CUTS = 5  # rounds of GrabCut


@dataclass(frozen=True)
class Regions:
    """An image's regions: `label` of each pixel, `colour` (CIELAB) and `place` (of the longer side) of each region.

    `pairs` are neighbours, `at_border` those that the border runs through.
    """

    label: Int[np.ndarray, "height width"]
    colour: Float[np.ndarray, "regions 3"]
    place: Float[np.ndarray, "regions 2"]
    pairs: Int[np.ndarray, "pairs 2"]
    at_border: Bool[np.ndarray, "regions"]


def salient_mask(rgb: Float32[np.ndarray, "height width 3"]) -> Bool[np.ndarray, "height width"]:
    """The object of an image of a few hundred pixels a side, in [0, 1]; nothing where nothing stands out."""
    marks = saliency(rgb)
    thick = max(1, min(marks.shape) // 32)
    state: NDArray[np.uint8] = np.full(marks.shape, cv2.GC_BGD, np.uint8)
    inside = marks[thick:-thick, thick:-thick]
    if np.ptp(inside) < 1e-6:
        return np.zeros(marks.shape, bool)
    likely = inside > threshold_otsu(marks)
    state[thick:-thick, thick:-thick] = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    if likely.all() or not likely.any():
        return np.zeros(marks.shape, bool)
    pixels = np.ascontiguousarray((rgb.clip(0, 1) * 255).astype(np.uint8)[..., ::-1])
    cv2.setRNGSeed(0)
    cv2.grabCut(pixels, state, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), CUTS, cv2.GC_INIT_WITH_MASK)
    cut: NDArray[np.bool_] = (state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)
    return cut


def saliency(rgb: Float32[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width"]:
    """How much each pixel's region stands out, 0 to 1: Zhu et al. 2014, equations 4 to 9."""
    regions = _regions(rgb)
    background = _background(regions)
    apart = np.linalg.norm(regions.place[:, None] - regions.place, axis=-1)
    contrast = np.linalg.norm(regions.colour[:, None] - regions.colour, axis=-1)
    stands_out = _unit_range((contrast * np.exp(-(apart**2) / (2 * NEAR**2)) * background).sum(axis=1))
    first, second = regions.pairs.T
    alike = np.exp(-(contrast[first, second] ** 2) / (2 * STEP_OF_COLOUR**2)) + 0.1
    weights = np.zeros_like(contrast)
    weights[first, second] = weights[second, first] = alike
    smooth = np.diag(weights.sum(axis=1)) - weights
    solved = np.linalg.solve(np.diag(background + stands_out + 1e-6) + smooth, stands_out)
    marks: NDArray[np.float64] = _unit_range(solved)[regions.label]
    return marks


def _background(regions: Regions) -> Float[np.ndarray, "regions"]:
    """How surely each region is background, 0 to 1: the share of its surroundings that the border runs through."""
    border = np.flatnonzero(regions.at_border)
    along = np.stack(np.triu_indices(len(border), 1), axis=1)
    edges = np.concatenate([regions.pairs, border[along]])  # all of the border is connected
    steps = np.linalg.norm(regions.colour[edges[:, 0]] - regions.colour[edges[:, 1]], axis=1)
    noise = np.percentile(steps[: len(regions.pairs)], 10)  # steps that are no larger count as none
    n = len(regions.colour)
    graph = csr_matrix((np.maximum(steps - noise, 0) + 1e-4, edges.T), shape=(n, n))
    near = np.exp(-(shortest_path(graph, directed=False) ** 2) / (2 * STEP_OF_COLOUR**2))
    connected = (near * regions.at_border).sum(axis=1) / np.sqrt(near.sum(axis=1))
    surely: NDArray[np.float64] = 1 - np.exp(-(connected**2) / 2)
    return surely


def _regions(rgb: Float32[np.ndarray, "height width 3"]) -> Regions:
    label = slic(rgb, n_segments=REGIONS, compactness=12, start_label=0)
    flat, n = label.ravel(), int(label.max()) + 1
    size = np.bincount(flat, minlength=n)

    def mean(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(flat, values.ravel(), minlength=n) / np.maximum(size, 1))

    row, column = np.mgrid[: label.shape[0], : label.shape[1]] / max(label.shape)
    colour = np.stack([mean(channel) for channel in np.moveaxis(rgb2lab(rgb), -1, 0)], axis=1)
    across = np.stack([label[:, :-1].ravel(), label[:, 1:].ravel()], axis=1)
    down = np.stack([label[:-1].ravel(), label[1:].ravel()], axis=1)
    pairs = np.concatenate([across, down])
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    at_border = np.zeros(n, bool)
    at_border[np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])] = True
    return Regions(label, colour, np.stack([mean(column), mean(row)], axis=1), pairs, at_border)


def _unit_range(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.min()) / (np.ptp(values) + 1e-9))
