"""The training of a student, and the finished runs that it may learn from."""

import json

import numpy as np
import pytest
import torch
import yaml

from prior3d.errors import Prior3dError
from prior3d.feedforward.files import NETWORK, load_generator
from prior3d.meshes.mesh import TexturedMesh
from stages.artifacts.datasets import RenderedDataset
from stages.artifacts.meshes import save_textured_mesh
from stages.contract.job import Stopped
from stages.training.gather_runs import Params as GatherParams
from stages.training.gather_runs import stage as gather
from stages.training.student import FOLDER, Params, stage
from tests.tiny_joint_views import write_tiny_joint_views
from tests.toy_training import training_job

SMALL = {"batch": 2, "rays": 64, "n_samples": 8, "width": 24, "layers": 1, "nodes": 16, "threads": 1}
INPUTS = {"joint_views": "data/priors/toy-mv"}


@pytest.fixture
def root(tmp_path):
    """A project with a joint-view prior."""
    write_tiny_joint_views(tmp_path / "data/priors/toy-mv")
    return tmp_path


def weights(root, folder="distilled"):
    return load_generator(root / FOLDER / folder).state_dict()


def train(root, key="key", inputs=INPUTS, **changed):
    stage.run(training_job(root, "training.student", key, **inputs), Params(**SMALL | changed))


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in other)


def test_a_training_that_was_stopped_ends_in_the_same_bits(root, monkeypatch):
    train(root, steps=3)
    whole = weights(root)
    monkeypatch.setattr("stages.contract.job.Job.checkpoint_due", lambda self: True)
    job = training_job(root, "training.student", "stopped", **INPUTS)
    job.stopping = True
    params = Params(**SMALL, steps=3, folder="stopped")
    with pytest.raises(Stopped):
        stage.run(job, params)
    job.stopping = False
    stage.run(job, params)
    assert same(weights(root, "stopped"), whole)
    facts = json.loads((root / FOLDER / "stopped" / "training.json").read_text())
    assert (facts["samples"], facts["unit"], facts["samples_before"]) == (6, "captions", 0)


def test_a_second_sitting_begins_with_the_first_ones_weights(root):
    train(root, steps=2)
    first = weights(root)
    train(root, "again", steps=1, warm_start=True, learning_rate=1e-12)
    assert same(weights(root), first)
    assert json.loads((root / FOLDER / "distilled/training.json").read_text())["samples_before"] == 4


def test_a_student_of_views_never_asks_the_prior(root, monkeypatch):
    write_finished(root, ["a red ball", "a blue ball", "a green ball"])
    gather.run(training_job(root, "training.gather_runs"), GatherParams(views=4, size=16))
    with_views = INPUTS | {"views": "data/finished"}
    monkeypatch.setattr(stage, "clean_views", lambda *asked: pytest.fail("the prior was asked"))
    with pytest.raises(Prior3dError, match="16 pixels a side; render them with"):
        train(root, inputs=with_views, steps=1, views_share=1.0)
    gather.run(training_job(root, "training.gather_runs"), GatherParams(views=4, size=32))
    train(root, inputs=with_views, steps=1, views_share=1.0)
    assert (root / FOLDER / "distilled" / NETWORK / "model.safetensors").is_file()


def test_views_that_are_asked_for_and_not_given_are_named(root):
    with pytest.raises(Prior3dError, match=r"views_share is 0\.5, but there are no views; give --views"):
        train(root, steps=1, views_share=0.5)


def test_a_name_that_is_no_folder_is_refused(root):
    with pytest.raises(Prior3dError, match="write its name in letters and numbers"):
        train(root, steps=1, folder="../away")


def write_finished(root, prompts, digest=str, **further):
    """Runs from prompts, each with a textured triangle."""
    for number, prompt in enumerate(prompts):
        folder = root / "data/runs" / f"run-{number}"
        (folder / "texture_baking").mkdir(parents=True)
        corners = np.array([[0, -0.8, -0.8], [0, 0.8, -0.8], [0, 0, 0.8]], np.float32)
        texture = np.full((4, 4, 3), 0.2 * (number + 1), np.float32)
        uvs = np.array([[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]], np.float32)
        save_textured_mesh(folder / "texture_baking", TexturedMesh(corners, np.array([[0, 1, 2]]), uvs, texture))
        asked = {"prompt": {"text": prompt}, "prior": {"name": "toy"}} | further
        (folder / "method.yaml").write_text(yaml.safe_dump({"method": "quick", "inputs": asked}))
        outs = [{"path": "losses", "md5": "alike"}, {"path": "texture_baking", "md5": digest(number)}]
        (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": {"texture_baking": {"outs": outs}}}))


def test_finished_runs_become_views_with_their_prompts_each_mesh_once(tmp_path):
    write_finished(tmp_path, ["a red ball", "a blue ball", "a red ball"], digest=lambda number: str(number % 2))
    gather.run(training_job(tmp_path, "training.gather_runs"), GatherParams(views=4, size=16))
    found = json.loads((tmp_path / "data/finished/found.json").read_text())
    assert found == {
        "0": {"run": "run-0", "prompt": "a red ball"},
        "1": {"run": "run-1", "prompt": "a blue ball"},
    }
    train_split, held_out = (RenderedDataset(tmp_path / "data/finished", split) for split in ("train", "held-out"))
    assert (train_split.captions, held_out.captions) == (["a red ball"], ["a blue ball"])
    assert train_split.rgba.shape == (4, 16, 16, 4) and train_split.views.shape == (4, 2)
    shown = train_split.rgba[train_split.rgba[..., 3] == 255]
    assert len(shown) and np.abs(shown[:, 0] / 255 - 0.2).max() < 0.02


def test_runs_whose_prompt_does_not_say_all_are_left_out(tmp_path):
    write_finished(tmp_path, ["a red ball", "a blue ball"], image={"file": "inputs/image.png"})
    with pytest.raises(Prior3dError, match="0 finished runs from a prompt"):
        gather.run(training_job(tmp_path, "training.gather_runs"), GatherParams())
