"""Load one network of a diffusers folder, from local safetensors files only, and refuse what is not whole."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from prior3d.diffusion.folders import weight_files
from prior3d.errors import Prior3dError


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
    except Exception as error:  # diffusers and transformers raise many kinds on damaged files
        raise Prior3dError(f"prior component {folder}: cannot be loaded: {one_line(error)}") from error
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
    from transformers.utils import logging  # seconds to import, and only loading needs it

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def one_line(error: Exception) -> str:
    """The first line of an error's text, for use inside another message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
