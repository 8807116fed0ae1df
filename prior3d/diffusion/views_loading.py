"""Open a views prior from local safetensors files only: a diffusers-like folder with an `epipolar/` of our own."""

import json
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from prior3d.diffusion import loading
from prior3d.diffusion.epipolar import EpipolarConfig, EpipolarTransformer
from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.views import ViewsPrior
from prior3d.diffusion.weights import check_safetensors
from prior3d.errors import Prior3dError

COMPONENTS = ("unet", "epipolar", "vae", "scheduler")
EPIPOLAR_WEIGHTS = "model.safetensors"


def load_views(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> ViewsPrior:
    """Load a frozen views prior from local safetensors files only.

    Args:
        folder: `model_index.json`, `unet/`, `epipolar/`, `vae/` and `scheduler/`, as the stage `views` writes them.
        device: where the networks go.
        dtype: precision of the UNet and the VAE; the epipolar transformer, which does geometry, stays in float32.

    Raises:
        Prior3dError: as `check_views_folder`, and if a weight is missing, misshapen, superfluous or not finite.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DModel

    folder = Path(folder)
    check_views_folder(folder)
    unet = loading.load_network(UNet2DModel, folder / "unet", "unet", dtype).to(device)
    vae = loading.load_network(AutoencoderKL, folder / "vae", "vae", dtype).to(device)
    scheduler = DDIMScheduler.from_config(loading.read_json(folder / "scheduler" / "scheduler_config.json"))
    diffusion = LatentDiffusion(unet=unet, vae=vae, scheduler=scheduler)
    return ViewsPrior(diffusion, load_epipolar(folder / "epipolar").to(device))


def check_views_folder(folder: Path) -> None:
    """Check that a folder can serve as a views prior, without loading a tensor.

    Raises:
        Prior3dError: folder or component missing, of another role, weights pickled or truncated, parts that do not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise Prior3dError(f"prior {folder}: no such folder; give a views prior's folder")
    if not (folder / "model_index.json").is_file():
        raise Prior3dError(f"prior {folder}: it has no model_index.json, so it is not a views prior")
    kind = loading.read_json(folder / "model_index.json").get("_class_name")
    if kind != "ViewsPrior":
        raise Prior3dError(f"prior {folder}: it is a {kind}, not a views prior; give one made for the role views")
    missing = [name for name in COMPONENTS if not (folder / name).is_dir()]
    if missing:
        raise Prior3dError(f"prior {folder}: it lacks {', '.join(m + '/' for m in missing)}; complete the folder")
    for name in ("unet", "vae"):
        for file in loading.weight_files(folder / name, name)[0]:
            check_safetensors(file)
    _epipolar_weights(folder / "epipolar")
    config = epipolar_config(folder / "epipolar")
    unet, vae = (loading.read_json(folder / name / "config.json") for name in ("unet", "vae"))
    found = (unet.get("in_channels"), unet.get("sample_size"))
    expected = (2 * vae.get("latent_channels", 4) + config.features, config.rays)  # noisy, features, regression
    if found != expected:
        raise Prior3dError(
            f"prior {folder}: its UNet takes {found[0]} channels of side {found[1]}, but vae/ and epipolar/ make "
            f"{expected[0]} of side {expected[1]}; they are from different models"
        )


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
    file = _epipolar_weights(folder)
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
    content = loading.read_json(folder / "config.json")
    names = {field.name for field in fields(EpipolarConfig)}
    if content.keys() != names:
        raise Prior3dError(
            f"prior file {folder / 'config.json'}: lacks {sorted(names - content.keys())} and has unknown "
            f"{sorted(content.keys() - names)}; fetch or train it again"
        )
    return EpipolarConfig(**content | {"channels": tuple(content["channels"])})


def _epipolar_weights(folder: Path) -> Path:
    """The file of an epipolar transformer's weights, whole as far as its header says."""
    file = folder / EPIPOLAR_WEIGHTS
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in loading.PICKLE_SUFFIXES)
    if not file.is_file() and pickles:
        raise Prior3dError(
            f"prior component {folder}: its weights are pickle files ({', '.join(pickles[:3])}), which can run code "
            f"and are never opened; convert them to {EPIPOLAR_WEIGHTS}"
        )
    check_safetensors(file)
    return file
