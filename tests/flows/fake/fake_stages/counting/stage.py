"""The body of counting."""

import json
import random
import sys
import time

from fake_stages.counting import Params, fail
from prior3d.files import write_whole
from stages.contract.job import Job, Stopped


def run(job: Job, params: Params) -> None:
    state_file = job.work / "state.json"
    state = json.loads(state_file.read_text()) if state_file.is_file() else {"step": 0, "drawn": []}
    if state["step"]:
        sys.stdout.write(f"resumed at {state['step']}\n")
    for step in range(state["step"], params.steps):
        state = {"step": step + 1, "drawn": [*state["drawn"], random.Random(params.seed * 100_003 + step).random()]}
        time.sleep(params.pause_s)
        job.progress(step + 1, params.steps, loss=1 / (step + 1))
        job.note_elapsed()  # before the state: a step that is taken again leaves the curve as it is
        write_whole(state_file, json.dumps(state))
        if job.stopping:
            raise Stopped
        if step >= 1:
            fail(job, params.fail)
    if params.fail != "nothing":
        (job.out / "text.txt").write_text(f"{job.prompt} {sum(state['drawn']):.12f}\n")
    job.metric("drawn", len(state["drawn"]), higher_is_better=True)
