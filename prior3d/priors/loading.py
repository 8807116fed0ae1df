"""Open a text-to-image prior: any diffusers StableDiffusionPipeline folder, from local safetensors files only."""

import contextlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from prior3d.errors import Prior3dError
from prior3d.priors.text_to_image import TextToImagePrior

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHT_STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
EXTRA_INPUT_CHANNELS = {"text_to_image": 0, "inpainting": 5, "instruct": 4}  # beyond the latent's own channels
PICKLE_SUFFIXES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}
LARGEST_HEADER_BYTES = 100_000_000  # the safetensors format's own limit


def load_text_to_image(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> TextToImagePrior:
    """Load a frozen text-to-image prior (SD 1.x or 2.x layout, epsilon- or v-prediction, of any width).

    Args:
        folder: a diffusers pipeline folder with safetensors weights; nothing is ever fetched or unpickled.
        device: where the networks go.
        dtype: the networks' precision; what the prior takes and returns is float32 whatever it is.

    Raises:
        Prior3dError: as `check_prior_folder`, and if a weight is missing, misshapen, superfluous or not finite.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    folder = Path(folder)
    check_prior_folder(folder, "text_to_image")
    networks = {}
    for name, network_class in (
        ("unet", UNet2DConditionModel),
        ("vae", AutoencoderKL),
        ("text_encoder", CLIPTextModel),
    ):
        networks[name] = _load_network(network_class, folder / name, name, dtype).to(device)
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Prior3dError(
            f"prior {folder}: cannot read tokenizer/: {_one_line(error)}; restore that folder"
        ) from error
    text_configuration: Any = networks["text_encoder"].config
    n_embedded = text_configuration.vocab_size
    if len(tokenizer) > n_embedded:
        raise Prior3dError(
            f"prior {folder}: tokenizer/ has {len(tokenizer)} words, but text_encoder/ knows {n_embedded}; "
            "they are from different models"
        )
    scheduler = DDIMScheduler.from_config(_read_json(folder / "scheduler" / "scheduler_config.json"))
    return TextToImagePrior(**networks, tokenizer=tokenizer, scheduler=scheduler)


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
    _read_json(folder / "model_index.json")
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
    _check_channels(folder, role)


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
            return [folder / name for name in sorted(set(_read_json(index)["weight_map"].values()))], variant
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise Prior3dError(
            f"prior component {folder}: its weights are pickle files ({', '.join(pickles[:3])}), which can run code "
            f"and are never opened; convert them to {stem}.safetensors"
        )
    raise Prior3dError(f"prior component {folder}: there is no {stem}.safetensors; complete the folder")


def check_safetensors(file: Path) -> None:
    """Compare a safetensors file's size with what its header promises, so that a torn download is found before a run.

    Raises:
        Prior3dError: the file is missing, is no safetensors file, or is shorter or longer than its header says.
    """
    if not file.is_file():
        raise Prior3dError(f"weights {file}: the file is missing; fetch it again")
    size_bytes = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(8)
        header_bytes = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= header_bytes <= min(LARGEST_HEADER_BYTES, max(size_bytes - 8, 0)):
            raise Prior3dError(
                f"weights {file}: not a safetensors file, or cut off ({size_bytes} bytes); fetch it again"
            )
        try:
            header = json.loads(stream.read(header_bytes))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise Prior3dError(f"weights {file}: its safetensors header is unreadable; fetch it again") from error
    expected_bytes = 8 + header_bytes + max(ends, default=0)
    if size_bytes != expected_bytes:
        raise Prior3dError(
            f"weights {file}: {size_bytes} bytes found, but its header promises {expected_bytes}; fetch it again"
        )


def _check_channels(folder: Path, role: str) -> None:
    """Hold the UNet's input against the role, and its cross-attention against the text encoder."""
    unet, vae, text = (_read_json(folder / name / "config.json") for name in ("unet", "vae", "text_encoder"))
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


def _load_network(network_class: Any, folder: Path, component: str, dtype: torch.dtype) -> torch.nn.Module:
    """Load, freeze and check one network; diffusers would fill missing weights with random ones, we refuse."""
    _, variant = weight_files(folder, component)
    options = {"dtype": dtype} if component == "text_encoder" else {"torch_dtype": dtype}
    try:
        with without_progress_bars():
            network, report = network_class.from_pretrained(
                str(folder),
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise Prior3dError(f"prior component {folder}: cannot be loaded: {_one_line(error)}") from error
    missing = sorted(name for name in report["missing_keys"] if not name.endswith("position_ids"))
    unexpected = sorted(name for name in report["unexpected_keys"] if not name.endswith("position_ids"))
    for problem, names in (("lack", missing), ("do not belong to it:", unexpected)):
        if names:
            raise Prior3dError(
                f"prior component {folder}: weights {problem} {names[0]} ({len(names)} such); config.json and the "
                "weights are from different models"
            )
    for name, tensor in network.named_parameters():
        if not torch.isfinite(tensor).all():
            raise Prior3dError(
                f"prior component {folder}: {name} holds values that are not finite; fetch or train it again"
            )
    return network.requires_grad_(False).eval()


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Transformers draws one for each network, which is over before it can be read."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object, with an error that names the file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Prior3dError(f"prior file {file}: cannot be read ({error.strerror}); complete the folder") from error
    except ValueError as error:
        raise Prior3dError(f"prior file {file}: not JSON ({_one_line(error)}); fetch it again") from error
    if not isinstance(content, dict):
        raise Prior3dError(f"prior file {file}: a JSON object is needed, found {type(content).__name__}")
    return content


def _one_line(error: Exception) -> str:
    """The first line of an error's text, for use inside another message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
