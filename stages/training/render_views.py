"""Render toy objects from many sides each, for the view-conditioned prior to be trained and judged on.

Output `data/views/`: `{train,held-out}.rgba.npy` [n, 64, 64, 4] uint8 with premultiplied colour,
`{train,held-out}.views.npy` [n, 2] azimuth and elevation in degrees, `{train,held-out}.captions.json` one caption an
object; image i shows object i // views of an object. It is the layout of `data/world` with more views of each object.
"""

from pathlib import Path

from pydantic import BaseModel, Field

from prior3d.toyworld.objects import Split
from stages.training.common import read_params
from stages.training.render_world import ViewParams, render_objects

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
        rng_key = 4 if split == "train" else 5  # the world's renders of the same objects have other cameras
        how = ViewParams(seed=params.seed, views_per_object=views, size=params.size, workers=params.workers)
        render_objects(OUT, split, objects, how, rng_key, CHUNK)


if __name__ == "__main__":
    main()
