"""Counts steps, with checkpoints; can be told to fail.

Its result holds every random number drawn on the way, so a resumed run can be compared with an uninterrupted one.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import Field

from fake_stages.common import TextArtifact
from prior3d.errors import Prior3dError
from stages.entry import Job, StageParams, Stopped
from stages.job import write_whole


class Params(StageParams):
    steps: int = Field(3, ge=1, le=10_000, description="how many steps to count", json_schema_extra={"unit": "steps"})
    pause_s: float = Field(0.0, ge=0, description="pause after each step", json_schema_extra={"unit": "s"})
    fail: Literal["", "crash", "crash once", "user", "disk", "killed", "nothing"] = Field("", description="how to fail")


PRESETS = {"toy": {}, "paper": {"steps": 7}}
INPUTS = {"prompt": TextArtifact, "prior": TextArtifact}
OUTPUT = TextArtifact


def run(job: Job, params: Params) -> None:
    state_file = job.work / "state.json"
    state = json.loads(state_file.read_text()) if state_file.is_file() else {"step": 0, "drawn": []}
    if state["step"]:
        sys.stdout.write(f"resumed at {state['step']}\n")
    for step in range(state["step"], params.steps):
        state = {"step": step + 1, "drawn": [*state["drawn"], random.Random(params.seed * 100_003 + step).random()]}
        time.sleep(params.pause_s)
        write_whole(state_file, json.dumps(state))
        job.progress(step + 1, params.steps, loss=1 / (step + 1))
        if job.stopping:
            raise Stopped
        if step >= 1:
            fail(job, params.fail)
    if params.fail != "nothing":
        (job.out / "text.txt").write_text(f"{job.prompt} {sum(state['drawn']):.12f}\n")
    job.metric("drawn", len(state["drawn"]), higher_is_better=True)


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
