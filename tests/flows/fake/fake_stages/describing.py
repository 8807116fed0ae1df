"""Says how many bytes a picture and a folder of pictures have."""

from fake_stages.common import Anything
from stages.entry import Job, StageParams


class Params(StageParams):
    pass


INPUTS = {"photograph": Anything, "views": Anything}
OPTIONAL_INPUTS = frozenset({"views"})
OUTPUT = None


def run(job: Job, params: Params) -> None:
    files = [job.inputs["photograph"], *sorted(job.inputs["views"].rglob("*.png") if "views" in job.inputs else [])]
    (job.out / "text.txt").write_text("".join(f"{f.name} {f.stat().st_size}\n" for f in files))
    job.metric("files", len(files))
