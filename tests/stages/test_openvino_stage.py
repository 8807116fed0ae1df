"""A stage whose U-Net OpenVINO runs: the same field as by torch but for rounding, and the same bits twice."""

import importlib.util
import json

import pytest
import yaml
from safetensors.torch import load_file

from stages.contract.entry import execute
from tests.nested import nested
from tests.tiny_prior import write_tiny_prior

ARGV = ["--prompt", "inputs/prompt.txt", "--prior", "inputs/prior.json"]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed here"
)


def made(place, engine):
    """The tensors of a field of a few steps."""
    (place / "inputs").mkdir(parents=True)
    (place / "inputs" / "prompt.txt").write_text("a red ball\n")
    (place / "inputs" / "prior.json").write_text(json.dumps({"name": "tiny", "digest": "0"}))
    prior = write_tiny_prior(place / "prior")
    (place / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": {"tiny": str(prior)}}))
    small = {"steps": 6, "n_samples": 16, "field.grid_resolutions": [5, 9], "views.per_step": 2, "engine": engine}
    (place / "params.yaml").write_text(yaml.safe_dump({"coarse_nerf": nested(small)}))
    assert execute("stages.coarse_nerf", ARGV, place) == 0
    return load_file(next((place / "coarse_nerf").glob("*.safetensors")))


def test_the_field_is_that_of_torch_but_for_rounding(tmp_path):
    by_torch, first, second = (made(tmp_path / name, name.rstrip("2")) for name in ("torch", "openvino", "openvino2"))
    assert all(tensor.equal(second[name]) for name, tensor in first.items())
    differing = [name for name, tensor in first.items() if not tensor.equal(by_torch[name])]
    assert differing, "the engine made no difference: was it asked?"
    for name in differing:
        assert (first[name] - by_torch[name]).abs().max() < 1e-3, name
