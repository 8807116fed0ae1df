"""Render the toy world: captioned RGBA images of procedural objects, for the priors to be trained on.

Output `data/world/`: `{train,held-out}.rgba.npy` [n, 64, 64, 4] uint8 with premultiplied colour,
`{train,held-out}.views.npy` [n, 2] azimuth and elevation in degrees, `{train,held-out}.captions.json` one caption an
object; image i shows object i // views_per_object. Whole chunks survive a kill: the next run goes on behind them.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from prior3d.cameras import orbit_cameras
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.objects import Split, sample_object
from prior3d.toyworld.renders import render, toy_orbit
from stages.training.chunks import create_arrays, render_chunks
from stages.training.common import read_params

CHUNK = 200  # objects a worker renders between two marks on disk


class Params(BaseModel, extra="forbid"):
    """The world's size."""

    seed: int = 0
    train_objects: int = Field(24_000, ge=CHUNK, multiple_of=CHUNK)
    held_out_objects: int = Field(800, ge=CHUNK, multiple_of=CHUNK)
    views_per_object: int = Field(3, ge=1)
    size: int = Field(64, ge=16)
    workers: int = Field(2, ge=1)


def main() -> None:
    """Render what is not on disk yet."""
    params = read_params("render_world", Params)
    folder = Path("data/world")
    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[Split, int] = {"held-out": params.held_out_objects, "train": params.train_objects}
    with ProcessPoolExecutor(params.workers) as pool:
        for split, objects in splits.items():
            n = objects * params.views_per_object
            create_arrays(
                folder, split, {"rgba": ((n, params.size, params.size, 4), "uint8"), "views": ((n, 2), "float32")}
            )
            chunk = partial(render_chunk, folder, split, params, CHUNK)
            render_chunks(pool, folder, split, objects, CHUNK, chunk, params.views_per_object)
            captions = [sample_object(params.seed, i, split).caption for i in range(objects)]
            (folder / f"{split}.captions.json").write_text(json.dumps(captions))


def render_here(folder: Path, split: Split, objects: int, params: Params) -> None:
    """Render a split with this process alone."""
    n = objects * params.views_per_object
    create_arrays(folder, split, {"rgba": ((n, params.size, params.size, 4), "uint8"), "views": ((n, 2), "float32")})
    render_chunk(folder, split, params, objects, 0)
    captions = [sample_object(params.seed, i, split).caption for i in range(objects)]
    (folder / f"{split}.captions.json").write_text(json.dumps(captions))


def render_chunk(folder: Path, split: Split, params: Params, chunk: int, first: int) -> None:
    """Write the renders of objects `first` to `first + chunk` into the arrays."""
    rgba = np.lib.format.open_memmap(folder / f"{split}.rgba.npy", mode="r+")
    views = np.lib.format.open_memmap(folder / f"{split}.views.npy", mode="r+")
    for index in range(first, first + chunk):
        rng = np.random.default_rng([params.seed, 2 if split == "train" else 3, index])
        azimuth_deg, elevation_deg = sample_views(rng, params.views_per_object)
        cameras = orbit_cameras(toy_orbit(azimuth_deg, elevation_deg), params.size, params.size)
        renders = render(sample_object(params.seed, index, split), cameras)
        here = slice(index * params.views_per_object, (index + 1) * params.views_per_object)
        pixels = np.concatenate([renders.rgb, renders.mask[..., None]], axis=-1)
        rgba[here] = np.round(pixels * 255).astype(np.uint8)
        views[here] = np.stack([azimuth_deg, elevation_deg], axis=1)
    rgba.flush()
    views.flush()


if __name__ == "__main__":
    main()
