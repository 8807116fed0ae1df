"""Renders of procedural objects on disk, with their captions.

`{split}.rgba.npy` [n, size, size, 4] uint8 with premultiplied colour, `{split}.views.npy` [n, 2] azimuth and elevation
in degrees, `{split}.captions.json` one caption an object; image i shows object i // n_views. Whole chunks survive a
kill: the next run goes on after them.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prior3d.cameras import orbit_cameras
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.objects import Split, sample_object
from prior3d.toyworld.renders import render_toy, toy_orbit
from stages.training.datasets.rendering import Arrays, RenderSettings, render_split

OBJECTS_KEY, VIEWS_KEY = 3, 5  # of the cameras of held-out objects in data/world and in data/views


def render_objects(folder: Path, split: Split, objects: int, settings: RenderSettings, rng_key: int) -> None:
    """Render the first objects of a split and write their captions; whole chunks that are on disk stay.

    Args:
        folder: of the dataset.
        split: which objects.
        objects: how many.
        settings: how they are rendered.
        rng_key: of the cameras; each dataset has its own.
    """
    n, size = settings.n_views, settings.size
    arrays: Arrays = {"rgba": ((n, size, size, 4), "uint8"), "views": ((n, 2), "float32")}
    draw = partial(draw_object, seed=settings.seed, split=split, rng_key=rng_key, n_views=n, size=size)
    render_split(folder, split, objects, arrays, draw, settings)
    captions = [sample_object(settings.seed, i, split).caption for i in range(objects)]
    (folder / f"{split}.captions.json").write_text(json.dumps(captions), encoding="utf-8")


def draw_object(index: int, *, seed: int, split: Split, rng_key: int, n_views: int, size: int) -> dict[str, NDArray]:
    """One object's rows: `rgba` [n_views, size, size, 4] uint8 and `views` [n_views, 2] degrees.

    The cameras are drawn from [seed, rng_key, index].
    """
    rng = np.random.default_rng([seed, rng_key, index])
    azimuth_deg, elevation_deg = sample_views(rng, n_views)
    cameras = orbit_cameras(toy_orbit(azimuth_deg, elevation_deg), size, size)
    renders = render_toy(sample_object(seed, index, split), cameras)
    pixels = np.concatenate([renders.rgb, renders.mask[..., None]], axis=-1)
    views = np.stack([azimuth_deg, elevation_deg], axis=1)
    return {"rgba": np.round(pixels * 255).astype(np.uint8), "views": views}
