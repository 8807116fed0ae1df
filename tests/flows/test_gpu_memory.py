"""GPU memory: what the driver's library tells, places by free memory, what is said before a run."""

import ctypes
import multiprocessing
import os
import subprocess
import time
from dataclasses import replace

import pytest
import torch

from flows import request
from flows.engine import gpu_check, gpus
from flows.engine.gpu_check import about_gpus, unusable
from flows.engine.gpu_estimate import GIB, PriorSizes, needed_bytes, numbers_in, prior_sizes
from flows.engine.gpus import gpu_numbers, gpu_slot
from flows.engine.nvml import Gpu, Machine, read_machine, why_not_usable
from flows.engine.project import Project
from flows.methods import METHODS
from flows.request import make_request
from prior3d.errors import Prior3dError
from tests.tiny_prior import write_tiny_prior

CARD = Gpu(0, "RTX 4060", 7 * GIB, 8 * GIB, (8, 9))
ONE = Machine((CARD,), "550.54", (12, 4))
SD15 = PriorSizes(1_066_235_307, 64, 512, 320, 128)


class FakeNvml:
    """libnvidia-ml with two GPUs, by the functions that are called."""

    def __init__(self, start=0):
        self.start, self.closed = start, False

    def nvmlInit_v2(self):
        return self.start

    def nvmlShutdown(self):
        self.closed = True

    def nvmlDeviceGetCount_v2(self, count):
        count._obj.value = 2
        return 0

    def nvmlSystemGetCudaDriverVersion_v2(self, version):
        version._obj.value = 12040
        return 0

    def nvmlSystemGetDriverVersion(self, text, size):
        text.value = b"550.54"
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number, handle):
        handle._obj.value = number.value + 1
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle, memory):
        if handle.value == 2:
            return 15  # lost
        memory._obj.total, memory._obj.free, memory._obj.used = 8 * GIB, 7 * GIB, GIB
        return 0

    def nvmlDeviceGetName(self, handle, name, size):
        name.value = b"RTX 4060"
        return 0

    def nvmlDeviceGetCudaComputeCapability(self, handle, major, minor):
        major._obj.value, minor._obj.value = 8, 9
        return 0


def test_the_drivers_library_is_asked():
    library = FakeNvml()
    assert read_machine(lambda name: library) == ONE and library.closed
    assert read_machine(lambda name: FakeNvml(start=9)) is None

    def missing(name):
        raise OSError(name)

    assert read_machine(missing) is None
    assert ctypes.sizeof(ctypes.c_ulonglong) == 8


def test_a_container_counts_from_zero(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "nvidia3").touch()
    (tmp_path / "nvidiactl").touch()
    assert gpu_numbers(tmp_path) == [0]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(gpus, "POLL_S", 0.01)

    def slot(needed, free=7 * GIB, waits=lambda text: None):
        machine = replace(ONE, gpus=(replace(CARD, free=free),))
        return gpu_slot("auto", True, tmp_path, needed, waits, lambda: machine)

    slot.folder = tmp_path
    return slot


class Waited(Exception):
    pass


def refuse(text):
    raise Waited(text)


def test_stages_share_a_gpu_as_long_as_they_fit(place):
    with place(2 * GIB), place(2 * GIB), place(2 * GIB):
        with (
            pytest.raises(Waited, match=r"^waits for a GPU with 2.0 GiB of free memory$"),
            place(2 * GIB, waits=refuse),
        ):
            pass
        with place(GIB // 2):
            pass
    assert not list(place.folder.glob("*gpu0-*"))
    with place(7 * GIB, waits=refuse):
        pass


def test_memory_that_others_took_counts_once_it_is_taken(place, monkeypatch):
    with place(3 * GIB):
        with pytest.raises(Waited), place(2 * GIB, free=4 * GIB, waits=refuse):  # 3 of the 4 will go
            pass
        monkeypatch.setattr(gpus, "SETTLED_S", 0.0)
        with place(2 * GIB, free=4 * GIB, waits=refuse):  # they went: what is free now is free
            pass
        with pytest.raises(Waited), place(2 * GIB, free=GIB, waits=refuse):
            pass


def test_an_unknown_need_has_a_gpu_for_itself_and_no_more_than_eight_share(place):
    with place(0), pytest.raises(Waited), place(1, waits=refuse):
        pass
    with place(1), pytest.raises(Waited, match="^waits for a GPU$"), place(0, waits=refuse):
        pass
    names = [place(1) for _ in range(8)]
    for one in names:
        one.__enter__()
    with pytest.raises(Waited), place(1, waits=refuse):
        pass
    for one in reversed(names):
        one.__exit__(None, None, None)


def hold(folder, ready):
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    with gpu_slot("auto", True, folder, 6 * GIB, machine=lambda: ONE):
        ready.set()
        time.sleep(60)


def test_a_place_is_freed_when_its_holder_is_killed(place):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(place.folder, ready))
    process.start()
    assert ready.wait(120)
    with pytest.raises(Waited), place(6 * GIB, waits=refuse):
        pass
    process.kill()
    process.join()
    with place(6 * GIB, waits=refuse) as environment:
        assert environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert not list(place.folder.glob("*gpu0-*"))


def test_the_emptiest_gpu_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    machine = replace(ONE, gpus=(replace(CARD, free=2 * GIB), replace(CARD, number=1, free=6 * GIB)))
    with gpu_slot("auto", True, tmp_path, GIB, machine=lambda: machine) as found:
        assert found["CUDA_VISIBLE_DEVICES"] == "1"


