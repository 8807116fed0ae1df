"""Whether two priors have the same autoencoder, so that the latents of one mean the same to the other."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from prior3d.diffusion.folders import read_json, weight_files

DIFFERENT = 1e-2  # of a weight: precisions of one network differ by less
USUAL_SCALE = 0.18215  # where the configuration of an older folder does not say it
# an attention's layers in older folders, which diffusers renames at load
RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def same_autoencoder(first: Path, second: Path) -> bool:
    """Whether the folders of two priors hold the same VAE and scale of latents, in whichever precision."""
    scales = [
        read_json(folder / "vae" / "config.json").get("scaling_factor", USUAL_SCALE) for folder in (first, second)
    ]
    if scales[0] != scales[1]:
        return False
    one, other = (
        {_name(k): v for file in weight_files(folder / "vae", "vae")[0] for k, v in load_file(str(file)).items()}
        for folder in (first, second)
    )
    if one.keys() != other.keys():
        return False
    return all(
        one[name].numel() == other[name].numel()  # older folders have 1x1 convolutions for linear layers
        and torch.allclose(one[name].float().flatten(), other[name].float().flatten(), rtol=DIFFERENT, atol=DIFFERENT)
        for name in one
    )


def _name(weight: str) -> str:
    for old, new in RENAMED.items():
        weight = weight.replace(old, new)
    return weight
