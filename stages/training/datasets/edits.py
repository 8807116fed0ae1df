"""Renders of objects before and after an edit in words, on disk.

`{split}.rgba.npy` [n, size, size, 4] uint8 with premultiplied colour, `{split}.views.npy` [n, 2] azimuth and elevation
in degrees, `{split}.edits.json` one record an edit; image (edit * n_views + view) * 2 shows the object before, the next
one after, from the same camera.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prior3d.cameras import orbit_cameras
from prior3d.toyworld.captions import sample_views
from prior3d.toyworld.edits import sample_edit
from prior3d.toyworld.objects import Split
from prior3d.toyworld.renders import render_toy, toy_orbit
from stages.training.datasets.rendering import Arrays, RenderSettings, render_split


def render_pairs(folder: Path, split: Split, edits: int, settings: RenderSettings) -> None:
    """Render the first edits of a split and write their records; whole chunks that are on disk stay."""
    n, size = 2 * settings.n_views, settings.size
    arrays: Arrays = {"rgba": ((n, size, size, 4), "uint8"), "views": ((n, 2), "float32")}
    draw = partial(draw_edit, seed=settings.seed, split=split, n_views=settings.n_views, size=size)
    render_split(folder, split, edits, arrays, draw, settings)
    records = [record(settings.seed, i, split) for i in range(edits)]
    (folder / f"{split}.edits.json").write_text(json.dumps(records), encoding="utf-8")


def record(seed: int, index: int, split: Split) -> dict[str, str]:
    """Kind, instruction and captions of an edit."""
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
