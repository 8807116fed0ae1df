"""Write and read an epipolar transformer: `config.json` and one safetensors file in half precision."""

import json
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from prior3d.diffusion.epipolar import EpipolarConfig, EpipolarTransformer
from prior3d.diffusion.folders import PICKLE_SUFFIXES, check_safetensors, read_json
from prior3d.errors import Prior3dError

EPIPOLAR_WEIGHTS = "model.safetensors"


def save_epipolar(epipolar: EpipolarTransformer, folder: Path) -> None:
    """Write `config.json` and the weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(epipolar.config), indent=2) + "\n")
    weights = {name: tensor.detach().half().contiguous().cpu() for name, tensor in epipolar.state_dict().items()}
    save_file(weights, folder / EPIPOLAR_WEIGHTS, {"format": "pt"})


def load_epipolar(folder: Path) -> EpipolarTransformer:
    """Read what `save_epipolar` wrote, frozen, in float32 and in evaluation mode, on the CPU.

    Raises:
        Prior3dError: a file is missing or broken, or the weights are not those of the configuration, or not finite.
    """
    file = epipolar_weights(folder)
    epipolar = EpipolarTransformer(epipolar_config(folder))
    weights, expected = load_file(file), epipolar.state_dict()
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
    epipolar.load_state_dict(weights)
    return epipolar.requires_grad_(False).eval()


def epipolar_config(folder: Path) -> EpipolarConfig:
    """Read `epipolar/config.json`.

    Raises:
        Prior3dError: it is missing, not JSON, or lacks a size or has one too many.
    """
    content = read_json(folder / "config.json")
    names = {field.name for field in fields(EpipolarConfig)}
    if content.keys() != names:
        raise Prior3dError(
            f"prior file {folder / 'config.json'}: lacks {sorted(names - content.keys())} and has unknown "
            f"{sorted(content.keys() - names)}; fetch or train it again"
        )
    return EpipolarConfig(**content | {"channels": tuple(content["channels"])})


def epipolar_weights(folder: Path) -> Path:
    """The file of an epipolar transformer's weights.

    Raises:
        Prior3dError: it is missing, pickled, or not as long as its header says.
    """
    file = folder / EPIPOLAR_WEIGHTS
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in PICKLE_SUFFIXES)
    if not file.is_file() and pickles:
        raise Prior3dError(
            f"prior component {folder}: its weights are pickle files ({', '.join(pickles[:3])}), which can run code "
            f"and are never opened; convert them to {EPIPOLAR_WEIGHTS}"
        )
    check_safetensors(file)
    return file
