"""One tiny flow a method with `--device auto` on a CUDA device, to its report: `pytest -m gpu`."""

import json

import pytest
import torch

from flows.methods import METHODS
from tests.flows.test_paper_flows import SMALL, given, inputs  # noqa: F401

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]


@pytest.mark.parametrize("method", [name for name in METHODS if name != "quick"])
def test_a_method_runs_to_its_report(fake, given, method):  # noqa: F811
    words = inputs(given)[method]
    present = {stage.name for stage in METHODS[method].with_stages(()).stages}
    chosen = {f"{s}.{key}": value for s, values in SMALL.items() if s in present for key, value in values.items()}
    sets = [word for key, value in chosen.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    if method == "scene":  # it has no prior that would choose the preset
        words = [*words, "--preset", "paper"]
    code, out, err = fake.cli("run", method, *words, "--name", method, "--device", "auto", *sets)
    assert code == 0, f"{err}\n{out[-2000:]}"
    folder = fake.folder(method)
    assert (folder / "evaluation" / "report.html").is_file()
    costs = [json.loads(file.read_text()) for file in folder.glob("*.cost.json")]
    assert any(cost.get("peak_gpu_memory_mb", 0) > 0 for cost in costs), "no stage was on the GPU"
