"""What a rendering keeps for its backward pass, and that recomputing it changes no gradient."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.fields import FieldConfig, ObjectField, TiledGrid
from prior3d.rendering import render, volume
from prior3d.seeds import Seeds

N_SAMPLES, SIZE = 64, 16
MOST_BYTES = 16  # a sample; 13 were found, and 2,230 of a rendering in one part


def field(occupancy: int = 0) -> ObjectField:
    config = FieldConfig(encoding=TiledGrid(log2_entries=10), hidden=64, occupancy_resolution=occupancy)
    made = ObjectField(config, torch.Generator().manual_seed(0))
    made.update_occupancy(0, Seeds(0).generator)
    return made


def loss_of(made: ObjectField) -> torch.Tensor:
    cameras = orbit_cameras(ring(2, radius=1.5), SIZE, SIZE)
    found = render(made, cameras, N_SAMPLES, torch.Generator().manual_seed(1), torch.ones(2, 4))
    parts = (found.features, found.depth, found.weights, found.density * 1e-2, found.opacity)
    return torch.stack([part.square().mean() for part in parts]).sum()


def kept_bytes(made: ObjectField) -> float:
    """Bytes a sample that the forward pass keeps, each piece of memory once, parameters left out."""
    own, kept = {p.untyped_storage().data_ptr() for p in made.parameters()}, {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_of(made)
    assert loss.requires_grad
    return sum(kept.values()) / (2 * SIZE * SIZE * N_SAMPLES)


@pytest.mark.parametrize("occupancy", [0, 16])
def test_parts_have_the_gradients_of_the_whole(monkeypatch, occupancy):
    whole, parts = field(occupancy), field(occupancy)
    expected = loss_of(whole)
    expected.backward()
    monkeypatch.setattr(volume, "SAMPLES_AT_ONCE", 37 * N_SAMPLES)
    found = loss_of(parts)
    found.backward()
    torch.testing.assert_close(found, expected)
    for a, b in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-7)


def test_a_sample_keeps_few_bytes(monkeypatch):
    before = kept_bytes(field())
    monkeypatch.setattr(volume, "SAMPLES_AT_ONCE", 37 * N_SAMPLES)
    after = kept_bytes(field())
    assert before > 1000 and after <= MOST_BYTES, f"{before:.0f} bytes a sample at once, {after:.0f} in parts"
