"""Whether two priors have the same autoencoder, so that the latents of one mean the same to the other."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from prior3d.diffusion.folders import read_json, weight_files

DIFFERENT = 1e-2  # of a weight: precisions of one network differ by less


def same_autoencoder(first: Path, second: Path) -> bool:
    """Whether the folders of two priors hold the same VAE and scale of latents, in whichever precision."""
    scales = [read_json(folder / "vae" / "config.json").get("scaling_factor") for folder in (first, second)]
    if scales[0] != scales[1]:
        return False
    one, other = (
        {k: v for file in weight_files(folder / "vae", "vae")[0] for k, v in load_file(str(file)).items()}
        for folder in (first, second)
    )
    if one.keys() != other.keys():
        return False
    return all(
        one[name].shape == other[name].shape
        and torch.allclose(one[name].float(), other[name].float(), rtol=DIFFERENT, atol=DIFFERENT)
        for name in one
    )
