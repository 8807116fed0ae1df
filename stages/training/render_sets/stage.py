"""The body of render_sets; the package says what it takes, gives and is set by."""

from prior3d.toyworld.objects import Split
from prior3d.toyworld.rasterised import rasterise_toy
from prior3d.toyworld.renders import render_toy
from stages.contract.job import Job
from stages.training.datasets.rendering import RenderSettings, told_to
from stages.training.datasets.sets import render_sets
from stages.training.render_sets import CHUNK, FOLDER, Params


def run(job: Job, params: Params) -> None:
    """Render what is not on disk yet."""
    splits: dict[Split, tuple[int, int]] = {
        "held-out": (params.held_out_objects, params.held_out_views),
        "train": (params.train_objects, params.train_views),
    }
    for split, (objects, n_views) in splits.items():
        settings = RenderSettings(params.seed, n_views, params.size, params.workers, CHUNK, progress=told_to(job))
        render = rasterise_toy if params.renderer == "rasteriser" else render_toy
        render_sets(job.run_folder / FOLDER, split, objects, settings, render)
