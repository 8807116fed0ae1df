"""Joins what was counted and what was shouted."""

from fake_stages.common import TextArtifact
from stages.contract.parameters import StageParams

Params = StageParams
INPUTS = {"left": TextArtifact, "right": TextArtifact}
OUTPUT = TextArtifact
