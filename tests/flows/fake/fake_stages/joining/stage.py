"""The body of joining."""

from fake_stages.joining import INPUTS
from stages.contract.job import Job
from stages.contract.parameters import StageParams


def run(job: Job, params: StageParams) -> None:
    from fake_stages.common import decorate  # inside: its code counts as this stage's all the same

    texts = [(job.inputs[k] / "text.txt").read_text().strip() for k in INPUTS]
    (job.out / "text.txt").write_text("\n".join(decorate(t) for t in texts) + "\n")
