"""Perp-Neg for view words (Armandpour et al. 2023, section 4.2): a view's prompt moves away from its neighbours' words.

A view between two words has both as negative prompts, and how strongly depends on where it is between them: from the
side, "front view" counts most, so that no second front grows there. From behind, "front view" counts throughout.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Orbit

# a exp(-b r) + c of the released code; the first three are 0 at r = 1
FRONT_SEEN_FROM_SIDE = SIDE_SEEN_FROM_FRONT = (4.0, 0.5, -4 * math.exp(-0.5))
SIDE_SEEN_FROM_BACK = (1.0, 0.5, -math.exp(-0.5))
FRONT_SEEN_FROM_BACK = (1.0, 0.5, 0.967)
OVERHEAD = "overhead view"


def view_negatives(orbit: Orbit, words: list[str]) -> tuple[list[tuple[str, str]], Float[Tensor, "2 views"]]:
    """Two negative view words for each view, and their weights.

    Args:
        orbit: the views.
        words: what their prompts call them; an overhead view has no negatives (weights of 0).

    Returns:
        for each view its two words; [2, views] weights, at least 0.
    """
    chosen, weights = [], []
    for azimuth_deg, word in zip(orbit.azimuth_deg.tolist(), words, strict=True):
        quarter_turns = abs((azimuth_deg + 180.0) % 360.0 - 180.0) / 90
        if quarter_turns < 1:
            r = 1 - quarter_turns  # 1 in front, 0 at the side
            pair, found = (
                ("front view", "side view"),
                (_decay(FRONT_SEEN_FROM_SIDE, r), _decay(SIDE_SEEN_FROM_FRONT, 1 - r)),
            )
        else:
            r = 2 - quarter_turns  # 1 at the side, 0 behind
            pair, found = ("side view", "front view"), (_decay(SIDE_SEEN_FROM_BACK, r), _decay(FRONT_SEEN_FROM_BACK, r))
        chosen.append(pair)
        weights.append((0.0, 0.0) if word == OVERHEAD else found)
    return chosen, torch.tensor(weights).T.clamp_min(0)


def _decay(curve: tuple[float, float, float], r: float) -> float:
    """The curve a exp(-b r) + c at r."""
    a, b, c = curve
    return a * math.exp(-b * r) + c
