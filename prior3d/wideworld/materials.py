"""What surfaces look like beyond one flat colour: solid textures, functions of a point in the object's coordinates."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

SHADES = ("flat", "gradient", "noise", "wood", "marble", "two-tone")
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """How a part is coloured: from `colour` to `other`, as far as the texture says at each point.

    Attributes:
        kind: one of `SHADES`.
        colour: RGB in [0, 1].
        other: RGB in [0, 1].
        axis: unit direction of gradients, and of the grain of wood.
        scale: how fine the texture is, in cells a unit.
        seed: of the noise.
    """

    kind: str
    colour: Colour
    other: Colour
    axis: Colour = (0.0, 0.0, 1.0)
    scale: float = 3.0
    seed: int = 0

    def colours_at(self, points: Float[np.ndarray, "points 3"]) -> Float32[np.ndarray, "points 3"]:
        """Unlit colours at surface points."""
        share = self._share(points)[:, None]
        mixed = (1 - share) * np.asarray(self.colour) + share * np.asarray(self.other)
        colours: NDArray[np.float32] = mixed.clip(0, 1).astype(np.float32)
        return colours

    def _share(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """How much of the other colour there is, 0 to 1: [n]."""
        along = points @ np.asarray(self.axis)
        if self.kind == "gradient":
            return np.asarray(np.clip(0.5 + 0.6 * along, 0, 1))
        if self.kind == "two-tone":
            return np.asarray((along > 0.08 * np.sin(self.seed)).astype(float))
        if self.kind == "noise":
            fine = value_noise(points * self.scale * 2.7, self.seed + 1)
            return 0.65 * value_noise(points * self.scale, self.seed) + 0.35 * fine
        if self.kind == "wood":  # rings about the grain, which bend a little
            across = points - along[:, None] * np.asarray(self.axis)
            rings = np.linalg.norm(across + 0.35, axis=1) * 2 * self.scale
            bend = value_noise(points * np.array([2.0, 2.0, 0.7]), self.seed)
            return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * (rings + 0.8 * bend)))
        if self.kind == "marble":
            veins = np.sin(self.scale * 2 * along + 7 * value_noise(points * 2.2, self.seed))
            return np.asarray((1 - np.abs(veins)) ** 3)
        return np.zeros(len(points))


def value_noise(points: Float[np.ndarray, "points 3"], seed: int) -> Float[np.ndarray, "points"]:
    """Smooth noise in [0, 1]: random values on the whole numbers, blended in between."""
    table = np.random.default_rng(seed).random(256)
    order = np.random.default_rng(seed + 1).permutation(256)
    cell = np.floor(points).astype(int)
    inside = points - cell
    blend = inside * inside * (3 - 2 * inside)
    total = np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        x, y, z = (cell + corner).T & 255
        weight = np.prod(np.where(np.array(corner, bool), blend, 1 - blend), axis=1)
        total += weight * table[order[(order[(order[x] + y) & 255] + z) & 255]]
    return total


def varied(rng: np.random.Generator, colour: Colour, plain_share: float) -> Material:
    """A material that a person would still call by the colour's word: its texture is a shade of it."""
    if rng.random() < plain_share:
        return Material("flat", colour, colour)
    kind = str(rng.choice(SHADES[1:]))
    darker = bool(rng.random() < 0.7 and max(colour) > 0.3)
    least = 0.86 if min(colour) > 0.9 else 0.6  # white with dark veins would be grey
    factor = float(rng.uniform(least, least + 0.14)) if darker else 1.0
    lift = 0.0 if darker else float(rng.uniform(0.12, 0.25))
    r, g, b = (channel * factor + lift * (1 - channel) for channel in colour)
    return Material(kind, colour, (r, g, b), direction(rng), float(rng.uniform(1.5, 5)), int(rng.integers(2**31)))


def any_colours(rng: np.random.Generator) -> Material:
    """A material of two colours of any kind, for what no word is said of."""
    (r, g, b), (x, y, z) = rng.random((2, 3)).tolist()
    kind = str(rng.choice(SHADES))
    return Material(kind, (r, g, b), (x, y, z), direction(rng), float(rng.uniform(1.5, 7)), int(rng.integers(2**31)))


def direction(rng: np.random.Generator) -> Colour:
    """A unit direction."""
    x, y, z = (lambda v: v / np.linalg.norm(v))(rng.normal(size=3)).tolist()
    return x, y, z
