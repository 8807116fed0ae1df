"""Frozen U-Nets by OpenVINO: what they say is what torch says, by the same interface; what it cannot do is refused.

The tests that run it are skipped where the extra `openvino` is not installed.
"""

import importlib
import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch

from prior3d.diffusion import graphs
from prior3d.diffusion.guidance import Conditioning
from prior3d.diffusion.inpainting import load_inpainting
from prior3d.diffusion.instruct import load_instruct
from prior3d.diffusion.prior import DiffusionPrior
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.distillation.sds import ScoreDistillation
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.distillation.vsd import ParticleScore
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings, VsdLoss
from tests.tiny_prior import write_tiny_prior

CPU = torch.device("cpu")
NEAR = 2e-5  # of the norm of what torch says; 3e-6 were the most that was seen, at the size of Stable Diffusion 1.5
runs_it = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed here"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "camera", camera=True)


@pytest.fixture
def both(folder):
    """The same prior by torch and by OpenVINO."""
    eager, compiled = (load_text_to_image(folder, CPU) for _ in range(2))
    compiled.use_engine("openvino")
    return eager, compiled


def drawn(n, seed=1, size=8, channels=4):
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(seed))


def asked(n=2, seed=0, guidance_scale=5.0):
    text = torch.randn(n + 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    camera = torch.rand(n, 16, generator=torch.Generator().manual_seed(seed))
    return Conditioning(text[:n], text[n:], guidance_scale, camera)


def views_of(prior):
    return ViewSampler(prior, "a red ball", ViewSettings(per_step=2), PromptSettings(), 5.0, named_backgrounds=True)


def off(found, wanted):
    return ((found - wanted).norm() / wanted.norm()).item()


@runs_it
def test_it_says_what_torch_says_whatever_the_number_of_views(both):
    eager, compiled = both
    for n, scale in ((1, 1.0), (2, 5.0), (3, 7.5), (1, 5.0)):
        timesteps = torch.linspace(20, 980, n).long()
        wanted, found = (prior.predict(drawn(n, n), timesteps, asked(n, n, scale)) for prior in both)
        assert found.dtype == torch.float32 and off(found, wanted) < NEAR
        assert not torch.equal(found, drawn(n, n))
    assert compiled.diffusion.unet_calls.n_compiled == 1
    assert isinstance(eager.diffusion.unet_calls, graphs.UnetCalls), "torch stays the default"


@runs_it
def test_the_same_question_has_the_same_bits(both, folder):
    other = load_text_to_image(folder, CPU)
    other.use_engine("openvino")
    timesteps = torch.tensor([100, 700])
    other.predict(drawn(3), torch.full((3,), 5), asked(3))  # what was asked before does not matter
    said = [prior.predict(drawn(2), timesteps, asked()) for prior in (both[1], both[1], other)]
    assert torch.equal(said[0], said[1]) and torch.equal(said[0], said[2])
    kept = said[0].clone()
    both[1].predict(drawn(2, 9), timesteps, asked(seed=9))
    assert torch.equal(said[0], kept), "an answer is its own, not a place that the next one fills"


@runs_it
def test_the_sizes_of_the_latest_calls_are_kept(both):
    eager, compiled = both
    counts = []
    for size in (8, 16, 8, 24, 8, 16):
        wanted, found = (p.predict(drawn(2, size, size), torch.tensor([9, 90]), asked()) for p in both)
        assert off(found, wanted) < NEAR
        counts.append(compiled.diffusion.unet_calls.n_compiled)
    assert counts == [1, 2, 2, 3, 3, 4]


@runs_it
@pytest.mark.parametrize(("load", "channels"), [(load_inpainting, 9), (load_instruct, 8)])
def test_unets_that_see_more_channels(load, channels, tmp_path):
    folder = write_tiny_prior(tmp_path / "prior", in_channels=channels)
    eager, compiled = (load(folder, CPU) for _ in range(2))
    compiled.use_engine("openvino")
    seen, timesteps = drawn(3, channels=channels), torch.tensor([1, 400, 999])
    text = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        wanted, found = (prior.diffusion.network(seen, timesteps, text) for prior in (eager, compiled))
    assert off(found, wanted) < NEAR and compiled.diffusion.unet_calls.n_compiled == 1


@runs_it
def test_whole_images_are_the_same_but_for_rounding(both):
    images = [
        prior.sample(["a red ball"] * 2, num_inference_steps=8, generator=torch.Generator().manual_seed(3))
        for prior in both
    ]
    assert (images[0] - images[1]).abs().max() < 1e-3 and images[0].std() > 0.01


@runs_it
def test_a_step_of_score_distillation_has_the_same_gradient(both):
    gradients = []
    for prior in both:
        latents = drawn(2, 5).requires_grad_()
        ScoreDistillation(views_of(prior), Seeds(0), SdsSettings(guidance_scale=5.0), "latent")(
            lambda cameras, batch, latents=latents: latents, 0.5
        ).loss.backward()
        gradients.append(latents.grad)
    assert gradients[0].abs().sum() > 0 and off(gradients[1], gradients[0]) < NEAR


@runs_it
def test_a_prior_of_16_bits_says_nearly_the_same(folder):
    exact, half = load_text_to_image(folder, CPU), load_text_to_image(folder, CPU, torch.bfloat16)
    half.use_engine("openvino")
    wanted, found = (prior.predict(drawn(2), torch.tensor([100, 700]), asked()) for prior in (exact, half))
    assert found.dtype == torch.float32 and 0 < off(found, wanted) < 0.1
    assert half.diffusion.dtype == torch.bfloat16 and half.decode(drawn(1)).dtype == torch.float32


@runs_it
def test_gradients_and_a_lora_that_learns_are_refused(both):
    prior = both[1]
    text = asked().text.requires_grad_()
    with pytest.raises(
        Prior3dError, match="^engine openvino runs a frozen U-Net, without gradients .*; set engine=torch$"
    ):
        prior.diffusion.network(drawn(2), torch.tensor([3, 4]), text)
    with pytest.raises(Prior3dError, match="without a LoRA that learns; set engine=torch$"):
        ParticleScore(views_of(prior), VsdLoss(), Seeds(0))


@runs_it
def test_nobody_is_told_of_a_conversion(both):
    both[1].predict(drawn(1), torch.tensor([1]), asked(1))
    assert sys.modules["openvino_telemetry"] is None
    used = importlib.import_module("openvino.tools.ovc.telemetry_utils").tm
    assert used.__name__ == "openvino.tools.ovc.telemetry_stub"


@runs_it
def test_this_processor_knows_float32():
    known = graphs.openvino_precisions()
    assert known[0] == "float32" and set(known) <= {"float32", "bfloat16", "float16"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'openvino'", name="openvino"), "OpenVINO is not installed; "),
        (ImportError("libtbb.so.12: no such file"), r"OpenVINO cannot be imported \(libtbb.so.12: no such file\); "),
    ],
)
def test_where_it_is_not_installed_one_line_says_what_to_type(folder, monkeypatch, error, said):
    def absent(name):
        raise error

    prior = load_text_to_image(folder, CPU)
    monkeypatch.setattr(graphs, "importlib", SimpleNamespace(import_module=absent))
    with pytest.raises(Prior3dError, match=rf"^engine openvino: {said}type: pip install 'prior3d\[openvino\]'$"):
        prior.use_engine("openvino")
    prior.use_engine("torch")


def test_joint_views_and_other_devices_are_refused(folder):
    class Joint(DiffusionPrior):
        joint = True

    prior = load_text_to_image(folder, CPU)
    with pytest.raises(
        Prior3dError, match="^engine openvino runs UNets of single views, .* joint ones; set engine=torch$"
    ):
        Joint(prior.diffusion).use_engine("openvino")
    Joint(prior.diffusion).use_engine("torch")
    with pytest.raises(Prior3dError, match="^engine openvino runs U-Nets on the CPU, not on cuda:0; set engine=torch$"):
        graphs.OpenvinoCalls(SimpleNamespace(device=torch.device("cuda:0")), torch.float32)
