"""Writes the counted text in capitals."""

from pydantic import Field

from fake_stages.common import TextArtifact
from stages.entry import Job, StageParams


class Params(StageParams):
    exclamation_marks: int = Field(1, ge=0, le=9, description="how loud")


INPUTS = {"text": TextArtifact}
OUTPUT = TextArtifact


def run(job: Job, params: Params) -> None:
    text = (job.inputs["text"] / "text.txt").read_text().strip()
    (job.out / "text.txt").write_text(text.upper() + "!" * params.exclamation_marks + "\n")
