"""The toy world's colours, backgrounds and patterns, by their names in captions."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from prior3d.cameras import spread_directions

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.85, 0.07, 0.09),
    "orange": (0.96, 0.50, 0.07),
    "yellow": (0.97, 0.85, 0.10),
    "green": (0.10, 0.60, 0.18),
    "teal": (0.08, 0.68, 0.68),
    "blue": (0.12, 0.26, 0.86),
    "purple": (0.50, 0.16, 0.72),
    "pink": (0.97, 0.50, 0.70),
    "brown": (0.45, 0.26, 0.12),
    "white": (0.97, 0.97, 0.97),
    "grey": (0.50, 0.50, 0.52),
    "black": (0.06, 0.06, 0.07),
}
BACKGROUNDS: dict[str, tuple[float, float, float]] = {
    "white": (1.0, 1.0, 1.0),
    "grey": (0.5, 0.5, 0.5),
    "black": (0.0, 0.0, 0.0),
}
PATTERNS = ("dots", "stripes")


@dataclass(frozen=True)
class Pattern:
    """A solid texture: where it holds, the part shows `accent` in place of its own colour.

    Dots are caps about evenly spread directions from `centre`; stripes are horizontal bands of `period` height.
    """

    kind: str
    accent: str
    centre: tuple[float, float, float]
    period: float
    n_dots: int = 18
    dot_angle_deg: float = 14.0

    def covers(self, points: Float[np.ndarray, "points 3"]) -> Bool[np.ndarray, "points"]:
        """Tell for points [n, 3], in the object's own coordinates, whether they lie on the accent colour."""
        offset = points - np.asarray(self.centre)
        if self.kind == "stripes":
            bands = np.floor(offset[:, 2] / self.period + 0.5 + 1e-3).astype(int)
            striped: np.ndarray = bands % 2 == 1
            return striped
        directions = offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9)
        cosines = (directions @ spread_directions(self.n_dots).T).max(axis=1)
        dotted: np.ndarray = cosines > np.cos(np.deg2rad(self.dot_angle_deg))
        return dotted
