"""Fast paths against eager ones, and 16 bits against 32, on a CUDA device: `pytest -m gpu`."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.diffusion.graphs import CALLS_BEFORE
from prior3d.diffusion.latent_diffusion import Conditioning
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.fields import FieldConfig, ObjectField, TiledGrid
from prior3d.fields.tiled import TiledLookup, fused_kernels, tiled_lookup_reference
from prior3d.rendering import render
from prior3d.seeds import Seeds
from tests.tiny_prior import write_tiny_prior

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", camera=True)


def asked(n=2):
    text = torch.randn(n + 1, 16, 16, generator=torch.Generator().manual_seed(0)).to(CUDA)
    return Conditioning(text[:n], text[n:], 5.0, torch.rand(n, 16, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_u_net_by_graphs(folder, dtype):
    prior = load_text_to_image(folder, CUDA, dtype)
    calls = prior.diffusion.unet_calls
    noisy = [torch.randn(2, 4, 8, 8, device=CUDA) for _ in range(6)]
    at = torch.tensor([100, 800], device=CUDA)
    calls.capturing = False
    expected = [prior.predict(one, at, asked()) for one in noisy]
    calls.capturing = True
    found = [prior.predict(one, at, asked()) for one in noisy]
    assert calls.capturing and calls.n_replayed == len(noisy) - CALLS_BEFORE
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_encoder_by_graphs(folder, dtype):
    prior = load_text_to_image(folder, CUDA, dtype)
    calls = prior.diffusion.encoder_calls

    def gradients():
        found = []
        for seed in range(5):
            images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)).to(CUDA).requires_grad_()
            (1e-6 * prior.encode(images).square().sum()).backward()
            found.append(images.grad)
        return found

    calls.capturing = False
    expected = gradients()
    calls.capturing = True
    found = gradients()
    assert calls.capturing and calls.n_replayed == 5 - CALLS_BEFORE
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < (1e-4 if dtype == torch.float32 else 2e-2) * other.norm()


def test_float16_against_float32(folder):
    whole, half = (load_text_to_image(folder, CUDA, dtype) for dtype in (torch.float32, torch.float16))
    noisy, at = torch.randn(2, 4, 8, 8, device=CUDA), torch.tensor([100, 800], device=CUDA)
    one, other = (prior.predict(noisy, at, asked()) for prior in (whole, half))
    assert (one - other).norm() < 0.02 * one.norm()
    images = torch.rand(1, 3, 32, 32, device=CUDA)
    assert (whole.encode(images) - half.encode(images)).norm() < 0.02 * whole.encode(images).norm()


def test_tiled_lookup_by_one_kernel():
    assert fused_kernels() is not None, "Triton comes with PyTorch's wheels for CUDA"
    grid = TiledGrid(log2_entries=14)
    generator = torch.Generator().manual_seed(0)
    tables = [torch.rand((rows, 2), generator=generator).to(CUDA).requires_grad_() for rows in grid.rows]
    points = (torch.rand((5000, 3), generator=generator) * 2.2 - 1.1).to(CUDA)
    gradient = torch.randn((5000, 32), generator=generator).to(CUDA)
    found = []
    for look_up in (lambda: TiledLookup.apply(points, tuple(grid.cells), *tables),
                    lambda: tiled_lookup_reference(points, tables, grid.cells)):  # fmt: skip
        values = look_up()
        values.backward(gradient)
        found.append((values.detach(), [table.grad for table in tables]))
        for table in tables:
            table.grad = None
    (one, sums), (other, expected) = found
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    for total, wanted in zip(sums, expected, strict=True):
        torch.testing.assert_close(total, wanted, rtol=1e-3, atol=1e-4)


def test_a_rendering_on_the_gpu_is_the_cpus():
    config = FieldConfig(
        encoding=TiledGrid(log2_entries=12), hidden=32, occupancy_resolution=32, occupied_samples=32, near_plane=0.2
    )
    here = ObjectField(config, torch.Generator().manual_seed(0))
    here.update_occupancy(0, Seeds(0).generator)
    there = ObjectField(config).to(CUDA)
    there.load_state_dict(here.state_dict())
    cameras = orbit_cameras(ring(2, radius=1.5), 16, 16)
    one, other = render(here, cameras, 128), render(there, cameras.to(CUDA), 128)
    torch.testing.assert_close(other.opacity.cpu(), one.opacity, rtol=0, atol=2e-3)
    torch.testing.assert_close(other.features.cpu(), one.features, rtol=0, atol=2e-3)


def test_the_loop_does_not_wait(folder, monkeypatch):
    """Counted by torch itself: synchronising calls between two looks at the losses are errors."""
    prior = load_text_to_image(folder, CUDA, torch.float16)
    noisy, at, texts = torch.randn(2, 4, 8, 8, device=CUDA), torch.tensor([100, 800], device=CUDA), asked()
    config = FieldConfig(encoding=TiledGrid(log2_entries=10), hidden=32, occupancy_resolution=16, occupied_samples=8)
    field, cameras, seeds = ObjectField(config).to(CUDA), orbit_cameras(ring(2, radius=1.5), 8, 8), Seeds(0)
    field.update_occupancy(0, seeds.generator)
    for _ in range(CALLS_BEFORE + 1):
        prior.predict(noisy, at, texts)
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = render(field, cameras.to(CUDA), 64, seeds.generator("samples", CUDA))
        latents = found.features.movedim(-1, 1)
        target = latents.detach() - prior.predict(prior.add_noise(latents.detach(), noisy, at), at, texts)
        ((latents - target) ** 2).mean().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
