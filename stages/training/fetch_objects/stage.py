"""The body of fetch_objects; the package says what it takes, gives and is set by."""

from pathlib import Path

from prior3d.realobjects.chosen import choose, credits
from prior3d.realobjects.fetching import fetch_objects
from stages.contract.job import Job
from stages.training.fetch_objects import CREDITS, FOLDER, Params


def run(job: Job, params: Params) -> None:
    """Fetch, look at every model, and write the attributions with both sides of the split."""
    folder = job.run_folder / FOLDER
    source = Path(params.source).expanduser() if params.source else None
    job.progress(0, 1, text=fetch_objects(folder, source))
    choice = choose(folder, lambda done, total: job.progress(done, total) if done % 20 == 0 else None)
    (folder / CREDITS).write_text("\n".join(credits(choice.used)) + "\n", encoding="utf-8")
    left_out = ", ".join(f"{reason} {n}" for reason, n in sorted(choice.refused.items(), key=lambda pair: -pair[1]))
    kinds = len({entry.kind for entry in choice.used})
    job.progress(1, 1, text=f"{len(choice.used)} objects of {kinds} kinds; left out: {left_out}")
