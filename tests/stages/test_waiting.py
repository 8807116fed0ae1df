"""How often a step would make a GPU stop: counted on the CPU, through whole tiny stages."""

import threading
from collections import Counter
from statistics import median

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from prior3d import optimisation
from stages.contract import preview
from stages.contract.entry import execute
from stages.contract.job import Job
from stages.contract.preview import write_row
from tests.stages import test_distilling_stages as distilling
from tests.stages import test_scene_stages as scenes
from tests.tiny_prior import write_tiny_prior

READS = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
}


class Reads(TorchDispatchMode):
    """Counts what needs values or their number on the CPU; generators and cameras, which are there, count too."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in READS:
            self.found[func.overloadpacket.__name__] += 1
        if func is torch.ops.aten.index.Tensor and any(i is not None and i.dtype == torch.bool for i in args[1]):
            self.found["mask"] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def steps(monkeypatch):
    """Reads of every step, with the loop as it is on a GPU."""
    counted, take, init = [], optimisation._take_step, optimisation._Unread.__init__

    def as_on_gpu(self, *values):
        init(self, *values)
        self.each_step = False

    def counting(*values):
        with Reads() as reads:
            take(*values)
        counted.append(reads.found)

    step = torch.optim.Adam.step

    def unseen(self, *values):  # it reads its own counts of steps, which lie on the CPU
        with _disable_current_modes():
            return step(self, *values)

    monkeypatch.setattr(torch.optim.Adam, "step", unseen)
    monkeypatch.setattr(optimisation._Unread, "__init__", as_on_gpu)
    monkeypatch.setattr(optimisation, "SECONDS_BETWEEN_LOOKS", 1e9)
    monkeypatch.setattr(optimisation, "_take_step", counting)
    return counted


def typical(steps):
    """Reads of the median step."""
    return median(sum(found.values()) for found in steps)


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", camera=True, prediction_type="v_prediction")


@pytest.mark.parametrize("mode", ["consistency", "sds"])
def test_latent_nerf(tmp_path, prior, steps, mode):
    refined = {"mode": mode, "sds.image_size": 16, "steps": 40, "check.accept": True}
    run = distilling.make_run(tmp_path / "run", prior, coarse={"steps": 40}, refined=refined)
    assert execute("stages.coarse_nerf", distilling.COARSE_INPUTS, run) == 0
    assert len(steps) == 40 and typical(steps) == 0
    loud = [number for number, found in enumerate(steps) if sum(found.values())]
    assert loud == [0, 10, 20, 30, 39], "looks at losses and at the object"
    steps.clear()
    assert execute("stages.rgb_refinement", distilling.REFINED_INPUTS, run) == 0
    assert len(steps) == 40 and typical(steps) == 0


def test_scenes_skip_empty_bins_and_so_count_them(tmp_path, steps):
    run = scenes.make_run(tmp_path / "run", write_tiny_prior(tmp_path / "p", in_channels=8))
    assert execute("stages.scene_fit", scenes.FIT, run) == 0
    assert typical(steps) == 5 and sum(steps, Counter()).keys() <= {"nonzero", "_local_scalar_dense", "mask"}
    steps.clear()
    assert execute("stages.dataset_update", scenes.EDIT, run) == 0
    assert typical(steps) <= 6


class OnGpu:
    """Images as they lie on a GPU."""

    device = torch.device("cuda")

    def __init__(self, images):
        self.images = images


def test_previews_are_written_beside_the_steps(tmp_path, monkeypatch, capsys):
    job = Job("coarse_nerf", tmp_path, {}, tmp_path / "work")
    job.work.mkdir()
    began, end = threading.Event(), threading.Event()

    def slowly(path, images):
        began.set()
        assert end.wait(10)
        return write_row(path, images.images)

    monkeypatch.setattr(preview, "PREVIEW_EVERY_S", 0.0)
    monkeypatch.setattr(preview, "write_row", slowly)
    shown = preview.Preview(job, lambda: OnGpu(torch.rand(2, 3, 8, 8)))
    shown.perhaps(1, 9)
    assert began.wait(10) and not (job.work / "preview.png").exists()
    shown.perhaps(2, 9)  # the first one is still being written: nothing waits, no second one begins
    end.set()
    shown.writing.result(10)
    shown.perhaps(3, 9)
    assert '{"step": 3, "total": 9, "preview": "work/preview.png"}' in capsys.readouterr().out
    assert (job.work / "preview.png").read_bytes().startswith(b"\x89PNG")
