"""Training the text-to-image model, in one process and in several."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from prior3d import checkpoints
from prior3d.diffusion.text_to_image import load_text_to_image
from stages.training.text_to_image import FOLDER, Params, stage
from stages.training.vae.stage import build
from tests.toy_training import training_job, write_world

TINY = {"batch": 4, "channels": (16, 16, 16), "text_width": 32, "steps": 3}
INPUTS = {"world": "data/world", "vae": "data/priors/toy/vae"}


@pytest.fixture
def project(tmp_path):
    write_world(tmp_path / "data/world", size=64)
    torch.manual_seed(0)
    build((8, 8, 8)).save_pretrained(tmp_path / FOLDER / "vae")
    return tmp_path


def test_it_is_a_whole_pipeline_and_a_warm_start_begins_with_it(project):
    stage.run(training_job(project, "text_to_image", "first", **INPUTS), Params(**TINY, workers=1))
    prior = load_text_to_image(project / FOLDER, torch.device("cpu"))
    assert prior.camera_conditioned and prior.unknown_words("a red ball, front view") == []
    facts = json.loads((project / FOLDER / "training.json").read_text())
    assert (facts["samples"], facts["samples_before"], facts["params"]["device"]) == (12, 0, "cpu")
    again = Params(**TINY | {"steps": 1, "learning_rate": 1e-9}, workers=1, warm_start=True)
    before = (project / FOLDER / "unet/diffusion_pytorch_model.safetensors").read_bytes()
    stage.run(training_job(project, "text_to_image", "second", **INPUTS), again)
    assert (project / FOLDER / "unet/diffusion_pytorch_model.safetensors").read_bytes() == before
    assert json.loads((project / FOLDER / "training.json").read_text())["samples_before"] == 12


@pytest.mark.slow
def test_workers_that_are_asked_to_stop_leave_together_and_go_on(project):
    settings = TINY | {"steps": 100_000, "workers": 2}
    (project / "params.yaml").write_text(json.dumps({"text_to_image": settings}))
    words = ["training.text_to_image", "--world", INPUTS["world"], "--vae", INPUTS["vae"]]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    line = [sys.executable, "-m", "stages", *words]
    with subprocess.Popen(line, cwd=project, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("@@"):
            assert process.poll() is None
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
    (checkpoint,) = project.glob(".work/training/text_to_image/*/checkpoint.safetensors")
    _, state = checkpoints.load(checkpoint)
    assert 0 < state["step"] < 100_000
    job = training_job(project, "text_to_image", checkpoint.parent.name, **INPUTS)
    stage.run(job, Params(**TINY | {"steps": state["step"] + 2}, workers=2))
    assert json.loads((project / FOLDER / "training.json").read_text())["steps"] == state["step"] + 2
