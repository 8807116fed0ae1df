"""Copies a text."""

from stages.contract.job import Job
from stages.contract.parameters import StageParams


def run(job: Job, params: StageParams) -> None:
    """Copy."""
    source = job.inputs["text"]
    (job.out / "text.txt").write_text((source / "text.txt" if source.is_dir() else source).read_text())
