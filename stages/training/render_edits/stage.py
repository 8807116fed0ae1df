"""The body of render_edits; the package says what it takes, gives and is set by."""

from prior3d.toyworld.objects import Split
from stages.contract.job import Job
from stages.training.datasets.edits import render_pairs
from stages.training.datasets.rendering import RenderSettings, told_to
from stages.training.render_edits import CHUNK, FOLDER, Params


def run(job: Job, params: Params) -> None:
    """Render what is not on disk yet."""
    settings = RenderSettings(
        params.seed, params.views_per_edit, params.size, params.workers, CHUNK, progress=told_to(job)
    )
    splits: dict[Split, int] = {"held-out": params.held_out_edits, "train": params.train_edits}
    for split, edits in splits.items():
        render_pairs(job.run_folder / FOLDER, split, edits, settings)
