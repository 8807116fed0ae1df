"""Render edits of the toy world: objects before and after an instruction, for the instruct prior to be trained on.

Output `data/edits/`: `{train,held-out}.rgba.npy` [n, 64, 64, 4] uint8 with premultiplied colour,
`{train,held-out}.views.npy` [n, 2] azimuth and elevation in degrees, `{train,held-out}.edits.json` one record an edit;
image (edit * views_per_edit + view) * 2 shows the object before, the next one after, from the same camera.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from prior3d.cameras import orbit_cameras
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.edits import sample_edit
from prior3d.toyworld.objects import Split
from prior3d.toyworld.renders import render, toy_orbit
from stages.training.chunks import create_arrays, render_chunks
from stages.training.common import read_params

CHUNK = 100  # edits a worker renders between two marks on disk


class Params(BaseModel, extra="forbid"):
    """How many edits."""

    seed: int = 0
    train_edits: int = Field(12_000, ge=CHUNK, multiple_of=CHUNK)
    held_out_edits: int = Field(400, ge=CHUNK, multiple_of=CHUNK)
    views_per_edit: int = Field(2, ge=1)
    size: int = Field(64, ge=16)
    workers: int = Field(2, ge=1)


def main() -> None:
    """Render what is not on disk yet."""
    params = read_params("render_edits", Params)
    folder = Path("data/edits")
    folder.mkdir(parents=True, exist_ok=True)
    splits: dict[Split, int] = {"held-out": params.held_out_edits, "train": params.train_edits}
    with ProcessPoolExecutor(params.workers) as pool:
        for split, edits in splits.items():
            n = edits * params.views_per_edit * 2
            create_arrays(
                folder, split, {"rgba": ((n, params.size, params.size, 4), "uint8"), "views": ((n, 2), "float32")}
            )
            chunk = partial(render_chunk, folder, split, params, CHUNK)
            render_chunks(pool, folder, split, edits, CHUNK, chunk, params.views_per_edit * 2)
            (folder / f"{split}.edits.json").write_text(
                json.dumps([record(params.seed, i, split) for i in range(edits)])
            )


def render_here(folder: Path, split: Split, edits: int, params: Params) -> None:
    """Render a split with this process alone."""
    n = edits * params.views_per_edit * 2
    create_arrays(folder, split, {"rgba": ((n, params.size, params.size, 4), "uint8"), "views": ((n, 2), "float32")})
    render_chunk(folder, split, params, edits, 0)
    (folder / f"{split}.edits.json").write_text(json.dumps([record(params.seed, i, split) for i in range(edits)]))


def record(seed: int, index: int, split: Split) -> dict[str, str]:
    """What is said of an edit."""
    edit = sample_edit(seed, index, split)
    captions = {"before": edit.before.caption, "after": edit.after.caption}
    return {"kind": edit.kind, "instruction": edit.instruction, **captions}


def render_chunk(folder: Path, split: Split, params: Params, chunk: int, first: int) -> None:
    """Write the renders of edits `first` to `first + chunk` into the arrays."""
    rgba = np.lib.format.open_memmap(folder / f"{split}.rgba.npy", mode="r+")
    views = np.lib.format.open_memmap(folder / f"{split}.views.npy", mode="r+")
    n_views = params.views_per_edit
    for index in range(first, first + chunk):
        rng = np.random.default_rng([params.seed, 4 if split == "train" else 5, index])
        azimuth_deg, elevation_deg = sample_views(rng, n_views)
        cameras = orbit_cameras(toy_orbit(azimuth_deg, elevation_deg), params.size, params.size)
        edit = sample_edit(params.seed, index, split)
        for place, toy in enumerate((edit.before, edit.after)):
            renders = render(toy, cameras)
            here = slice(index * n_views * 2 + place, (index + 1) * n_views * 2, 2)
            pixels = np.concatenate([renders.rgb, renders.mask[..., None]], axis=-1)
            rgba[here] = np.round(pixels * 255).astype(np.uint8)
            views[here] = np.stack([azimuth_deg, elevation_deg], axis=1)
    rgba.flush()
    views.flush()


if __name__ == "__main__":
    main()
