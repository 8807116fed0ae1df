"""Writes the counted text in capitals."""

from pydantic import Field

from fake_stages.common import TextArtifact
from stages.contract.parameters import StageParams


class Params(StageParams):
    exclamation_marks: int = Field(1, ge=0, le=9, description="how loud")


INPUTS = {"text": TextArtifact}
OUTPUT = TextArtifact
