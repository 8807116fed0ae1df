"""Checkpoints that a stage's own body writes, beside those of the loop that takes its steps."""

from pathlib import Path
from typing import Any

from torch import Tensor

from prior3d import checkpoints
from stages.contract.job import Job


def save_checkpoint(job: Job, path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Save a checkpoint, and before it what the job has counted: losses must not be older than what goes on.

    Args:
        job: whose working time and losses are kept.
        path: of the safetensors file, in the job's work folder.
        tensors: by name, of any type and device.
        state: the rest, as JSON.

    Raises:
        Prior3dError: the file cannot be written. The previous checkpoint is untouched.
    """
    job.note_elapsed()
    checkpoints.save(path, tensors, state)
