"""What a stage says when a GPU's memory is full, and of warnings, with errors that a stand-in for CUDA raises."""

import json
import warnings

import pytest
import torch
import yaml

import stages.contract.job
from prior3d.diffusion.graphs import UnetCalls
from prior3d.errors import Prior3dWarning
from stages.coarse_nerf import Params
from stages.contract.entry import execute
from stages.contract.telling import out_of_gpu_memory, warnings_as_lines, what_to_lower
from tests.nested import nested
from tests.tiny_prior import write_tiny_prior

SAID = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB of which 512.00 MiB is "
    "free. Process 5 has 6.00 GiB memory in use."
)
ARGV = ["--prompt", "inputs/prompt.txt", "--prior", "inputs/prior.json"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "prompt.txt").write_text("a red ball\n")
    (tmp_path / "inputs" / "prior.json").write_text(json.dumps({"name": "tiny", "digest": "0"}))
    prior = write_tiny_prior(tmp_path / "prior")
    (tmp_path / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": {"tiny": str(prior)}}))
    small = {"steps": 6, "n_samples": 16, "field.grid_resolutions": [5, 9], "views.per_step": 2}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"coarse_nerf": nested(small)}))
    return tmp_path


def test_a_full_gpu_is_one_line_and_the_stage_goes_on_at_its_checkpoint(folder, monkeypatch, capfd):
    call, n_calls = UnetCalls.__call__, []

    def full(self, *values):
        n_calls.append(1)
        if len(n_calls) == 4:
            raise torch.OutOfMemoryError(SAID)
        return call(self, *values)

    monkeypatch.setattr(stages.contract.job, "CHECKPOINT_EVERY_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(UnetCalls, "__call__", full)
        assert execute("stages.coarse_nerf", ARGV, folder) == 2
    said = capfd.readouterr().err
    assert said == (
        "error: stage coarse_nerf: the GPU's memory is used up (Tried to allocate 2.00 GiB); end other programs on "
        "this GPU, take --precision float16 or lower coarse_nerf.views.per_step (now 2); its checkpoint is kept, and "
        "the run goes on there if no parameter of this stage changes\n"
    )
    assert list((folder / ".work" / "coarse_nerf").glob("*/checkpoint.safetensors"))
    steps = []
    monkeypatch.setattr(stages.contract.job.Job, "progress", lambda self, step, total, **others: steps.append(step))
    assert execute("stages.coarse_nerf", ARGV, folder) == 0
    assert min(step for step in steps if step) == 4


def test_other_errors_stay_what_they_are():
    assert out_of_gpu_memory("x", Params(), RuntimeError(SAID)) is None
    assert "no more was given" in str(out_of_gpu_memory("x", Params(), torch.OutOfMemoryError("")))


def test_what_to_lower_names_what_the_stage_has():
    assert what_to_lower("coarse_nerf", Params(precision="float16", views={"per_step": 1}, n_samples=64)) == (
        "end other programs on this GPU or set coarse_nerf.sds.views_at_once=1"
    )


def test_warnings_are_lines_and_those_of_libraries_stay(capsys):
    with pytest.warns(UserWarning, match="a library's") as told, warnings_as_lines():
        for _ in range(2):
            warnings.warn("the U-Net\nruns without", Prior3dWarning, stacklevel=1)
        warnings.warn("a library's", UserWarning, stacklevel=1)
    assert capsys.readouterr().out == "warning: the U-Net runs without\n" * 2 and len(told) == 1
