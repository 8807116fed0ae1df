"""One tiny flow a method with `--device auto` on a CUDA device, to its report: `pytest -m gpu`."""

import json

import pytest
import torch

from flows.methods import METHODS
from tests.whole_flows import settings_of, words, write_inputs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Priors and inputs."""
    place = tmp_path_factory.mktemp("given")
    write_inputs(place)
    return place


@pytest.mark.parametrize("method", [name for name in METHODS if name != "quick"])
def test_a_method_runs_to_its_report(fake, given, method):
    line = words(given)[method]
    if method in ("scene", "splats"):  # they have no prior that would choose the preset
        line = [*line, "--preset", "paper"]
    code, out, err = fake.cli("run", method, *line, "--name", method, "--device", "auto", *settings_of(method))
    assert code == 0, f"{err}\n{out[-2000:]}"
    folder = fake.folder(method)
    assert (folder / "evaluation" / "report.html").is_file()
    costs = [json.loads(file.read_text()) for file in folder.glob("*.cost.json")]
    assert any(cost.get("peak_gpu_memory_mb", 0) > 0 for cost in costs), "no stage was on the GPU"
