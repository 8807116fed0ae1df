"""Sets of the wider world on disk: named kinds, shapes without names, and real objects, in one layout.

The layout is that of `stages.training.datasets.sets`: each object has a ring of four views, then views at random
cameras. So the same files serve trainings that take single images and those that take sets.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prior3d.cameras import orbit_cameras
from prior3d.realobjects.catalogue import Entry
from prior3d.toyworld.objects import Split
from prior3d.toyworld.renders import toy_orbit
from prior3d.wideworld.world import render_wide, sample_wide
from stages.training.datasets.real_objects import AS_IT_IS, TOY_LIGHT, Variation, draw_entry, draw_real, random_light
from stages.training.datasets.rendering import Arrays, RenderSettings, render_split
from stages.training.datasets.sets import set_views

KEYS = {"train": 30, "held-out": 31}
LONGEST_CAPTION = 120  # bytes


@dataclass(frozen=True)
class Shares:
    """Of the sets: how many show real objects, and how many of the others a shape without a name.

    `random_light` is the share of sets that are not lit as the toy world is.
    """

    real: float = 0.35
    nameless: float = 0.4
    random_light: float = 0.5


@dataclass(frozen=True)
class RealSource:
    """Where real objects lie, and which may be drawn; none where `entries` is empty."""

    folder: Path
    entries: tuple[Entry, ...] = ()


def render_wide_sets(
    folder: Path, split: Split, objects: int, shares: Shares, real: RealSource, settings: RenderSettings
) -> None:
    """Render sets of a split and write their captions; whole chunks that are on disk stay."""
    n, size = settings.n_views, settings.size
    arrays: Arrays = {
        "rgba": ((n, size, size, 4), "uint8"),
        "views": ((n, 2), "float32"),
        "said": ((1, LONGEST_CAPTION), "uint8"),
    }
    draw = partial(draw_wide, seed=settings.seed, split=split, n_views=n, size=size, shares=shares, real=real)
    render_split(folder, split, objects, arrays, draw, settings)
    said = np.load(folder / f"{split}.said.npy", mmap_mode="r")
    captions = [bytes(row).rstrip(b"\0").decode("utf-8") for row in said]
    (folder / f"{split}.captions.json").write_text(json.dumps(captions), encoding="utf-8")


def draw_wide(
    index: int, *, seed: int, split: Split, n_views: int, size: int, shares: Shares, real: RealSource
) -> dict[str, NDArray]:
    """One set's rows: `rgba` [n_views, size, size, 4] uint8, `views` [n_views, 2] degrees, `said` [1, bytes]."""
    rng = np.random.default_rng([seed, KEYS[split], index])
    azimuth_deg, elevation_deg = set_views(rng, n_views)
    cameras = orbit_cameras(toy_orbit(azimuth_deg, elevation_deg), size, size)
    if real.entries and rng.random() < shares.real:
        variation = Variation(random_light=shares.random_light) if split == "train" else AS_IT_IS
        rgba, said = draw_real(rng, real.folder, _entry(rng, index, split, real.entries), cameras, variation)
    else:
        light = random_light(rng) if rng.random() < shares.random_light else TOY_LIGHT
        thing = sample_wide(seed, index, split, shares.nameless)
        rgba, said = render_wide(thing, cameras, light), thing.caption
    text = np.zeros((1, LONGEST_CAPTION), np.uint8)
    spelt = np.frombuffer(said.encode("utf-8")[:LONGEST_CAPTION], np.uint8)
    text[0, : len(spelt)] = spelt
    views = np.stack([azimuth_deg, elevation_deg], axis=1)
    return {"said": text, "views": views, "rgba": np.round(rgba * 255).clip(0, 255).astype(np.uint8)}


def _entry(rng: np.random.Generator, index: int, split: Split, entries: Sequence[Entry]) -> Entry:
    """Of the held-out objects each comes in its turn; of the others by chance."""
    return draw_entry(rng, entries) if split == "train" else entries[index % len(entries)]
