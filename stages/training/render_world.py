"""Render the toy world: captioned RGBA images of procedural objects, for the priors to be trained on.

Output `data/world/`: `{train,held-out}.rgba.npy` [n, 64, 64, 4] uint8 with premultiplied colour,
`{train,held-out}.views.npy` [n, 2] azimuth and elevation in degrees, `{train,held-out}.captions.json` one caption an
object; image i shows object i // views_per_object. Whole chunks survive a kill: the next run goes on behind them.
"""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, Field

from prior3d.cameras import orbit_cameras
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.objects import Split, sample_object
from prior3d.toyworld.renders import render, toy_orbit
from stages.training.common import read_params, report

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
    start, done_images = time.monotonic(), 0
    with ProcessPoolExecutor(params.workers) as pool:
        splits: dict[Split, int] = {"held-out": params.held_out_objects, "train": params.train_objects}
        for split, objects in splits.items():
            _create(folder, split, objects, params)
            marks = folder / f"{split}.chunks"
            marks.mkdir(exist_ok=True)
            left = [first for first in range(0, objects, CHUNK) if not (marks / str(first)).exists()]
            for first in (
                pool.map(_render_chunk, *zip(*[(folder, split, f, params) for f in left], strict=True)) if left else []
            ):
                done_images += CHUNK * params.views_per_object
                rate = done_images / (time.monotonic() - start)
                report(step=first + CHUNK, total=objects, text=f"{split}: {rate:.0f} images/s")
            captions = [sample_object(params.seed, i, split).caption for i in range(objects)]
            (folder / f"{split}.captions.json").write_text(json.dumps(captions))


def _create(folder: Path, split: Split, objects: int, params: Params) -> None:
    n = objects * params.views_per_object
    for name, shape, dtype in (("rgba", (n, params.size, params.size, 4), "uint8"), ("views", (n, 2), "float32")):
        path = folder / f"{split}.{name}.npy"
        if not path.exists():
            np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()


def _render_chunk(folder: Path, split: Split, first: int, params: Params) -> int:
    torch.set_num_threads(1)  # workers fill the cores; two threads each took seven times as long on a busy machine
    rgba = np.lib.format.open_memmap(folder / f"{split}.rgba.npy", mode="r+")
    views = np.lib.format.open_memmap(folder / f"{split}.views.npy", mode="r+")
    for index in range(first, first + CHUNK):
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
    (folder / f"{split}.chunks" / str(first)).touch()
    return first


if __name__ == "__main__":
    main()
