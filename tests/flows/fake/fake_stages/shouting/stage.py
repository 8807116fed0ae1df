"""The body of shouting."""

from fake_stages.shouting import Params
from stages.contract.job import Job


def run(job: Job, params: Params) -> None:
    text = (job.inputs["text"] / "text.txt").read_text().strip()
    (job.out / "text.txt").write_text(text.upper() + "!" * params.exclamation_marks + "\n")
