"""Networks by CUDA graphs: the same numbers as eager calls, capturing once a shape, never silently eager.

CUDA is a stand-in that replays a tape of operations on fixed tensors (tests/fake_cuda.py). `test_gpu_paths.py` has the
same comparisons on a GPU.
"""

import pytest
import torch

from prior3d.diffusion import graphs
from prior3d.diffusion.graphs import CALLS_BEFORE, EncoderCalls
from prior3d.diffusion.latent_diffusion import Conditioning
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.errors import Prior3dWarning
from tests.fake_cuda import FakeGraph, fake_graphs
from tests.tiny_prior import write_tiny_prior


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "camera", camera=True)


@pytest.fixture
def prior(folder, monkeypatch):
    fake_graphs(monkeypatch)
    return load_text_to_image(folder, torch.device("cpu"))


def drawn(n, seed=1):
    return torch.randn(n, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def asked(n=2, seed=0, guidance_scale=5.0):
    text = torch.randn(n + 1, 16, 16, generator=torch.Generator().manual_seed(seed))
    camera = torch.rand(n, 16, generator=torch.Generator().manual_seed(seed))
    return Conditioning(text[:n], text[n:], guidance_scale, camera)


def test_replayed_calls_say_what_eager_calls_say(prior):
    calls = prior.diffusion.unet_calls
    expected = [prior.predict(drawn(2, seed), torch.tensor([seed * 90, 500]), asked(seed=seed)) for seed in range(8)]
    assert calls.n_replayed == 0, "a CPU has no graphs"
    calls.capturing = True
    found = [prior.predict(drawn(2, seed), torch.tensor([seed * 90, 500]), asked(seed=seed)) for seed in range(8)]
    assert FakeGraph.n_captured == 1 and calls.n_replayed == 8 - CALLS_BEFORE
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert not torch.equal(found[-1], found[-2]), "a replay's result is its own, not the graph's place"


def test_each_shape_has_a_graph_and_rare_ones_none(prior):
    calls = prior.diffusion.unet_calls
    calls.capturing = True
    for n in (1, 2, 3):
        for _ in range(CALLS_BEFORE + (n < 3)):
            prior.predict(drawn(n), torch.full((n,), 400), asked(n))
    assert FakeGraph.n_captured == 2 and calls.n_replayed == 2


def test_no_more_shapes_than_memory_is_meant_for(prior, monkeypatch):
    monkeypatch.setattr(graphs, "MOST_SHAPES", 1)
    prior.diffusion.unet_calls.capturing = True
    for n in (1, 2):
        for _ in range(4):
            prior.predict(drawn(n), torch.full((n,), 400), asked(n))
    assert FakeGraph.n_captured == 1


def test_guidance_of_one_and_calls_with_a_gradient(prior):
    calls = prior.diffusion.unet_calls
    calls.capturing = True
    for _ in range(5):
        prior.predict(drawn(2), torch.tensor([3, 4]), asked(guidance_scale=1.0))
    assert calls.n_replayed == 5 - CALLS_BEFORE
    text = asked().text.clone().requires_grad_()
    for _ in range(5):
        prior.diffusion.network(drawn(2), torch.tensor([3, 4]), text).square().mean().backward()
    assert text.grad.abs().sum() > 0 and calls.n_replayed == 5 - CALLS_BEFORE


def test_a_graph_that_cannot_be_captured_is_told_once(prior, monkeypatch):
    def refuse(graph, pool=None):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    expected = prior.predict(drawn(2), torch.tensor([3, 4]), asked())
    calls = prior.diffusion.unet_calls
    calls.capturing = True
    monkeypatch.setattr(torch.cuda, "graph", refuse)
    said = (
        r"^the U-Net cannot be captured in a CUDA graph \(CUDA error: operation not permitted when stream is "
        r"capturing\); it runs without one, with the same results, slower$"
    )
    with pytest.warns(Prior3dWarning, match=said) as told:
        found = [prior.predict(drawn(2), torch.tensor([3, 4]), asked()) for _ in range(6)]
    assert len(told) == 1 and not calls.capturing and calls.n_replayed == 0
    assert all(torch.equal(one, expected) for one in found)


def test_the_encoder_and_its_gradient(prior):
    def gradient_of(images):
        given = images.clone().requires_grad_()
        loss = prior.encode(given).square().sum()
        loss.backward()
        return loss.item(), given.grad

    images = [torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    expected = [gradient_of(one) for one in images]
    calls = prior.diffusion.encoder_calls
    calls.capturing = True
    found = [gradient_of(one) for one in images]
    assert calls.n_replayed == 5 - CALLS_BEFORE
    for (loss, gradient), (wanted, wanted_gradient) in zip(found, expected, strict=True):
        assert loss == pytest.approx(wanted, rel=1e-5)
        torch.testing.assert_close(gradient, wanted_gradient, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        prior.encode(images[0])
    assert calls.n_replayed == 5 - CALLS_BEFORE, "nothing needs a gradient: eager"


def test_two_passes_before_one_backward_do_not_share_a_graph(monkeypatch):
    fake_graphs(monkeypatch)
    calls = EncoderCalls(lambda images: images**3, torch.device("cpu"))
    calls.capturing = True
    images = [torch.full((1, 3, 2, 2), float(k), requires_grad=True) for k in range(1, 6)]
    for one in images[:CALLS_BEFORE]:
        calls(one).sum().backward()
    (calls(images[3]).sum() + calls(images[4]).sum()).backward()
    assert calls.n_replayed == 1
    assert images[3].grad.unique().item() == 48 and images[4].grad.unique().item() == 75
    calls(images[2]).sum().backward()
    assert calls.n_replayed == 2 and images[2].grad.unique().item() == 27


def test_an_encoder_that_recomputes_its_blocks_has_no_graph(prior):
    prior.diffusion.encoder_calls.capturing = True
    prior.diffusion.recompute_encoder()
    assert not prior.diffusion.encoder_calls.capturing
