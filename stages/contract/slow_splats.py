"""What a stage says where splats are drawn the slow way."""

from prior3d.splats import kernels
from stages.contract.job import Job

SLOW = "numba is not installed, so torch draws the splats, ten times as slow; pip install 'prior3d[splats]'"


def tell_if_slow(job: Job) -> None:
    """Print a line where a CPU draws without numba."""
    if job.device.type == "cpu" and not kernels.available():
        print(f"{job.name}: {SLOW}", flush=True)  # noqa: T201
