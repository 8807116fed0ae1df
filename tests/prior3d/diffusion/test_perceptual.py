import pytest
import torch
from safetensors.torch import save_file

from prior3d.diffusion.perceptual import BLOCKS, SCALE, SHIFT, load_perceptual
from prior3d.errors import Prior3dError


def weights(channels=(2, 2, 2, 2, 2)):
    """Convolutions that pass the first channel on at every place, and a distance that counts every channel once."""
    tensors, before = {}, 3
    for block, numbers in enumerate(BLOCKS):
        for number in numbers:
            weight = torch.zeros(channels[block], before, 3, 3)
            weight[0, 0, 1, 1] = 1.0
            tensors[f"features.{number}.weight"], tensors[f"features.{number}.bias"] = weight, torch.zeros(2)
            tensors[f"features.{number}.bias"][1] = 1.0  # the second channel is always 1
            before = channels[block]
        tensors[f"lin{block}.weight"] = torch.ones(1, channels[block], 1, 1)
    return tensors


def test_by_hand(tmp_path):
    save_file(weights(), tmp_path / "lpips.safetensors")
    distance = load_perceptual(tmp_path / "lpips.safetensors")
    first, second = torch.full((1, 3, 16, 16), 1.0), torch.full((1, 3, 16, 16), 0.5)
    assert distance(first, first).item() == 0
    # unit vectors of (x, 1), with x the normalised red: the same in all five blocks
    a, b = (torch.tensor([(v * 2 - 1 - SHIFT[0]) / SCALE[0], 1.0]) for v in (1.0, 0.5))
    expected = 5 * (a / a.norm() - b / b.norm()).square().sum().item()
    assert distance(first, second).item() == pytest.approx(expected, rel=1e-4)


def test_missing_weights(tmp_path):
    with pytest.raises(Prior3dError, match="no weights of a perceptual distance"):
        load_perceptual(tmp_path / "no.safetensors")
    tensors = weights()
    del tensors["lin3.weight"]
    save_file(tensors, tmp_path / "lpips.safetensors")
    with pytest.raises(Prior3dError, match=r"lacks lin3.weight \(1 such\)"):
        load_perceptual(tmp_path / "lpips.safetensors")
