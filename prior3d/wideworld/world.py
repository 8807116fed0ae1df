"""Objects of the wider world: a kind or a shape without a name, its materials, and parts that no caption names."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from prior3d.cameras import Cameras
from prior3d.realobjects.renders import Light
from prior3d.rendering.zbuffer import lit, pixel_means, visible
from prior3d.toyworld.objects import RADIUS, Split, article, build_object
from prior3d.toyworld.palette import COLOURS, PATTERNS, Pattern
from prior3d.toyworld.shapes import PLURAL_PARTS, Category
from prior3d.toyworld.solids import Solid, frustum, merge, sphere, torus
from prior3d.wideworld.kinds import WIDE_KINDS
from prior3d.wideworld.materials import Material, any_colours, varied
from prior3d.wideworld.nameless import nameless

PLURAL = PLURAL_PARTS | {"ears", "leaves", "rims", "hoops", "bells", "drawers", "books", "roofs", "sails"}
PLAIN_SHARE = 0.5  # of the parts of named kinds are flat, as in the toy world
EXTRAS_SHARE = 0.3  # of the objects of named kinds have a part that no caption names
KEYS = {"train": 20, "held-out": 21}


@dataclass(frozen=True)
class WidePart:
    """One solid, its material, and a pattern that covers some of it."""

    solid: Solid
    material: Material
    pattern: Pattern | None = None


@dataclass(frozen=True)
class WideObject:
    """An object in the toy sphere, z up, front along +x; its caption is empty where it has no name."""

    caption: str
    kind: str
    parts: tuple[WidePart, ...]


def sample_wide(seed: int, index: int, split: Split = "train", nameless_share: float = 1 / 3) -> WideObject:
    """Draw object `index` of a split; the same arguments give the same object, and the splits share no seeds."""
    rng = np.random.default_rng([seed, KEYS[split], index])
    if rng.random() < nameless_share:
        parts = tuple(WidePart(solid, any_colours(rng)) for solid in nameless(rng))
        return WideObject("", "", _in_the_sphere(parts))
    kind = WIDE_KINDS[int(rng.integers(len(WIDE_KINDS)))]
    return named_object(kind, rng)


def named_object(kind: Category, rng: np.random.Generator, extras_share: float = EXTRAS_SHARE) -> WideObject:
    """An object of a kind, in random colours and materials, with its caption."""
    names = list(COLOURS)
    main = kind.main_colour or str(rng.choice(names))
    accent = str(rng.choice([name for name in names if name != main]))
    style = rng.random()
    pattern = str(rng.choice(PATTERNS)) if kind.patterned and style < 0.35 else None
    part = kind.part if kind.part and pattern is None and style < 0.7 else None
    toy = build_object(kind, rng, main, pattern, part, accent)
    parts = [WidePart(one.solid, varied(rng, COLOURS[one.colour], PLAIN_SHARE), one.pattern) for one in toy.parts]
    if rng.random() < extras_share:
        parts.append(WidePart(unnamed_part(rng, parts), any_colours(rng)))
    return WideObject(wide_caption(kind, main, pattern, part, accent), kind.noun, _in_the_sphere(tuple(parts)))


def wide_caption(kind: Category, main: str, pattern: str | None, part: str | None, accent: str) -> str:
    """As the toy world's captions; parts of new kinds have their plurals."""
    noun = kind.noun if kind.main_colour else f"{main} {kind.noun}"
    text = f"{article(noun)} {noun}"
    if pattern:
        return f"{text} with {accent} {pattern}"
    if part:
        return f"{text} with {'' if part in PLURAL else article(accent) + ' '}{accent} {part}"
    return text


def unnamed_part(rng: np.random.Generator, parts: list[WidePart]) -> Solid:
    """A small thing on, under or round an object: a plate, a knob, a band."""
    corners = np.concatenate([part.solid.vertices for part in parts])
    low, high = corners.min(axis=0), corners.max(axis=0)
    x, y = ((low + high) / 2)[:2].tolist()
    wide = float(max(high[0] - low[0], high[1] - low[1]) / 2)
    kind = int(rng.integers(3))
    if kind == 0:
        return frustum(wide, wide, 0.08).moved(x, y, float(low[2]) - 0.07)
    if kind == 1:
        return sphere(float(rng.uniform(0.06, 0.14)), 16).moved(x, y, float(high[2]) + 0.05)
    return torus(wide * 0.9, 0.05).moved(x, y, float(rng.uniform(low[2] + 0.1, high[2] - 0.1)))


def render_wide(
    toy: WideObject, cameras: Cameras, light: Light, supersampling: int = 2
) -> Float32[np.ndarray, "views size size 4"]:
    """Renders, premultiplied RGBA in [0, 1].

    Raises:
        Prior3dError: as `visible` does.
    """
    whole = merge([part.solid for part in toy.parts])
    seen = visible(whole.vertices.astype(np.float32), whole.faces.astype(np.int32), cameras, supersampling)
    strengths = light.ambient, light.sunlight, light.headlight
    shade, _ = lit(seen, whole.normals.astype(np.float32), np.array(light.sun, np.float32), strengths)
    ends = np.cumsum([len(part.solid.faces) for part in toy.parts])
    owner = np.searchsorted(ends, seen.face, side="right")
    colours = np.zeros((len(owner), 3), np.float32)
    for number, part in enumerate(toy.parts):
        here = np.flatnonzero(owner == number)
        colours[here] = _colours(part, seen.points[here])
    return pixel_means((colours * shade[:, None]).clip(0, 1), seen)


def _colours(part: WidePart, points: NDArray[np.float32]) -> NDArray[np.float32]:
    colours = part.material.colours_at(points)
    if part.pattern:
        colours[part.pattern.covers(points)] = COLOURS[part.pattern.accent]
    return colours


def _in_the_sphere(parts: tuple[WidePart, ...]) -> tuple[WidePart, ...]:
    """Parts about the origin in the toy world's sphere, whatever was added to them."""
    corners = np.concatenate([part.solid.vertices for part in parts])
    centre = (corners.max(axis=0) + corners.min(axis=0)) / 2
    if any(part.pattern for part in parts):  # a pattern stays where it is: scale about the origin
        centre = np.zeros(3)
    scale = RADIUS / float(np.linalg.norm(corners - centre, axis=1).max())
    return tuple(
        WidePart(part.solid.moved(*-centre).scaled(scale, scale, scale), part.material, _scaled(part.pattern, scale))
        for part in parts
    )


def _scaled(pattern: Pattern | None, scale: float) -> Pattern | None:
    if pattern is None:
        return None
    x, y, z = (scale * value for value in pattern.centre)
    return Pattern(
        pattern.kind, pattern.accent, (x, y, z), pattern.period * scale, pattern.n_dots, pattern.dot_angle_deg
    )
