"""`--precision`: settled before the run, recorded for every stage that loads a prior, and for no other."""

import subprocess
from typing import get_args

import pytest

from flows import request
from flows.engine.project import Project
from flows.method_options import PRECISIONS
from flows.methods import METHODS
from flows.request import make_request
from prior3d.errors import Prior3dError
from prior3d.settings import Precision
from stages.artifacts import PRIOR
from stages.contract.parameters import PriorParams

METHOD = METHODS["latent-nerf"]
TRAINED_THROUGH = {"textual_inversion"}  # gradients pass through the whole U-Net and the text encoder: float32
LOADING = ("coarse_nerf", "rgb_refinement")


@pytest.fixture
def project(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return Project(tmp_path)


def asked(project, *words):
    """Stage -> precision, as the run would record it."""
    made = make_request(project, METHOD, ["--prompt", "a red ball", *words])
    return {name: values["precision"] for name, values in made.declaration.params.items() if "precision" in values}


@pytest.mark.parametrize(
    ("gpus", "words", "wanted"),
    [
        ([], (), "float32"),
        ([0], (), "float16"),
        ([0], ("--device", "cpu"), "float32"),
        ([0], ("--precision", "float32"), "float32"),
        ([], ("--precision", "bfloat16"), "bfloat16"),
    ],
)
def test_auto_follows_the_device_and_a_person_has_the_last_word(project, monkeypatch, gpus, words, wanted):
    monkeypatch.setattr(request, "gpu_numbers", lambda: gpus)
    assert asked(project, *words) == dict.fromkeys(LOADING, wanted)


def test_one_stage_can_have_another(project):
    found = asked(project, "--precision", "bfloat16", "--set", "rgb_refinement.precision=float32")
    assert found == {"coarse_nerf": "bfloat16", "rgb_refinement": "float32"}
    with pytest.raises(Prior3dError, match="coarse_nerf.precision: .*'float32', 'bfloat16' or 'float16'.*'half'"):
        asked(project, "--set", "coarse_nerf.precision=half")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_stage_that_loads_a_prior_can_be_told(method):
    for stage in method.with_stages(set(method.optional_stages())).stages:
        module = stage.load()
        loads = module.INPUTS.get("prior") is PRIOR and stage.name not in TRAINED_THROUGH
        assert issubclass(module.Params, PriorParams) == loads, stage.name


def test_the_command_line_offers_every_precision():
    """It has a list of its own, because `prior3d.settings` imports pydantic, which help does not need."""
    assert get_args(Precision) == PRECISIONS
