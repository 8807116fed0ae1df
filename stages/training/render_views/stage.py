"""The body of render_views; the package says what it takes, gives and is set by."""

from prior3d.toyworld.objects import Split
from stages.contract.job import Job
from stages.training.datasets.objects import VIEWS_KEY, render_objects
from stages.training.datasets.rendering import RenderSettings, told_to
from stages.training.render_views import CHUNK, FOLDER, Params


def run(job: Job, params: Params) -> None:
    """Render what is not on disk yet; the world's renders of the same objects have other cameras."""
    splits: dict[Split, tuple[int, int, int]] = {
        "held-out": (params.held_out_objects, params.held_out_views, VIEWS_KEY),
        "train": (params.train_objects, params.train_views, 4),
    }
    for split, (objects, n_views, rng_key) in splits.items():
        settings = RenderSettings(params.seed, n_views, params.size, params.workers, CHUNK, progress=told_to(job))
        render_objects(job.run_folder / FOLDER, split, objects, settings, rng_key)
