"""What the stages that fit a field to a few views share: carrying a fit out, and scoring pictures against views."""

from torch import Tensor

from prior3d.distillation.sparse_views import GivenViews
from prior3d.metrics import psnr_db
from prior3d.optimisation import late_decay, optimise
from prior3d.reconstruction.sparse_fit import FitSettings, SparseFit
from stages.contract.job import Job
from stages.contract.parameters import FitParams

DECAY_FROM, DECAY_TO = 0.6, 0.05  # of the steps, and of the learning rate


SHARED = (
    "resolutions", "n_samples", "rays_per_step", "mask_weight", "entropy_weight", "distortion_weight",
    "sparsity_weight", "smoothness_weight", "ramp",
)  # fmt: skip


def fit_settings(params: FitParams) -> FitSettings:
    """The library's settings of a fit with these parameters."""
    return FitSettings(**{name: getattr(params, name) for name in SHARED})


class Quiet:
    """A monitor that passes on whether to stop or to save, but no progress: for fits on the side."""

    def __init__(self, job: Job) -> None:
        """Of this job."""
        self.job = job

    @property
    def stopping(self) -> bool:
        """Whether the job was asked to stop."""
        return self.job.stopping

    def checkpoint_due(self) -> bool:
        """Whether the job wants a checkpoint."""
        return self.job.checkpoint_due()

    def progress(self, step: int, total: int, *, loss: float | None = None) -> None:
        """Say nothing."""


def carry_out(job: Job, fit: SparseFit, params: FitParams, steps: int, checkpoint: str) -> bool:
    """Fit to the inputs alone, going on at the checkpoint; False when stopped."""
    return optimise(
        lambda step: fit.losses(step / steps),
        modules=fit.modules,
        optimiser=fit.optimiser(params.learning_rate),
        n_steps=steps,
        seeds=fit.seeds,
        checkpoint=job.work / checkpoint,
        monitor=Quiet(job),
        learning_rate_factor=lambda progress: late_decay(progress, DECAY_FROM, DECAY_TO),
    )


def score_db(colours: Tensor, masks: Tensor | None, truth: GivenViews) -> float:
    """PSNR in dB of one picture [1, 3, size, size] against a view; with masks over white and over black."""
    levels = (0.0,) if masks is None else (0.0, 1.0)
    made = [colours if masks is None else colours + (1 - masks[:, None]) * level for level in levels]
    wanted = [truth.over(level) for level in levels]
    return sum(psnr_db(a.clamp(0, 1).cpu().numpy(), b.cpu().numpy()) for a, b in zip(made, wanted, strict=True)) / len(
        levels
    )
