"""Counts steps, with checkpoints; can be told to fail.

Its result holds every random number drawn on the way, so a resumed run can be compared with an uninterrupted one.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from fake_stages.common import TextArtifact
from prior3d.errors import Prior3dError
from stages.contract.job import Job
from stages.contract.parameters import StageParams


class Params(StageParams):
    steps: int = Field(3, ge=1, le=10_000, description="how many steps to count", json_schema_extra={"unit": "steps"})
    pause_s: float = Field(0.0, ge=0, description="pause after each step", json_schema_extra={"unit": "s"})
    fail: Literal["", "crash", "crash once", "user", "disk", "killed", "nothing"] = Field("", description="how to fail")


PRESETS = {"toy": {}, "paper": {"steps": 7}}
INPUTS = {"prompt": TextArtifact, "prior": TextArtifact}
OUTPUT = TextArtifact


def fail(job: Job, how: str) -> None:
    tried = job.work / "tried"
    first_time = not tried.exists()
    tried.touch()
    if how == "crash" or (how == "crash once" and first_time):
        raise ValueError("something unforeseen")
    if how == "user":
        raise Prior3dError("the count came to nothing; raise counting.steps")
    if how == "disk":
        with Path("/dev/full").open("w") as stream:
            stream.write("x")
    if how == "killed":
        os.kill(os.getpid(), 9)
