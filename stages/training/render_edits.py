"""Render edits of the toy world: objects before and after an instruction, for the instruct prior to be trained on.

Output `data/edits/`: `{train,held-out}.rgba.npy` [n, 64, 64, 4] uint8 with premultiplied colour,
`{train,held-out}.views.npy` [n, 2] azimuth and elevation in degrees, `{train,held-out}.edits.json` one record an edit;
image (edit * views_per_edit + view) * 2 shows the object before, the next one after, from the same camera.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from prior3d.cameras import orbit_cameras
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.edits import sample_edit
from prior3d.toyworld.objects import Split
from prior3d.toyworld.renders import render_toy, toy_orbit
from stages.training.common import read_params
from stages.training.rendering import Arrays, render_split

CHUNK = 100  # edits a worker renders between two marks on disk


class Params(BaseModel, extra="forbid"):
    """How many edits."""

    seed: int = 0
    train_edits: int = Field(12_000, ge=CHUNK, multiple_of=CHUNK)
    held_out_edits: int = Field(400, ge=CHUNK, multiple_of=CHUNK)
    views_per_edit: int = Field(2, ge=1)
    size: int = Field(64, ge=16)
    workers: int = Field(2, ge=0, description="processes; 0 renders in this one")


def main() -> None:
    """Render what is not on disk yet."""
    params = read_params("render_edits", Params)
    splits: dict[Split, int] = {"held-out": params.held_out_edits, "train": params.train_edits}
    for split, edits in splits.items():
        render_pairs(Path("data/edits"), split, edits, params)


def render_pairs(folder: Path, split: Split, edits: int, params: Params, chunk: int = CHUNK) -> None:
    """Render the first edits of a split and write what is said of them; whole chunks that are on disk stay."""
    n, size = 2 * params.views_per_edit, params.size
    arrays: Arrays = {"rgba": ((n, size, size, 4), "uint8"), "views": ((n, 2), "float32")}
    draw = partial(draw_edit, seed=params.seed, split=split, n_views=params.views_per_edit, size=size)
    render_split(folder, split, edits, chunk, arrays, draw, params.workers)
    (folder / f"{split}.edits.json").write_text(json.dumps([record(params.seed, i, split) for i in range(edits)]))


def record(seed: int, index: int, split: Split) -> dict[str, str]:
    """What is said of an edit."""
    edit = sample_edit(seed, index, split)
    captions = {"before": edit.before.caption, "after": edit.after.caption}
    return {"kind": edit.kind, "instruction": edit.instruction, **captions}


def draw_edit(index: int, *, seed: int, split: Split, n_views: int, size: int) -> dict[str, NDArray]:
    """One edit's rows: `rgba` [2 n_views, size, size, 4] uint8, before and after in turn, `views` [2 n_views, 2]."""
    rng = np.random.default_rng([seed, 4 if split == "train" else 5, index])
    azimuth_deg, elevation_deg = sample_views(rng, n_views)
    cameras = orbit_cameras(toy_orbit(azimuth_deg, elevation_deg), size, size)
    edit, pixels = sample_edit(seed, index, split), []
    for toy in (edit.before, edit.after):
        renders = render_toy(toy, cameras)
        pixels.append(np.round(np.concatenate([renders.rgb, renders.mask[..., None]], axis=-1) * 255).astype(np.uint8))
    views = np.stack([azimuth_deg, elevation_deg], axis=1)
    return {"rgba": np.stack(pixels, axis=1).reshape(-1, size, size, 4), "views": views.repeat(2, axis=0)}


if __name__ == "__main__":
    main()