def test_sizes_come_from_headers(tmp_path):
    folder = write_tiny_prior(tmp_path / "p")
    sizes = prior_sizes(folder)
    assert (sizes.latent_size, sizes.image_size, sizes.unet_width, sizes.vae_width) == (8, 32, 16, 8)
    files = [folder / "unet" / "diffusion_pytorch_model.safetensors"]
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    assert sum(map(numbers_in, files)) == sum(p.numel() for p in unet.parameters()) < sizes.parameters
    assert prior_sizes(tmp_path) is None


def test_what_a_stage_needs_follows_its_parameters():
    coarse = {"precision": "float16", "n_samples": 512, "views": {"per_step": 1}}
    coarse["field"] = {"encoding": "tiled", "occupied_samples": 64}
    small = needed_bytes("coarse_nerf", coarse, SD15)
    assert 3 * GIB < small < 4.5 * GIB, "of which the networks take 2.0, CUDA 0.6"
    whole = needed_bytes("coarse_nerf", coarse | {"precision": "float32"}, SD15)
    assert SD15.parameters * 2 < whole - small < SD15.parameters * 2.5
    rgb = {"precision": "float16", "n_samples": 512, "finer_resolutions": [], "mode": "sds", "views": {"per_step": 4}}
    sds = [{"views_at_once": n, "image_size": 128} for n in (0, 1)]
    at_once, one = (needed_bytes("rgb_refinement", rgb | {"sds": values}, SD15) for values in sds)
    assert at_once - one > 4 * GIB
    assert needed_bytes("mesh_extraction", {}, SD15) == 0 == needed_bytes("coarse_nerf", coarse, None)


def test_too_little_memory_is_said_with_what_to_change(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    params = {"coarse_nerf": {"precision": "float32", "views": {"per_step": 4}, "sds": {"views_at_once": 0}}}
    with pytest.raises(Prior3dError, match=(
        r"^stage coarse_nerf will need about 12.0 GiB of GPU memory, the RTX 4060 has 8.0; take --precision float16, "
        r"set coarse_nerf.sds.views_at_once=1, lower coarse_nerf.views.per_step; or take --device cpu$"
    )):  # fmt: skip
        about_gpus("auto", ONE, {"coarse_nerf": 12 * GIB}, params)
    told = about_gpus("cuda", ONE, {"coarse_nerf": 15 * GIB // 2}, params)
    assert len(told) == 1 and told[0].startswith(
        "stage coarse_nerf will need about 7.5 GiB of GPU memory, 7.0 are free now on the RTX 4060; end what uses "
        "it, or "
    )
    assert about_gpus("auto", ONE, {"coarse_nerf": GIB}, params) == []
    assert about_gpus("cpu", ONE, {"coarse_nerf": 99 * GIB}, params) == []
    assert about_gpus("auto", None, {"coarse_nerf": 99 * GIB}, params) == []


def test_a_gpu_without_bfloat16_is_named(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    old = replace(ONE, gpus=(replace(CARD, name="GTX 1080", capability=(6, 1)),))
    (told,) = about_gpus("auto", old, {}, {"coarse_nerf": {"precision": "bfloat16"}})
    assert told.startswith("the GTX 1080 has no arithmetic for bfloat16") and told.endswith("take --precision float16")
    assert about_gpus("auto", old, {}, {"coarse_nerf": {"precision": "float16"}}) == []


def test_drivers_and_builds_that_do_not_fit_are_named(monkeypatch):
    assert why_not_usable(ONE, (12, 8)) == "", "within a major version newer builds run"
    assert why_not_usable(ONE, (13, 0)) == (
        "the GPU's driver 550.54 serves CUDA 12.4, the installed PyTorch needs 13; update the driver, or install a "
        "PyTorch for CUDA 12"
    )
    assert "was built without CUDA" in why_not_usable(ONE, None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(gpu_check, "torch_cuda", lambda: None)
    assert "built without CUDA" in unusable("auto", ONE)
    assert unusable("cpu", ONE) == "" == unusable("auto", None)


def test_a_run_says_it_before_anything_is_made(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    project, words = Project(tmp_path), ["--prompt", "a red ball"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(request, "read_machine", lambda: ONE)
    monkeypatch.setattr(gpu_check, "torch_cuda", lambda: (13, 0))
    made = make_request(project, METHODS["latent-nerf"], words)
    assert made.settings["device"] == "cpu" and made.warnings[0].endswith("this run takes the CPU")
    assert made.declaration.params["coarse_nerf"]["precision"] == "float32"
    with pytest.raises(Prior3dError, match=r"^--device cuda: the GPU's driver .*; or take --device cpu$"):
        make_request(project, METHODS["latent-nerf"], [*words, "--device", "cuda"])
    monkeypatch.setattr(gpu_check, "torch_cuda", lambda: (12, 4))
    made = make_request(project, METHODS["latent-nerf"], words)
    assert made.settings["device"] == "auto" and made.warnings == ()
    assert 0.6 * GIB < made.settings["gpu_memory"]["coarse_nerf"] < 2 * GIB
    small = replace(ONE, gpus=(replace(CARD, free=GIB // 4, total=GIB // 4),))
    monkeypatch.setattr(request, "read_machine", lambda: small)
    with pytest.raises(Prior3dError, match=r"^stage rgb_refinement will need about .* GiB of GPU memory"):
        make_request(project, METHODS["latent-nerf"], words)
    assert torch.cuda.is_initialized() is False
