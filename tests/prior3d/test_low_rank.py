"""The LoRA that learns what renders look like: what it changes, what it leaves, and what it costs."""

from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DConditionModel

from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.distillation.low_rank import LowRank
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.distillation.vsd import ParticleScore
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings, ViewSettings, VsdLoss
from tests.fake_cuda import fake_graphs
from tests.live_memory import LiveMemory, flash_attention
from tests.tiny_prior import write_tiny_prior

CPU = torch.device("cpu")
LATENTS = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("low-rank") / "p")


def sampler(folder, dtype=torch.float32):
    prior, prompting = load_text_to_image(folder, CPU, dtype), PromptSettings(camera_conditioning=False)
    return ViewSampler(prior, "a red ball", ViewSettings(per_step=2), prompting, 2.0, named_backgrounds=True)


def particles(folder, dtype=torch.float32, **settings):
    """A score that has not learned yet, and the views of a step."""
    views, seeds = sampler(folder, dtype), Seeds(0)
    return ParticleScore(views, VsdLoss(rank=2, **settings), seeds), views.sample(seeds)


def gradients(folder, dtype=torch.float32, **settings):
    """Of the LoRA after one loss, once its second factors are no longer 0."""
    score, batch = particles(folder, dtype, **settings)
    with torch.no_grad():
        for up in score.adapter.up:
            up.fill_(0.05)
    loss = score.loss(batch, LATENTS)
    loss.backward()
    return loss.item(), [p.grad for p in score.adapter.parameters()]


def test_before_it_learns_it_is_the_prior_and_the_prior_stays_as_it_is(folder):
    score, batch = particles(folder)
    unet = score.views.prior.diffusion.unet
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    at = torch.tensor([300, 700])
    plain = score.views.parts(batch, LATENTS, at).conditional
    torch.testing.assert_close(score.predict(batch, LATENTS, at), plain, rtol=1e-5, atol=1e-6)
    optimiser = torch.optim.Adam(score.parameter_groups())
    for _ in range(3):
        optimiser.zero_grad()
        score.loss(batch, LATENTS).backward()
        optimiser.step()
    assert (score.predict(batch, LATENTS, at) - plain).abs().max() > 1e-5
    assert torch.equal(score.views.parts(batch, LATENTS, at).conditional, plain)  # no hook is left
    assert all(torch.equal(before[name], value) for name, value in unet.state_dict().items())
    assert all(p.grad is None for p in unet.parameters())


def test_no_graph_replays_the_unet_without_the_lora(folder, monkeypatch):
    """CUDA is a stand-in, see tests/fake_cuda.py; a graph has neither a gradient nor the cameras of a later step."""
    fake_graphs(monkeypatch)
    views, at = sampler(folder), torch.tensor([300, 700])
    calls = views.prior.diffusion.unet_calls
    calls.capturing = True
    batch = views.sample(Seeds(0))
    with torch.no_grad():
        plain = [views.output(batch, LATENTS, at) for _ in range(4)][-1]
    assert calls.n_replayed > 0
    score = ParticleScore(views, VsdLoss(rank=2), Seeds(0))
    optimiser = torch.optim.Adam(score.parameter_groups())
    for _ in range(4):
        optimiser.zero_grad()
        score.loss(batch, LATENTS).backward()
        optimiser.step()
    found = score.predict(batch, LATENTS, at)
    assert (found - views.prior.diffusion.to_noise(LATENTS, plain, at)).abs().max() > 1e-5


def test_it_learns_what_renders_look_like():
    """Its denoising loss of one strange image falls well below the prior's, which never saw the like."""
    views = ViewSampler(
        load_text_to_image(embedded_prior("toy"), CPU),
        "a red ball",
        ViewSettings(per_step=2),
        PromptSettings(),
        2.0,
        named_backgrounds=True,
    )
    score, batch = ParticleScore(views, VsdLoss(rank=8, learning_rate=3e-3), Seeds(0)), views.sample(Seeds(0))
    stripes = torch.sin(torch.arange(16.0)).expand(2, 4, 16, 16).contiguous()
    optimiser, losses = torch.optim.Adam(score.parameter_groups()), []
    for _ in range(30):
        optimiser.zero_grad()
        loss = score.loss(batch, stripes)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-8:]) < 0.6 * sum(losses[:8])


