"""What a set of a real object shows: which one, in which colours, shape and light, and what is said of it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prior3d.cameras import Cameras
from prior3d.realobjects.captions import NO_COLOUR, caption, colour_shares, leading
from prior3d.realobjects.catalogue import Entry
from prior3d.realobjects.chosen import Opened
from prior3d.realobjects.models import Model, plain_main, recoloured, reshaped
from prior3d.realobjects.renders import Light, render_model
from prior3d.toyworld.palette import COLOURS
from prior3d.toyworld.renders import AMBIENT, HEADLIGHT, SUN, SUNLIGHT

TOY_LIGHT = Light((float(SUN[0]), float(SUN[1]), float(SUN[2])), AMBIENT, SUNLIGHT, HEADLIGHT)
SIZES = ("large", "small", "big", "little", "mini")  # which no render tells
NOUN_SHARE = 1 / 3  # of the captions say "wooden bench" where others say "bench"


@dataclass(frozen=True)
class Variation:
    """How much of what is drawn differs from the models as they are: shares of the sets."""

    recoloured: float = 0.5
    reshaped: float = 0.5
    random_light: float = 0.5


AS_IT_IS = Variation(0.0, 0.0, 0.0)


def draw_entry(rng: np.random.Generator, entries: Sequence[Entry]) -> Entry:
    """An entry; a kind's mass is the square root of its objects, or an eighth of all were chairs and tables."""
    kinds: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        kinds[entry.kind].append(entry)
    mass = np.sqrt([len(group) for group in kinds.values()])
    group = list(kinds.values())[int(rng.choice(len(kinds), p=mass / mass.sum()))]
    return group[int(rng.integers(len(group)))]


def draw_real(
    rng: np.random.Generator, folder: Path, entry: Entry, cameras: Cameras, variation: Variation
) -> tuple[NDArray[np.float32], str]:
    """Renders of a variant of an entry's model, premultiplied RGBA [views, size, size, 4], and their caption."""
    if entry.kind in NO_COLOUR:  # a purple cactus would have to be called so
        variation = replace(variation, recoloured=0.0)
    model = varied(opened(folder).model(entry), rng, variation)
    light = random_light(rng) if rng.random() < variation.random_light else TOY_LIGHT
    shown, unlit = render_model(model, cameras, light)
    return shown, caption(spoken(entry, rng), leading(entry.kind, colour_shares(unlit)))


def varied(model: Model, rng: np.random.Generator, variation: Variation) -> Model:
    """A model with another colour of its plain main material, other proportions, or mirrored; or as it is."""
    main = plain_main(model) if rng.random() < variation.recoloured else None
    if main is not None:
        model = recoloured(model, main, COLOURS[str(rng.choice(list(COLOURS)))])
    if rng.random() < variation.reshaped:
        x, y, z = rng.uniform(0.85, 1.15, 3).tolist()
        model = reshaped(model, (x, y, z), mirrored=bool(rng.random() < 0.5))
    return model


def random_light(rng: np.random.Generator) -> Light:
    """A sun anywhere above the horizon, brighter or softer than the toy world's."""
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 1.0)
    flat = float(np.sqrt(1 - height**2))
    sun = float(flat * np.cos(azimuth)), float(flat * np.sin(azimuth)), float(height)
    strengths = rng.uniform([0.25, 0.2, 0.05], [0.55, 0.6, 0.3])
    ambient, sunlight, headlight = (strengths / strengths.sum() * rng.uniform(0.9, 1.1)).tolist()
    return Light(sun, ambient, sunlight, headlight)


def spoken(entry: Entry, rng: np.random.Generator) -> str:
    """The kind, or now and then the catalogue's own noun of it; never a brand, nor a noun that names a colour."""
    fits = entry.noun.endswith(f" {entry.kind}") and not set(entry.noun.split()) & {*COLOURS, *SIZES}
    return entry.noun if fits and rng.random() < NOUN_SHARE else entry.kind


@cache
def opened(folder: Path) -> Opened:
    """The libraries, opened once a process."""
    return Opened(folder)
