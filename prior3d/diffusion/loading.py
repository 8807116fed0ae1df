"""Open a prior: any folder of a Stable-Diffusion-shaped diffusers pipeline, from local safetensors files only."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from prior3d.diffusion.inpainting import InpaintingPrior
from prior3d.diffusion.instruct import InstructPrior
from prior3d.diffusion.latent_diffusion import LatentDiffusion
from prior3d.diffusion.prompt_encoder import PromptEncoder
from prior3d.diffusion.roles import EXTRA_INPUT_CHANNELS, check_channels, read_json
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.diffusion.weights import check_safetensors
from prior3d.errors import Prior3dError

COMPONENTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
WEIGHT_STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
PICKLE_SUFFIXES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}


def load_text_to_image(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> TextToImagePrior:
    """Load a frozen text-to-image prior (SD 1.x or 2.x layout, epsilon- or v-prediction, of any width).

    Args:
        folder: a diffusers pipeline folder with safetensors weights; nothing is ever fetched or unpickled.
        device: where the networks go.
        dtype: the networks' precision; what the prior takes and returns is float32 whatever it is.

    Raises:
        Prior3dError: as `check_prior_folder`, and if a weight is missing, misshapen, superfluous or not finite.
    """
    return TextToImagePrior(_load(Path(folder), "text_to_image", device, dtype))


def load_inpainting(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> InpaintingPrior:
    """Load a frozen inpainting prior: a StableDiffusionInpaintPipeline folder. All else as `load_text_to_image`."""
    return InpaintingPrior(_load(Path(folder), "inpainting", device, dtype))


def load_instruct(folder: Path, device: torch.device, dtype: torch.dtype = torch.float32) -> InstructPrior:
    """Load a frozen InstructPix2Pix prior: that pipeline's folder. All else as `load_text_to_image`."""
    return InstructPrior(_load(Path(folder), "instruct", device, dtype))


def _load(folder: Path, role: str, device: torch.device, dtype: torch.dtype) -> LatentDiffusion:
    """The networks of a folder of that role, checked and frozen; convolutions lie channels-last, which is faster."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    check_prior_folder(folder, role)
    unet = load_network(UNet2DConditionModel, folder / "unet", "unet", dtype).to(device)
    vae = load_network(AutoencoderKL, folder / "vae", "vae", dtype).to(device)
    text_encoder = load_network(CLIPTextModel, folder / "text_encoder", "text_encoder", dtype).to(device)
    unet, vae = (network.to(memory_format=torch.channels_last) for network in (unet, vae))
    try:
        tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"), local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Prior3dError(
            f"prior {folder}: cannot read tokenizer/: {_one_line(error)}; restore that folder"
        ) from error
    n_embedded = text_encoder.config.vocab_size
    if len(tokenizer) > n_embedded:
        raise Prior3dError(
            f"prior {folder}: tokenizer/ has {len(tokenizer)} words, but text_encoder/ knows {n_embedded}; "
            "they are from different models"
        )
    scheduler = DDIMScheduler.from_config(read_json(folder / "scheduler" / "scheduler_config.json"))
    return LatentDiffusion(unet=unet, vae=vae, scheduler=scheduler, prompts=PromptEncoder(text_encoder, tokenizer))


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
            return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))], variant
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise Prior3dError(
            f"prior component {folder}: its weights are pickle files ({', '.join(pickles[:3])}), which can run code "
            f"and are never opened; convert them to {stem}.safetensors"
        )
    raise Prior3dError(f"prior component {folder}: there is no {stem}.safetensors; complete the folder")


def load_network(network_class: Any, folder: Path, component: str, dtype: torch.dtype) -> Any:
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


def _one_line(error: Exception) -> str:
    """The first line of an error's text, for use inside another message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
