"""Break a stage off in the middle, for tests that go on with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch

import stages.contract.job

REPOSITORY = Path(__file__).resolve().parents[1]
KILLED_AT = """
import os, signal, stages.contract.job as j, stages.contract.entry as e
j.CHECKPOINT_EVERY_S = 0.0
j.Job.progress = lambda s, step, total, **o: step == {step} and os.kill(os.getpid(), signal.SIGKILL)
e.execute({stage!r}, {words!r}, __import__("pathlib").Path.cwd())
"""


def kill_at(stage, words, folder, step):
    """Run a stage in a process of its own, which `kill -9` ends right after a step; its checkpoint is there."""
    script = KILLED_AT.format(stage=stage, words=words, step=step)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    found = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, check=False)
    assert found.returncode == -signal.SIGKILL
    assert list((folder / ".work" / stage.rpartition(".")[2]).glob("*/checkpoint.safetensors"))


def stop_at(monkeypatch, step_to_stop):
    """Break the next execution off right after a step, as an exception does; checkpoints are due at every step."""
    report = stages.contract.job.Job.progress

    def progress(self, step, total, **others):
        if step == step_to_stop:
            raise RuntimeError("broken off")
        report(self, step, total, **others)

    monkeypatch.setattr(stages.contract.job, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(stages.contract.job.Job, "progress", progress)
