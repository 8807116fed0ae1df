"""What a prior's folder holds and can serve as, told without reading a tensor; nothing here imports torch."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from prior3d.errors import Prior3dError
from prior3d.inside import resolved_inside
from prior3d.limits import read_json as read_limited_json

EXTRA_INPUT_CHANNELS = {"text_to_image": 0, "inpainting": 5, "instruct": 4}  # beyond the latent's own channels
VIEWS_CLASS = "ViewsPrior"
COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHT_STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
PICKLE_SUFFIXES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}


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
    inputs, latents = _number(folder / "unet", "in_channels"), _number(folder / "vae", "latent_channels")
    extra = inputs - latents
    for role, channels in EXTRA_INPUT_CHANNELS.items():
        if channels == extra:
            return role
    raise Prior3dError(
        f"prior {folder}: its UNet takes {inputs} channels, which is no known role: {_all_roles(latents)}"
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
    unet, text = (read_json(folder / name / "config.json") for name in ("unet", "text_encoder"))
    latent_channels = _number(folder / "vae", "latent_channels")
    found, expected = _number(folder / "unet", "in_channels"), latent_channels + EXTRA_INPUT_CHANNELS[role]
    if found != expected:
        names = {latent_channels + extra: name for name, extra in EXTRA_INPUT_CHANNELS.items()}
        raise Prior3dError(
            f"prior {folder}: its UNet takes {found} channels ({names.get(found, 'no known role')}), but {role} needs "
            f"{expected}; give a prior made for {role}"
        )
    width = unet.get("cross_attention_dim")
    inner = text.get("text_config")
    text_width = text.get("hidden_size", inner.get("hidden_size") if isinstance(inner, dict) else None)
    if width != text_width:
        raise Prior3dError(
            f"prior {folder}: the UNet attends to {width}-wide text, but text_encoder/ makes {text_width}-wide text; "
            "the two are from different models (or it is a pipeline with several text encoders, which is not supported)"
        )


def check_prior_folder(folder: Path, role: str) -> None:
    """Check that a folder can serve as a prior, without loading a tensor: cheap enough to do before anything runs.

    Args:
        folder: a diffusers pipeline folder.
        role: `text_to_image`, `inpainting` (mask and masked latents as further input) or `instruct` (InstructPix2Pix).

    Raises:
        Prior3dError: folder or component missing, weights only pickled or truncated, a UNet of another role.
    """
    folder = Path(folder)
    if role not in EXTRA_INPUT_CHANNELS:
        raise Prior3dError(f"prior role {role!r} is unknown; it is one of {', '.join(EXTRA_INPUT_CHANNELS)}")
    if not folder.is_dir():
        raise Prior3dError(
            f"prior {folder}: no such folder; give --prior a diffusers pipeline folder or a prior's name"
        )
    if not (folder / "model_index.json").is_file():
        raise Prior3dError(f"prior {folder}: it has no model_index.json, so it is not a diffusers pipeline folder")
    read_json(folder / "model_index.json")
    missing = [name for name in COMPONENTS if not (folder / name).is_dir()]
    if missing:
        raise Prior3dError(f"prior {folder}: it lacks {', '.join(m + '/' for m in missing)}; complete the folder")
    words = folder / "tokenizer"  # without its files transformers makes an empty vocabulary and says nothing
    if not (words / "tokenizer.json").is_file() and not all(
        (words / f).is_file() for f in ("vocab.json", "merges.txt")
    ):
        raise Prior3dError(
            f"prior {folder}: tokenizer/ lacks tokenizer.json, or vocab.json and merges.txt; complete it"
        )
    for name in WEIGHT_STEMS:
        for file in weight_files(folder / name, name)[0]:
            check_safetensors(file)
    check_channels(folder, role)


def weight_files(folder: Path, component: str) -> tuple[list[Path], str | None]:
    """Find one complete set of safetensors weights of a component.

    Returns:
        (files, variant): the shards, usually one file; variant is None or "fp16", as in diffusers' file names.
    """
    stem = WEIGHT_STEMS[component]
    for variant, infix in ((None, ""), ("fp16", ".fp16")):
        if (single := folder / f"{stem}{infix}.safetensors").is_file():
            return [single], variant
        if (index := folder / f"{stem}.safetensors.index{infix}.json").is_file():
            return _shards(folder, index), variant
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise Prior3dError(
            f"prior component {folder}: its weights are pickle files ({', '.join(pickles[:3])}), which can run code "
            f"and are never opened; convert them to {stem}.safetensors"
        )
    raise Prior3dError(f"prior component {folder}: there is no {stem}.safetensors; complete the folder")


def _shards(folder: Path, index: Path) -> list[Path]:
    """The files that an index of shards names (raises Prior3dError): all of them in the index's own folder."""
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise Prior3dError(f"prior file {index}: weight_map must name a file for each tensor; fetch it again")
    for name in set(names.values()):
        resolved_inside(folder, name, str(index), "complete the folder")
    return [folder / name for name in sorted(set(names.values()))]


def check_safetensors(file: Path) -> None:
    """Check that a safetensors file is as long as its header says, so that a torn download is found before a run.

    No tensor is read.

    Raises:
        Prior3dError: the file is missing, is no safetensors file, or is shorter or longer than its header says.
    """
    if not file.is_file():
        raise Prior3dError(f"weights {file}: the file is missing; fetch or copy it again")
    try:
        with safe_open(file, framework="numpy"):
            return
    except (SafetensorError, OSError) as error:
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise Prior3dError(
            f"weights {file}: {file.stat().st_size} bytes, which are not a whole safetensors file ({reason}); "
            "fetch or copy it again"
        ) from None


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object, with an error that names the file (raises Prior3dError)."""
    try:
        content = read_limited_json(file)
    except OSError as error:
        raise Prior3dError(f"prior file {file}: cannot be read ({error.strerror}); complete the folder") from error
    except ValueError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise Prior3dError(f"prior file {file}: not JSON ({reason}); fetch it again") from error
    if not isinstance(content, dict):
        raise Prior3dError(f"prior file {file}: a JSON object is needed, found {type(content).__name__}")
    return content


def _number(component: Path, key: str) -> int:
    """A number of channels in a component's config.json; 4 where it says none (raises Prior3dError)."""
    value = read_json(component / "config.json").get(key, 4)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Prior3dError(f"prior file {component / 'config.json'}: {key} is {str(value)[:40]!r}, not a whole number")
    return value


def _all_roles(latent_channels: int) -> str:
    return ", ".join(f"{role} {latent_channels + extra}" for role, extra in EXTRA_INPUT_CHANNELS.items())
