"""The body of describing."""

from fake_stages.describing import Params
from stages.contract.job import Job


def run(job: Job, params: Params) -> None:
    files = [job.inputs["photograph"], *sorted(job.inputs["views"].rglob("*.png") if "views" in job.inputs else [])]
    (job.out / "text.txt").write_text("".join(f"{f.name} {f.stat().st_size}\n" for f in files))
    job.metric("files", len(files))
