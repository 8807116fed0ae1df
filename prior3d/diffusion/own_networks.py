"""Networks that are neither diffusers' nor transformers': `config.json` and one safetensors file in half precision."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from prior3d.diffusion.folders import PICKLE_SUFFIXES, check_safetensors, read_json
from prior3d.errors import Prior3dError

OWN_WEIGHTS = "model.safetensors"


def save_own(network: Any, folder: Path) -> None:
    """Write a network's `config`, a dataclass of sizes, and its weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(network.config), indent=2) + "\n")
    weights = {name: tensor.detach().half().contiguous().cpu() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / OWN_WEIGHTS, {"format": "pt"})


def load_own(network: nn.Module, folder: Path) -> None:
    """Read the weights that `save_own` wrote into a network of the same sizes, and freeze it, in evaluation mode.

    Raises:
        Prior3dError: a file is missing or broken, or the weights are not those of the network, or not finite.
    """
    weights, expected = load_file(own_weights(folder)), network.state_dict()
    wrong = sorted(
        name
        for name in weights.keys() | expected.keys()
        if name not in weights or name not in expected or weights[name].shape != expected[name].shape
    )
    if wrong:
        raise Prior3dError(
            f"prior component {folder}: {wrong[0]} is missing, superfluous or misshapen ({len(wrong)} such); "
            "config.json and the weights are from different models"
        )
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise Prior3dError(
                f"prior component {folder}: {name} holds values that are not finite; fetch or train it again"
            )
    network.load_state_dict(weights)
    network.requires_grad_(False).eval()


def read_sizes(folder: Path, config_class: Any) -> dict[str, Any]:
    """Read `config.json`, which must hold the fields of a dataclass and no others.

    Raises:
        Prior3dError: it is missing, not JSON, or lacks a size or has one too many.
    """
    content = read_json(folder / "config.json")
    names = {field.name for field in fields(config_class)}
    if content.keys() != names:
        raise Prior3dError(
            f"prior file {folder / 'config.json'}: lacks {sorted(names - content.keys())} and has unknown "
            f"{sorted(content.keys() - names)}; fetch or train it again"
        )
    return content


def own_weights(folder: Path) -> Path:
    """The file of a network's weights.

    Raises:
        Prior3dError: it is missing, pickled, or not as long as its header says.
    """
    file = folder / OWN_WEIGHTS
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in PICKLE_SUFFIXES) if folder.is_dir() else []
    if not file.is_file() and pickles:
        raise Prior3dError(
            f"prior component {folder}: its weights are pickle files ({', '.join(pickles[:3])}), which can run code "
            f"and are never opened; convert them to {OWN_WEIGHTS}"
        )
    check_safetensors(file)
    return file
