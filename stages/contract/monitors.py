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


class PhaseMonitor:
    """Reports one phase of a fit in several phases: steps count through all of them."""

    def __init__(self, job: Job, steps_before: int, total_steps: int) -> None:
        """Take the job, the steps of earlier phases, and the steps of all phases."""
        self.job, self.steps_before, self.total_steps = job, steps_before, total_steps

    @property
    def stopping(self) -> bool:
        """Whether the job was asked to stop."""
        return self.job.stopping

    def checkpoint_due(self) -> bool:
        """Whether the job wants a checkpoint."""
        return self.job.checkpoint_due()

    def progress(self, step: int, total: int, *, loss: float | None = None) -> None:
        """Report a step of this phase."""
        self.job.progress(self.steps_before + step, self.total_steps, loss=loss)
