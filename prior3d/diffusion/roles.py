"""What a prior's folder can serve as, told from its configuration alone: no tensor is read, no torch is needed."""

import json
from pathlib import Path
from typing import Any

from prior3d.errors import Prior3dError

EXTRA_INPUT_CHANNELS = {"text_to_image": 0, "inpainting": 5, "instruct": 4}  # beyond the latent's own channels
VIEWS_CLASS = "ViewsPrior"


def role_of(folder: Path) -> str:
    """The role of a prior's folder: one of `EXTRA_INPUT_CHANNELS`, `views`, or `scorer` for a CLIPModel folder.

    Raises:
        Prior3dError: no prior, or none of a known role.
    """
    if not (folder / "model_index.json").is_file():
        if (folder / "config.json").is_file() and read_json(folder / "config.json").get("model_type") == "clip":
            return "scorer"
        raise Prior3dError(f"prior {folder}: neither a diffusers pipeline (model_index.json) nor a CLIPModel folder")
    if is_views(folder):
        return "views"
    unet, vae = (read_json(folder / name / "config.json") for name in ("unet", "vae"))
    extra = unet.get("in_channels", 4) - vae.get("latent_channels", 4)
    for role, channels in EXTRA_INPUT_CHANNELS.items():
        if channels == extra:
            return role
    raise Prior3dError(
        f"prior {folder}: its UNet takes {unet.get('in_channels', 4)} channels, which is no known role: "
        f"{_all_roles(vae.get('latent_channels', 4))}"
    )


def is_views(folder: Path) -> bool:
    """Whether the folder's index calls it a views prior (raises Prior3dError if there is no index)."""
    return read_json(folder / "model_index.json").get("_class_name") == VIEWS_CLASS


def check_views(folder: Path) -> None:
    """Hold that a folder is a views prior (raises Prior3dError); its parts are looked over where it is loaded."""
    if not is_views(folder):
        kind = read_json(folder / "model_index.json").get("_class_name")
        raise Prior3dError(f"prior {folder}: it is a {kind}, but views is needed; give a views prior, e.g. toy-views")


def check_channels(folder: Path, role: str) -> None:
    """Hold the UNet's input against the role, and its cross-attention against the text encoder.

    Raises:
        Prior3dError: the role is unknown, the UNet is of another, or the text encoder of another model.
    """
    if role not in EXTRA_INPUT_CHANNELS:
        raise Prior3dError(f"prior role {role!r} is unknown; it is one of {', '.join(EXTRA_INPUT_CHANNELS)}")
    if is_views(folder):
        raise Prior3dError(
            f"prior {folder}: it makes views of posed pictures, but {role} is needed; give another prior"
        )
    unet, vae, text = (read_json(folder / name / "config.json") for name in ("unet", "vae", "text_encoder"))
    latent_channels = vae.get("latent_channels", 4)
    found, expected = unet.get("in_channels", 4), latent_channels + EXTRA_INPUT_CHANNELS[role]
    if found != expected:
        names = {latent_channels + extra: name for name, extra in EXTRA_INPUT_CHANNELS.items()}
        raise Prior3dError(
            f"prior {folder}: its UNet takes {found} channels ({names.get(found, 'no known role')}), but {role} needs "
            f"{expected}; give a prior made for {role}"
        )
    width = unet.get("cross_attention_dim")
    text_width = text.get("hidden_size", text.get("text_config", {}).get("hidden_size"))
    if width != text_width:
        raise Prior3dError(
            f"prior {folder}: the UNet attends to {width}-wide text, but text_encoder/ makes {text_width}-wide text; "
            "the two are from different models (or it is a pipeline with several text encoders, which is not supported)"
        )


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object, with an error that names the file (raises Prior3dError)."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Prior3dError(f"prior file {file}: cannot be read ({error.strerror}); complete the folder") from error
    except ValueError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise Prior3dError(f"prior file {file}: not JSON ({reason}); fetch it again") from error
    if not isinstance(content, dict):
        raise Prior3dError(f"prior file {file}: a JSON object is needed, found {type(content).__name__}")
    return content


def _all_roles(latent_channels: int) -> str:
    return ", ".join(f"{role} {latent_channels + extra}" for role, extra in EXTRA_INPUT_CHANNELS.items())
