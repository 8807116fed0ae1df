"""Monitors for parts of a stage's work: what they pass on of its job, and what they keep to themselves."""

from stages.contract.job import Job


class SilentMonitor:
    """Passes on whether to stop or to save, but no progress: for fits on the side."""

    def __init__(self, job: Job) -> None:
        self.job = job

    @property
    def stopping(self) -> bool:
        """Whether the job was asked to stop."""
        return self.job.stopping

    def checkpoint_due(self) -> bool:
        """Whether the job wants a checkpoint."""
        return self.job.checkpoint_due()

    def progress(self, step: int, total: int, *, loss: float | None = None) -> None:
        """Report nothing."""
