"""Checkpoints: tensors and a small state in one safetensors file; a kill leaves the old one or the new one, whole.

Each holds a digest of itself: a stage is never resumed from bits that a disk turned over.
"""

import json
from pathlib import Path
from typing import Any

from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from prior3d.errors import Prior3dError
from prior3d.files import write_or_explain
from prior3d.limits import parse_json
from prior3d.seals import CHECKPOINT, FIELD, UNSEALED, UNSEALED_CHECKPOINT, header, is_whole, sealed


def save(path: Path, tensors: dict[str, Shaped[Tensor, "..."]], state: dict[str, Any]) -> None:
    """Save tensors (any dtype, any device) and a JSON-able state, atomically.

    Raises:
        Prior3dError: the file cannot be written (disk full, read-only). The previous checkpoint is untouched.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    metadata = {"format": CHECKPOINT, "state": json.dumps(state), FIELD: UNSEALED}
    write_or_explain(path, sealed(safetensors_bytes(plain, metadata=metadata)))


def load(path: Path) -> tuple[dict[str, Shaped[Tensor, "..."]], dict[str, Any]] | None:
    """Load (tensors on the CPU, state), or None when there is no file.

    Raises:
        Prior3dError: the file is truncated, damaged, or not a checkpoint of this project.
    """
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        metadata = header(content).get("__metadata__") or {}
        _check(path, metadata.get("format"), is_whole(content))
        state = parse_json(metadata["state"])
        if not isinstance(state, dict):
            raise ValueError(f"its state is a JSON {type(state).__name__}")
        return load_tensors(content), state
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise Prior3dError(f"{path}: not a whole checkpoint ({error}). Delete it to begin this stage again.") from error


def _check(path: Path, found: object, whole: bool | None) -> None:
    if found not in (CHECKPOINT, UNSEALED_CHECKPOINT):
        raise Prior3dError(
            f"{path}: checkpoint format {found!r}, expected {CHECKPOINT!r}. Delete it to begin this stage again."
        )
    if whole is False or (whole is None and found == CHECKPOINT):
        raise Prior3dError(f"{path}: damaged, its digest is another. Delete it to begin this stage again.")
