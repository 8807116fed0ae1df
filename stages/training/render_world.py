"""Render the toy world: captioned RGBA images of procedural objects, for the priors to be trained on.

Output `data/world/`: `{train,held-out}.rgba.npy` [n, 64, 64, 4] uint8 with premultiplied colour,
`{train,held-out}.views.npy` [n, 2] azimuth and elevation in degrees, `{train,held-out}.captions.json` one caption an
object; image i shows object i // views_per_object. Whole chunks survive a kill: the next run goes on behind them.
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
from prior3d.toyworld.renders import render_toy, toy_orbit
from stages.training.common import read_params
from stages.training.rendering import Arrays, render_split

CHUNK = 200  # objects a worker renders between two marks on disk


class ViewParams(BaseModel, extra="forbid"):
    """How objects are rendered."""

    seed: int = 0
    views_per_object: int = Field(3, ge=1)
    size: int = Field(64, ge=16)
    workers: int = Field(2, ge=0, description="processes; 0 renders in this one")


class Params(ViewParams):
    """The world's size."""

    train_objects: int = Field(24_000, ge=CHUNK, multiple_of=CHUNK)
    held_out_objects: int = Field(800, ge=CHUNK, multiple_of=CHUNK)


def main() -> None:
    """Render what is not on disk yet."""
    params = read_params("render_world", Params)
    splits: dict[Split, int] = {"held-out": params.held_out_objects, "train": params.train_objects}
    for split, objects in splits.items():
        render_objects(Path("data/world"), split, objects, params, rng_key=2 if split == "train" else 3)


def render_objects(
    folder: Path, split: Split, objects: int, params: ViewParams, rng_key: int, chunk: int = CHUNK
) -> None:
    """Render the first objects of a split and write their captions; whole chunks that are on disk stay."""
    n, size = params.views_per_object, params.size
    arrays: Arrays = {"rgba": ((n, size, size, 4), "uint8"), "views": ((n, 2), "float32")}
    draw = partial(draw_object, seed=params.seed, split=split, rng_key=rng_key, n_views=n, size=size)
    render_split(folder, split, objects, chunk, arrays, draw, params.workers)
    captions = [sample_object(params.seed, i, split).caption for i in range(objects)]
    (folder / f"{split}.captions.json").write_text(json.dumps(captions))


def draw_object(index: int, *, seed: int, split: Split, rng_key: int, n_views: int, size: int) -> dict[str, NDArray]:
    """One object's rows: `rgba` [n_views, size, size, 4] uint8 and `views` [n_views, 2] degrees.

    The cameras are drawn from [seed, rng_key, index]; each world has its own key.
    """
    rng = np.random.default_rng([seed, rng_key, index])
    azimuth_deg, elevation_deg = sample_views(rng, n_views)
    cameras = orbit_cameras(toy_orbit(azimuth_deg, elevation_deg), size, size)
    renders = render_toy(sample_object(seed, index, split), cameras)
    pixels = np.concatenate([renders.rgb, renders.mask[..., None]], axis=-1)
    views = np.stack([azimuth_deg, elevation_deg], axis=1)
    return {"rgba": np.round(pixels * 255).astype(np.uint8), "views": views}


if __name__ == "__main__":
    main()
