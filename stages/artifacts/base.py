"""What every artifact has and every reader shares: files, JSON objects, tensors, metrics, the advice of an error."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from prior3d.errors import Prior3dError
from prior3d.files import write_or_explain
from prior3d.limits import parse_json

RUN_AGAIN = "Run the stage that makes it again."


def read_file(path: Path) -> bytes:
    """The content of a file that must be there and not empty.

    Raises:
        Prior3dError: it is missing or empty.
    """
    if not path.is_file():
        raise Prior3dError(f"{path}: there is no such file. {RUN_AGAIN}")
    content = path.read_bytes()
    if not content:
        raise Prior3dError(f"{path}: the file is empty. {RUN_AGAIN}")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        Prior3dError: the file is missing, or holds something else.
    """
    try:
        found = parse_json(read_file(path))
    except ValueError as error:
        raise Prior3dError(f"{path}: not JSON ({error}). {RUN_AGAIN}") from error
    if not isinstance(found, dict):
        raise Prior3dError(f"{path}: found a JSON {type(found).__name__}, expected an object. {RUN_AGAIN}")
    return found


def write_json(path: Path, content: dict[str, Any], indent: int = 2) -> None:
    """Write a JSON object, whole or not at all."""
    write_or_explain(path, json.dumps(content, indent=indent) + "\n")


def load_metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """Read `metrics.json`: name to {value, unit, n, higher_is_better}; a Prior3dError says what is wrong with it."""
    path = folder / "metrics.json"
    metrics = read_json(path)
    for name, entry in metrics.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("value"), int | float):
            raise Prior3dError(
                f"{path}: {name}: found {entry!r}, expected an object with a number 'value'. {RUN_AGAIN}"
            )
        if not abs(entry["value"]) < float("inf"):  # which math.isfinite cannot say of any whole number
            raise Prior3dError(f"{path}: {name} is {entry['value']}, not a finite number. {RUN_AGAIN}")
    return metrics


def read_tensors(path: Path, *names: str) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Args:
        path: the file.
        names: tensors that must be in it.

    Raises:
        Prior3dError: the file is missing or damaged, or one of the names is not in it.
    """
    try:
        tensors = load(read_file(path))
    except SafetensorError as error:
        raise Prior3dError(f"{path}: damaged ({error}). {RUN_AGAIN}") from error
    for name in names:
        if name not in tensors:
            raise Prior3dError(f"{path}: damaged ({name!r} is missing). {RUN_AGAIN}")
    return tensors


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors as a safetensors file, whole or not at all."""
    write_or_explain(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
