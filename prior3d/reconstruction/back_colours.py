"""Colours all round a body of which one image shows the front.

A point has an angle round its cross-section: 0 in the middle of the front, 90 at the sides, 180 in the middle of the
back. Up to `outer_deg` the image's own pixels count. Beyond, the outer part of the front is mirrored again and again,
so that layers, stripes and grain go on without a seam, and nothing of the middle (a face) comes back. Its coarse
colours are led to those of the row's two ends and its median.
"""

import math

import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from prior3d.reconstruction.image_features import spread, without_features
from prior3d.reconstruction.outline import Outline, runs, smoothed_apart
from prior3d.settings.completion import BackSettings

KNOWN_MASK = 0.9  # the mask from which a pixel's colour is the thing's own
COARSE = 0.04  # of the image's side: standard deviation, along rows, of the blur that parts colours from detail
FADE_DEG = 12.0  # at the end of the image's own pixels, over which what does not touch the outline fades
COARSE_UNTIL, ENDS_UNTIL = 0.4, 0.25  # of the way from the image's own pixels to the middle of the back
OUTER_EDGE = 0.06  # of a row's width at each end, whose colours are mixed with the background's


class RoundColours:
    """Colours of points by their place in the image and their depth.

    Args:
        colours: of the image, not multiplied by the mask.
        mask: in [0, 1].
        outline: cross-sections of the mask.
        settings: angles and weights.
    """

    def __init__(
        self,
        colours: Float[Tensor, "3 h w"],
        mask: Float[Tensor, "h w"],
        outline: Outline,
        settings: BackSettings,
    ) -> None:
        self.settings = settings
        image = spread(colours.numpy(), mask.numpy() > KNOWN_MASK)
        trunk = outline.inside & ~outline.limb
        carried = without_features(image, outline.inside, settings.grain)
        coarse = np.stack([coarse_rows(c, outline.limb) + coarse_rows(c, trunk) for c in carried])
        ends = [row_colours(carried, outline, part, settings.outer_fraction) for part in ("left", "right", "all")]
        stacked = np.concatenate([coarse, *ends, outline.middle[None], outline.radius[None]])
        maps = spread(stacked, outline.inside)
        self.image, self.carried = torch.from_numpy(image).float(), torch.from_numpy(carried).float()
        self.coarse, self.left, self.right, self.median = (torch.from_numpy(m).float() for m in np.split(maps[:12], 4))
        self.middle, self.radius = (torch.from_numpy(m).float() for m in maps[12:])

    def __call__(self, places: Float[Tensor, "points 2"], depth: Float[Tensor, "points"]) -> Float[Tensor, "points 3"]:
        """Colours of points.

        Args:
            places: column and row in the image, in pixels; whole numbers are centres of pixels.
            depth: signed, relative to half the thickness there; 1 is the front's surface, -1 the back's.
        """
        column, row = places.round().long().clamp(0, self.image.shape[-1] - 1).unbind(-1)
        middle, radius = self.middle[row, column], self.radius[row, column].clamp_min(0.5)
        sine = ((places[:, 0] - middle) / radius).clamp(-1, 1)
        angle = torch.atan2(sine, depth.clamp(-1, 1) * (1 - sine.square()).clamp_min(1e-6).sqrt())
        outer = math.radians(self.settings.outer_deg)
        back = ((angle.abs() - outer) / (math.pi - outer)).clamp(0, 1)  # 0 where the image's pixels end, 1 behind
        coarse, detail = self._mirrored(places, angle, middle, radius)
        turn = smoothstep(back / COARSE_UNTIL)[:, None]  # from the mirrored coarse colours to those of the row
        contrast = 1 + (self.settings.detail - 1) * back[:, None]
        base = self._row_colours(places, angle.sign(), back)
        return (coarse * (1 - turn) + base * turn + contrast * detail).clamp(0, 1)

    def _mirrored(
        self,
        places: Float[Tensor, "points 2"],
        angle: Float[Tensor, "points"],
        middle: Float[Tensor, "points"],
        radius: Float[Tensor, "points"],
    ) -> tuple[Float[Tensor, "points 3"], Float[Tensor, "points 3"]]:
        """Coarse colours and detail of the image, mirrored beyond `outer_deg`; both sides meet in the back's middle."""
        outer, inner = math.radians(self.settings.outer_deg), math.radians(self.settings.inner_deg)
        share = ((math.pi - angle.abs()) / math.radians(self.settings.seam_deg) + 0.5).clamp(0.5, 1)  # of the own side
        own = smoothstep((outer - angle.abs()) / math.radians(FADE_DEG))[:, None]
        coarse, detail = torch.zeros(len(places), 3), torch.zeros(len(places), 3)
        for turned, side, weight in (
            (angle.abs(), angle.sign(), share),
            (2 * math.pi - angle.abs(), -angle.sign(), 1 - share),
        ):
            across = middle + radius * side * folded(turned, outer, inner).sin()
            there = torch.stack([torch.where(angle.abs() <= outer, places[:, 0], across), places[:, 1]], -1)
            low = sampled(self.coarse, there)
            colours = sampled(self.image, there) * own + sampled(self.carried, there) * (1 - own)
            coarse += weight[:, None] * low
            detail += weight[:, None] * (colours - low)
        return coarse, detail

    def _row_colours(
        self, places: Float[Tensor, "points 2"], side: Float[Tensor, "points"], back: Float[Tensor, "points"]
    ) -> Float[Tensor, "points 3"]:
        """Colours of a row's ends, each on its own side, with some of the row's median behind."""
        right = (0.5 + 0.5 * side * (1 - smoothstep((back - ENDS_UNTIL) / (1 - ENDS_UNTIL))))[:, None]
        ends = sampled(self.left, places) * (1 - right) + sampled(self.right, places) * right
        weight = self.settings.middle_weight * smoothstep(back)[:, None]
        return ends * (1 - weight) + weight * sampled(self.median, places)


