"""Sets of posed views on disk: of each object a ring of four, then views at random cameras.

Files and their layout are those of `stages.training.datasets.objects`.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.objects import Split, ToyObject, sample_object
from prior3d.toyworld.renders import ToyRenders, render_toy, toy_orbit
from stages.training.datasets.rendering import Arrays, RenderSettings, render_split

Render = Callable[[ToyObject, Cameras], ToyRenders]
RING = 4  # views of the ring
SETS_KEY = {"train": 7, "held-out": 8}  # of the cameras; other datasets have other keys
LOW_SHARE = 0.4  # of the rings stand at the elevations of people's photos, 0 to 20 degrees


def render_sets(
    folder: Path, split: Split, objects: int, settings: RenderSettings, render: Render = render_toy
) -> None:
    """Render sets of the first objects of a split and write their captions; whole chunks that are on disk stay."""
    n, size = settings.n_views, settings.size
    arrays: Arrays = {"rgba": ((n, size, size, 4), "uint8"), "views": ((n, 2), "float32")}
    draw = partial(draw_set, seed=settings.seed, split=split, n_views=n, size=size, render=render)
    render_split(folder, split, objects, arrays, draw, settings)
    captions = [sample_object(settings.seed, i, split).caption for i in range(objects)]
    (folder / f"{split}.captions.json").write_text(json.dumps(captions), encoding="utf-8")


def draw_set(
    index: int, *, seed: int, split: Split, n_views: int, size: int, render: Render = render_toy
) -> dict[str, NDArray]:
    """One object's rows: `rgba` [n_views, size, size, 4] uint8 and `views` [n_views, 2] degrees."""
    azimuth_deg, elevation_deg = set_views(np.random.default_rng([seed, SETS_KEY[split], index]), n_views)
    cameras = orbit_cameras(toy_orbit(azimuth_deg, elevation_deg), size, size)
    renders = render(sample_object(seed, index, split), cameras)
    pixels = np.concatenate([renders.rgb, renders.mask[..., None]], axis=-1)
    views = np.stack([azimuth_deg, elevation_deg], axis=1)
    return {"rgba": np.round(pixels * 255).astype(np.uint8), "views": views}


def set_views(rng: np.random.Generator, n_views: int) -> tuple[NDArray, NDArray]:
    """Azimuths and elevations in degrees, each [n_views]: a ring of four at one elevation, then random cameras."""
    azimuth_deg, elevation_deg = sample_views(rng, n_views)
    azimuth_deg[:RING] = (azimuth_deg[0] + 360.0 / RING * np.arange(RING)) % 360
    low, high = (0.0, 20.0) if rng.random() < LOW_SHARE else (-10.0, 60.0)
    elevation_deg[:RING] = rng.uniform(low, high)
    return azimuth_deg, elevation_deg
