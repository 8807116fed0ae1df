"""Toy objects: a category with random proportions, colours and pattern, its caption and its exact mesh."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, Int

from prior3d.toyworld.palette import COLOURS, PATTERNS, Pattern
from prior3d.toyworld.shapes import CATEGORIES, PLURAL_PARTS, Category
from prior3d.toyworld.solids import Solid, merge

Split = Literal["train", "held-out"]
RADIUS = 0.95  # the bounding sphere that every object is scaled to
_MASS = np.array([2.0 if category.front else 1.0 for category in CATEGORIES])  # those with a front are harder to learn


@dataclass(frozen=True)
class Part:
    """One coloured solid of an object."""

    solid: Solid
    colour: str
    pattern: Pattern | None = None

    def colours_at(self, points: Float[np.ndarray, "points 3"]) -> Float32[np.ndarray, "points 3"]:
        """The unlit colour [n, 3] at surface points [n, 3]."""
        colours = np.tile(np.asarray(COLOURS[self.colour], np.float32), (len(points), 1))
        if self.pattern:
            colours[self.pattern.covers(points)] = COLOURS[self.pattern.accent]
        return colours


@dataclass(frozen=True)
class ToyObject:
    """An object about the origin in a sphere of radius `RADIUS`, z up, its front along +x."""

    category: str
    caption: str
    parts: tuple[Part, ...]

    @property
    def vertices(self) -> Float[np.ndarray, "vertices 3"]:
        """All parts' vertices [n, 3]."""
        return merge([part.solid for part in self.parts]).vertices

    @property
    def faces(self) -> Int[np.ndarray, "faces 3"]:
        """All parts' faces [m, 3] into `vertices`."""
        return merge([part.solid for part in self.parts]).faces


def sample_object(seed: int, index: int, split: Split = "train", category: str | None = None) -> ToyObject:
    """Draw object `index` of a split; the same arguments give the same object, and the splits share no seeds.

    Args:
        seed: the world's seed.
        index: which object.
        split: "train", or "held-out" for objects that no prior was trained on.
        category: fixes the category's noun; drawn when None.

    Raises:
        ValueError: the category is unknown.
    """
    rng = object_generator(seed, index, split)
    design = draw_design(rng, category)
    kind = find_category(design.category)
    return build_object(kind, rng, design.main, design.pattern, design.named_part, design.accent)


@dataclass(frozen=True)
class Design:
    """What is chosen of an object before its proportions are drawn.

    Attributes:
        category: its noun.
        main: colour of its main part.
        pattern: "dots", "stripes" or None, of the main part.
        named_part: the part that has the accent's colour and stands in the caption, or None; not beside a pattern.
        accent: colour of the pattern or of the named part; of nothing where both are None.
    """

    category: str
    main: str
    pattern: str | None
    named_part: str | None
    accent: str


def object_generator(seed: int, index: int, split: Split) -> np.random.Generator:
    """The generator that object `index` of a split is drawn from, at its start."""
    return np.random.default_rng([seed, {"train": 0, "held-out": 1}[split], index])


def draw_design(rng: np.random.Generator, category: str | None = None) -> Design:
    """Draw an object's choices; the generator then stands where its proportions begin.

    Raises:
        ValueError: the category is unknown.
    """
    drawn = CATEGORIES[rng.choice(len(CATEGORIES), p=_MASS / _MASS.sum())]
    kind = drawn if category is None else find_category(category)
    names = list(COLOURS)
    main = kind.main_colour or str(rng.choice(names))
    accent = str(rng.choice([name for name in names if name != main]))
    style = rng.random()
    pattern = str(rng.choice(PATTERNS)) if kind.patterned and style < 0.45 else None
    named_part = kind.part if kind.part and pattern is None and style < 0.6 else None
    return Design(kind.noun, main, pattern, named_part, accent)


def build_object(
    kind: Category, rng: np.random.Generator, main: str, pattern: str | None, named_part: str | None, accent: str
) -> ToyObject:
    """Build an object whose caption names exactly these choices: a main colour and at most one accent."""
    pieces = kind.build(lambda low, high: float(rng.uniform(low, high)))
    solids = _normalised([solid for solid, _ in pieces])
    part_colour = accent if named_part else (kind.part_colour or main)
    colours = {"main": main, "part": part_colour}
    parts = []
    for solid, (_, role) in zip(solids, pieces, strict=True):
        texture = _pattern(pattern, accent, solid) if pattern and role == "main" else None
        parts.append(Part(solid, colours.get(role, role), texture))
    return ToyObject(kind.noun, caption(kind, main, pattern, named_part, accent), tuple(parts))


def caption(kind: Category, main: str, pattern: str | None, named_part: str | None, accent: str) -> str:
    """Say what is there, e.g. `a red mushroom with white dots`, `a snowman with a black hat`."""
    noun = kind.noun if kind.main_colour else f"{main} {kind.noun}"
    text = f"{article(noun)} {noun}"
    if pattern:
        return f"{text} with {accent} {pattern}"
    if named_part:
        return f"{text} with {part_phrase(accent, named_part)}"
    return text


def find_category(noun: str) -> Category:
    """The category of that name.

    Raises:
        ValueError: no category has that name.
    """
    for kind in CATEGORIES:
        if kind.noun == noun:
            return kind
    raise ValueError(f"unknown category {noun!r}: one of {', '.join(kind.noun for kind in CATEGORIES)}")


def kind_of_caption(text: str) -> Category:
    """The category that a caption is about, e.g. the mug of `a blue mug with red dots`.

    Raises:
        ValueError: the caption names no category.
    """
    thing = text.partition(" with ")[0]
    for kind in sorted(CATEGORIES, key=lambda kind: -len(kind.noun)):  # "a fir tree" is no "tree"
        if thing.endswith(f" {kind.noun}"):
            return kind
    raise ValueError(f"caption {text!r} names no category of the toy world")


def part_phrase(colour: str, part: str) -> str:
    """A coloured part with its article, e.g. `a red roof`, `red legs`."""
    return f"{colour} {part}" if part in PLURAL_PARTS else f"{article(colour)} {colour} {part}"


def article(text: str) -> str:
    """The indefinite article that stands before a text."""
    return "an" if text[0] in "aeiou" else "a"


def _normalised(solids: list[Solid]) -> list[Solid]:
    corners = np.concatenate([solid.vertices for solid in solids])
    centre = (corners.max(axis=0) + corners.min(axis=0)) / 2
    scale = RADIUS / np.linalg.norm(corners - centre, axis=1).max()
    return [solid.moved(*-centre).scaled(scale, scale, scale) for solid in solids]


def _pattern(kind: str, accent: str, solid: Solid) -> Pattern:
    low, high = solid.vertices.min(axis=0), solid.vertices.max(axis=0)
    centre = (low + high) / 2
    return Pattern(kind, accent, (float(centre[0]), float(centre[1]), float(centre[2])), float(high[2] - low[2]) / 5.2)