def test_its_loss_moves_the_lora_and_nothing_else(folder):
    score, batch = particles(folder)
    latents = LATENTS.clone().requires_grad_()
    score.loss(batch, latents).backward()
    assert latents.grad is None
    assert any(up.grad.abs().sum() > 0 for up in score.adapter.up)


def test_its_gradient_is_that_of_the_mean_squared_error(folder):
    """By a small change of one number, and the loss's value before and after."""
    score, batch = particles(folder)
    (up := score.adapter.up[0]).data.fill_(0.05)

    def value():
        score.seeds = Seeds(1)
        return score.loss(batch, LATENTS)

    value().backward()
    slope, step = up.grad[0, 0].item(), 1e-2
    with torch.no_grad():
        up[0, 0] += step
        above = value().item()
        up[0, 0] -= 2 * step
        below = value().item()
    assert slope == pytest.approx((above - below) / (2 * step), rel=0.05, abs=1e-6)


def test_recomputing_changes_no_gradient(folder):
    value, plain = gradients(folder)
    again, recomputed = gradients(folder, recompute=True)
    assert again == pytest.approx(value, rel=1e-6)
    for first, second in zip(plain, recomputed, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-7)


def test_gradients_survive_16_bits(folder):
    _, plain = gradients(folder)
    _, half = gradients(folder, torch.float16)
    for first, second in zip(plain, half, strict=True):
        assert second.dtype == torch.float32
        assert (first - second).norm() <= 0.05 * first.norm() + 1e-7


def test_a_prior_without_cameras_learns_them_in_the_lora_alone(folder, tmp_path):
    score, batch = particles(folder)
    assert score.adapter.pose is not None and score.adapter.pose.shape == (64, 16)
    at, turned = torch.tensor([300, 300]), replace(batch.orbit, azimuth_deg=batch.orbit.azimuth_deg + 90)
    other = replace(batch, orbit=turned)
    assert torch.equal(score.predict(batch, LATENTS, at), score.predict(other, LATENTS, at))
    with torch.no_grad():
        score.adapter.pose.fill_(0.5)
    assert not torch.equal(score.predict(batch, LATENTS, at), score.predict(other, LATENTS, at))
    knowing = load_text_to_image(write_tiny_prior(tmp_path / "p", camera=True), CPU)
    assert LowRank(knowing.diffusion.unet, 2, torch.Generator(), poses=False).pose is None


def test_a_network_without_attention_is_refused():
    unet = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(Prior3dError, match=r"^loss vsd: this prior's U-Net has no attention .* take another loss$"):
        LowRank(unet, 2, torch.Generator(), poses=False)


def test_at_the_size_of_stable_diffusion_it_costs_less_than_1_gb(monkeypatch):
    """Counted on a network without memory: the LoRA with Adam, and all that its backward pass holds for one view."""
    flash_attention(monkeypatch)
    with torch.device("meta"):  # all else that the class starts with is Stable Diffusion 1.5's
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64).to(torch.float16)
        noisy, text = torch.zeros(1, 4, 64, 64, dtype=torch.float16), torch.zeros(1, 77, 768, dtype=torch.float16)
    assert sum(p.numel() for p in unet.requires_grad_(False).parameters()) == 859_520_964
    unet.enable_gradient_checkpointing()
    adapter = LowRank(unet, 4, torch.Generator(), poses=True)
    parameters = list(adapter.parameters())
    n = sum(p.numel() for p in parameters)
    # by hand: 4 (in + out) of each of 4 layers, in two attentions of each of 16 blocks; and the cameras
    widths = [320] * 5 + [640] * 5 + [1280] * 6
    assert n == sum(4 * (4 * 2 * w + 2 * 2 * w + 2 * (768 + w)) for w in widths) + 1280 * 16
    with LiveMemory() as memory, adapter.active(torch.zeros(1, 16)):
        output = unet(noisy, torch.zeros(1, device="meta"), encoder_hidden_states=text).sample
        torch.autograd.grad(output, parameters, torch.zeros_like(output))
    learning = 4 * 4 * n  # value, gradient and Adam's two moments, float32
    assert learning < 0.014e9
    assert memory.peak > 0.3e9 and memory.peak + learning < 1e9
