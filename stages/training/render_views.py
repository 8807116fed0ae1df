"""Render toy objects from many sides each, for the view-conditioned prior to be trained and judged on.

Output `data/views/`: `{train,held-out}.rgba.npy` [n, 64, 64, 4] uint8 with premultiplied colour,
`{train,held-out}.views.npy` [n, 2] azimuth and elevation in degrees, `{train,held-out}.captions.json` one caption an
object; image i shows object i // views of an object. It is the layout of `data/world` with more views of each object.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from prior3d.cameras import orbit_cameras
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.objects import Split, sample_object
from prior3d.toyworld.renders import render, toy_orbit
from stages.training.common import read_params
from stages.training.rendering import Arrays, render_split

OUT = Path("data/views")
CHUNK = 20  # objects a worker renders between two marks on disk


class Params(BaseModel, extra="forbid"):
    """How many objects, and views of each."""

    seed: int = 0
    train_objects: int = Field(6_000, ge=CHUNK, multiple_of=CHUNK)
    train_views: int = Field(8, ge=2)
    held_out_objects: int = Field(60, ge=CHUNK, multiple_of=CHUNK)
    held_out_views: int = Field(40, ge=2)
    size: int = Field(64, ge=16)
    workers: int = Field(2, ge=1)


def main() -> None:
    """Render what is not on disk yet."""
    params = read_params("render_views", Params)
    splits: dict[Split, tuple[int, int]] = {
        "held-out": (params.held_out_objects, params.held_out_views),
        "train": (params.train_objects, params.train_views),
    }
    for split, (objects, views) in splits.items():
        arrays: Arrays = {"rgba": ((views, params.size, params.size, 4), "uint8"), "views": ((views, 2), "float32")}
        draw = partial(draw_object, seed=params.seed, split=split, n_views=views, size=params.size)
        render_split(OUT, split, objects, CHUNK, arrays, draw, params.workers)
        captions = [sample_object(params.seed, i, split).caption for i in range(objects)]
        (OUT / f"{split}.captions.json").write_text(json.dumps(captions))


def draw_object(index: int, *, seed: int, split: Split, n_views: int, size: int) -> dict[str, NDArray]:
    """One object's rows: `rgba` [n_views, size, size, 4] uint8 and `views` [n_views, 2] degrees."""
    rng = np.random.default_rng([seed, 4 if split == "train" else 5, index])
    azimuth_deg, elevation_deg = sample_views(rng, n_views)
    cameras = orbit_cameras(toy_orbit(azimuth_deg, elevation_deg), size, size)
    renders = render(sample_object(seed, index, split), cameras)
    pixels = np.concatenate([renders.rgb, renders.mask[..., None]], axis=-1)
    views = np.stack([azimuth_deg, elevation_deg], axis=1)
    return {"rgba": np.round(pixels * 255).astype(np.uint8), "views": views}


if __name__ == "__main__":
    main()
