"""Directions spread evenly over a sphere."""

import numpy as np
from jaxtyping import Float


def spread_directions(n: int, start: float = 0.0) -> Float[np.ndarray, "directions 3"]:
    """Evenly spread unit vectors (the golden-angle spiral from one pole to the other).

    Args:
        n: how many.
        start: angle that the spiral is turned by about its axis, in radians.
    """
    index = np.arange(n) + 0.5
    height, angle = 1 - 2 * index / n, np.pi * (1 + 5**0.5) * index + start
    width = np.sqrt(1 - height**2)
    return np.stack([width * np.cos(angle), width * np.sin(angle), height], axis=1)