def folded(angle: Float[Tensor, "points"], outer: float, inner: float) -> Float[Tensor, "points"]:
    """An angle from 0 on, reflected at `outer` and `inner` so that it stays between them once it reached `outer`."""
    beyond = (angle - outer).clamp_min(0)
    width = max(outer - inner, 1e-3)
    wave = width - (beyond % (2 * width) - width).abs()
    return torch.where(angle <= outer, angle, outer - wave)


def smoothstep(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """0 below 0, 1 above 1, smooth between."""
    x = x.clamp(0, 1)
    return x.square() * (3 - 2 * x)


def coarse_rows(values: Float[np.ndarray, "h w"], inside: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """A blur along rows among the pixels inside; 0 outside."""
    sigma = (0.7, COARSE * values.shape[1])
    weight = np.maximum(ndimage.gaussian_filter(inside.astype(float), sigma), 1e-3)
    blurred: Float[np.ndarray, "h w"] = ndimage.gaussian_filter(values * inside, sigma) / weight * inside
    return blurred


def row_colours(
    image: Float[np.ndarray, "3 h w"], outline: Outline, part: str, fraction: float
) -> Float[np.ndarray, "3 h w"]:
    """The median colour of the left or right end of each pixel's cross-section, or of all of it."""
    found = np.zeros_like(image)
    trunk = outline.inside & ~outline.limb
    for piece in (outline.limb, trunk):
        for row, first, last in runs(piece):
            n, across = last - first + 1, image[:, row, first : last + 1]
            edge, k = round(OUTER_EDGE * n), max(2, round(fraction * n))
            chosen = {"left": across[:, edge : edge + k], "right": across[:, max(n - edge - k, 0) : n - edge]}
            found[:, row, first : last + 1] = np.median(chosen.get(part, across), axis=1)[:, None]
    return np.stack([smoothed_apart(c, outline.limb, trunk, 1.5) for c in found])


def sampled(
    image: Float[Tensor, "channels h w"], places: Float[Tensor, "points 2"]
) -> Float[Tensor, "points channels"]:
    """Bilinear values of an image at columns and rows in pixels, clamped to its border."""
    size = torch.tensor([image.shape[2], image.shape[1]])
    where = ((places + 0.5) / size * 2 - 1).view(1, 1, -1, 2)
    return functional.grid_sample(image[None], where, padding_mode="border", align_corners=False)[0, :, 0].T
