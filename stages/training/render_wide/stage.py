"""The body of render_wide; the package says what it takes, gives and is set by."""

from prior3d.realobjects.chosen import choose, key_of, splits
from prior3d.toyworld.objects import Split
from stages.contract.job import Job
from stages.training.datasets.rendering import RenderSettings, told_to
from stages.training.datasets.wide_sets import RealSource, Shares, render_wide_sets
from stages.training.render_wide import CHUNK, FOLDER, OBJECTS, Params


def run(job: Job, params: Params) -> None:
    """Render what is not on disk yet."""
    shares, objects = Shares(params.real_share, params.nameless_share, params.random_light), job.run_folder / OBJECTS
    used = choose(objects).used if params.real_share > 0 else ()
    sides = splits(used)
    counts: dict[Split, tuple[int, int]] = {
        "held-out": (params.held_out_objects, params.held_out_views),
        "train": (params.train_objects, params.train_views),
    }
    for split, (n, n_views) in counts.items():
        real = RealSource(objects, tuple(entry for entry in used if sides[key_of(entry)] == split))
        settings = RenderSettings(params.seed, n_views, params.size, params.workers, CHUNK, progress=told_to(job))
        render_wide_sets(job.run_folder / FOLDER, split, n, shares, real, settings)
