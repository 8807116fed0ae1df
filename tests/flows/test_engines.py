"""`--engine`: what runs frozen U-Nets is settled before the run, recorded, and refused where it cannot be."""

import inspect
import subprocess
from typing import get_args

import pytest

from flows.engine import cpu_engines
from flows.engine.project import Project
from flows.flow_parameters import parameters_of
from flows.method_options import ENGINES
from flows.methods import METHODS, find_method
from flows.request import make_request
from prior3d.diffusion import graphs
from prior3d.errors import Prior3dError
from prior3d.settings import Engine
from stages.contract.parameters import EngineParams

LOADING = ("coarse_nerf", "rgb_refinement")


@pytest.fixture
def project(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return Project(tmp_path)


@pytest.fixture
def knows(monkeypatch):
    """Say which precisions this processor has instructions for, with or without OpenVINO."""

    def said(*precisions):
        monkeypatch.setattr(graphs, "openvino_precisions", lambda: precisions)

    said("float32")
    return said


def declared(project, *words, method="latent-nerf"):
    return make_request(project, find_method(method), ["--prompt", "a red ball", *words]).declaration


def asked(project, parameter, *words):
    """Stage -> value, as the run would record it."""
    return {name: values[parameter] for name, values in declared(project, *words).params.items() if parameter in values}


def test_torch_is_the_default_and_openvino_is_recorded(project, knows):
    assert asked(project, "engine") == dict.fromkeys(LOADING, "torch")
    assert asked(project, "engine", "--engine", "openvino") == dict.fromkeys(LOADING, "openvino")
    one = asked(project, "engine", "--set", "rgb_refinement.engine=openvino")
    assert one == {"coarse_nerf": "torch", "rgb_refinement": "openvino"}
    values = parameters_of(declared(project, "--engine=openvino"), "ball", "cpu")
    assert values["engine"] == "openvino" and values["set"] == {}


@pytest.mark.parametrize(
    ("known", "words", "wanted"),
    [
        (("float32",), (), "float32"),
        (("float32", "bfloat16", "float16"), (), "bfloat16"),
        (("float32", "bfloat16"), ("--precision", "float32"), "float32"),
        (("float32", "float16"), (), "float32"),
    ],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(project, knows, known, words, wanted):
    knows(*known)
    assert asked(project, "precision", "--engine", "openvino", *words) == dict.fromkeys(LOADING, wanted)
    assert asked(project, "precision", *words) == dict.fromkeys(LOADING, "float32"), "torch as ever"


def test_a_precision_without_instructions_is_refused(project, knows):
    said = (
        "^coarse_nerf.precision: this processor has no instructions for bfloat16, which openvino would need; take "
        "--precision float32$"
    )
    with pytest.raises(Prior3dError, match=said):
        declared(project, "--engine", "openvino", "--precision", "bfloat16")


def test_only_on_the_cpu(project, knows, monkeypatch):
    monkeypatch.setattr(cpu_engines, "gpu_numbers", lambda: [0])
    said = (
        "^rgb_refinement.engine: openvino runs U-Nets on the CPU, and --device auto is a GPU here; take --device cpu, "
        "or --engine torch$"
    )
    with pytest.raises(Prior3dError, match=said):
        declared(project, "--set", "rgb_refinement.engine=openvino")
    words = ("--engine", "openvino", "--device", "cpu")
    assert asked(project, "engine", *words) == dict.fromkeys(LOADING, "openvino")


def test_where_it_is_not_installed_nothing_begins(project, monkeypatch):
    def absent():
        raise Prior3dError("engine openvino: OpenVINO is not installed; type: pip install 'prior3d[openvino]'")

    monkeypatch.setattr(graphs, "load_openvino", absent)
    for words in (("--engine", "openvino"), ("--set", "coarse_nerf.engine=openvino")):
        with pytest.raises(Prior3dError, match="^engine openvino: OpenVINO is not installed; type: pip install "):
            declared(project, *words)
    assert not (project.root / "data").exists()


def test_vsd_trains_a_lora_in_the_unet(project, knows):
    said = "^coarse_nerf: engine openvino gives no gradient of the U-Net, in which loss vsd trains a LoRA; set engine="
    with pytest.raises(Prior3dError, match=said):
        declared(project, "--engine", "openvino", "--set", "coarse_nerf.sds.loss.kind=vsd")
    words = ("--set", "coarse_nerf.engine=torch", "--set", "coarse_nerf.sds.loss.kind=vsd")
    assert asked(project, "engine", "--set", "rgb_refinement.engine=openvino", *words)["coarse_nerf"] == "torch"
    assert asked(project, "engine", "--engine=openvino", "--set", "coarse_nerf.sds.loss.kind=csd")


def test_a_method_without_the_choice_says_so(project, knows):
    with pytest.raises(Prior3dError, match="^--engine openvino: quick has no stage that takes it; leave it out$"):
        declared(project, "--engine", "openvino", method="quick")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_stage_that_has_the_choice_takes_it(method):
    for stage in method.with_stages(set(method.optional_stages())).stages:
        module = stage.load()
        body = inspect.getsource(__import__(f"{stage.module}.stage", fromlist=["run"]))
        assert issubclass(module.Params, EngineParams) == ("params.engine" in body), stage.name


def test_the_command_line_offers_every_engine():
    assert get_args(Engine) == ENGINES
