"""Joins what was counted and what was shouted."""

from fake_stages.common import TextArtifact
from stages.entry import Job, StageParams

Params = StageParams
INPUTS = {"left": TextArtifact, "right": TextArtifact}
OUTPUT = TextArtifact


def run(job: Job, params: StageParams) -> None:
    from fake_stages.common import decorate  # inside: its code counts as this stage's all the same

    texts = [(job.inputs[k] / "text.txt").read_text().strip() for k in INPUTS]
    (job.out / "text.txt").write_text("\n".join(decorate(t) for t in texts) + "\n")
