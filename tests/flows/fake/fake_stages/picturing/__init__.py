"""Makes a box that can be looked at: a GLB, a preview, images all round."""

from pydantic import Field

from fake_stages.common import TextArtifact
from stages.contract.parameters import StageParams


class Params(StageParams):
    red: int = Field(200, ge=0, le=255, description="how red")


INPUTS = {"text": TextArtifact}
OUTPUT = None
