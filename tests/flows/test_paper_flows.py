"""Every method from its inputs to its report with the `paper` preset and the checks it has, on random tiny priors.

The folders have the layouts of Stable Diffusion 1.5, its inpainting model and InstructPix2Pix.
"""

import json

import pytest
import yaml

from flows.methods import METHODS
from stages.artifacts.base import load_metrics
from tests.whole_flows import settings, words, write_inputs

CHECKED = ("coarse_nerf", "rgb_refinement", "image_nerf", "view_distillation")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Priors and inputs."""
    place = tmp_path_factory.mktemp("given")
    write_inputs(place)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "quick"])  # which has no paper: test_quick.py
def test_a_method_runs_to_its_report(fake, given, method):
    line = words(given)[method]
    present = {stage.name for stage in METHODS[method].with_stages(()).stages}
    if method in ("scene", "splats"):  # they have no prior that would choose the preset
        line = [*line, "--preset", "paper"]
    code, out, err = fake.cli("run", method, *line, "--name", method, "--device", "cpu", *settings(present))
    assert code == 0, f"{err}\n{out[-2000:]}"
    folder = fake.folder(method)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    assert json.loads((folder / "history" / "0001.json").read_text())["preset"] == "paper"
    for stage in set(CHECKED) & set(params):
        assert not params[stage]["check"]["accept"]
        assert 0.005 < load_metrics(folder / stage)["coverage"]["value"] < 0.75
    assert (folder / "evaluation" / "report.html").is_file()
