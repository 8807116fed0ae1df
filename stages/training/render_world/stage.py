"""The body of render_world; the package says what it takes, gives and is set by."""

from prior3d.toyworld.objects import Split
from stages.contract.job import Job
from stages.training.datasets.objects import OBJECTS_KEY, render_objects
from stages.training.datasets.rendering import RenderSettings, told_to
from stages.training.render_world import CHUNK, FOLDER, Params


def run(job: Job, params: Params) -> None:
    """Render what is not on disk yet."""
    settings = RenderSettings(
        params.seed, params.views_per_object, params.size, params.workers, CHUNK, progress=told_to(job)
    )
    splits: dict[Split, tuple[int, int]] = {
        "held-out": (params.held_out_objects, OBJECTS_KEY),
        "train": (params.train_objects, 2),
    }
    for split, (objects, rng_key) in splits.items():
        render_objects(job.run_folder / FOLDER, split, objects, settings, rng_key)
