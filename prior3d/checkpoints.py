"""Checkpoints: tensors and a small state in one safetensors file; a kill leaves the old one or the new one, whole."""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from prior3d.errors import Prior3dError
from prior3d.files import write_or_explain
from prior3d.limits import parse_json

FORMAT = "prior3d-checkpoint-1"


def save(path: Path, tensors: dict[str, Shaped[Tensor, "..."]], state: dict[str, Any]) -> None:
    """Save tensors (any dtype, any device) and a JSON-able state, atomically.

    Raises:
        Prior3dError: the file cannot be written (disk full, read-only). The previous checkpoint is untouched.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "state": json.dumps(state)}
    write_or_explain(path, safetensors_bytes(plain, metadata=metadata))


def load(path: Path) -> tuple[dict[str, Shaped[Tensor, "..."]], dict[str, Any]] | None:
    """Load (tensors on the CPU, state), or None when there is no file.

    Raises:
        Prior3dError: the file is truncated or is not a checkpoint of this project.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise Prior3dError(f"{path}: not a whole checkpoint ({error}). Delete it to begin this stage again.") from error
    if metadata.get("format") != FORMAT:
        found = metadata.get("format")
        raise Prior3dError(
            f"{path}: checkpoint format {found!r}, expected {FORMAT!r}. Delete it to begin this stage again."
        )
    try:
        state = parse_json(metadata["state"])
        if not isinstance(state, dict):
            raise ValueError(f"a JSON {type(state).__name__}")
    except (KeyError, ValueError) as error:
        raise Prior3dError(f"{path}: its state is damaged ({error}). Delete it to begin this stage again.") from None
    return tensors, state
