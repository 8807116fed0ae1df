"""Gaussian splats on disk, a form of a field: `field.json` says what they are, `field.safetensors` holds the tensors.

The cameras that the splats were fitted to lie with them: a mesh is made of what those see. `drawn_by` is a digest of
the code that draws them: see `stages/artifacts/drawing_code.py`.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.splats.field import SplatsField
from prior3d.splats.model import NAMES, Splats, SplatsConfig
from stages.artifacts.base import RUN_AGAIN, read_json, read_tensors, write_json, write_tensors
from stages.artifacts.drawing_code import digest_of_code


def save_splats(folder: Path, field: SplatsField) -> None:
    """Write splats and their cameras.

    Raises:
        Prior3dError: a value is not finite.
    """
    _check_finite(folder, field)
    cameras = {"cameras.c2w": field.cameras.c2w, "cameras.fov_deg": field.cameras.fov_deg}
    write_tensors(folder / "field.safetensors", dict(field.splats.state_dict()) | cameras)
    size = {"height": field.cameras.height, "width": field.cameras.width}
    write_json(folder / "field.json", {**asdict(field.config), "cameras": size, "drawn_by": digest_of_code()})


def load_splats(folder: Path, device: torch.device | str = "cpu") -> SplatsField:
    """Read splats.

    Raises:
        Prior3dError: a file is missing, truncated or unreadable, or the two do not fit each other.
    """
    path = folder / "field.json"
    described = read_json(path)
    tensors = read_tensors(folder / "field.safetensors", *NAMES, "cameras.c2w", "cameras.fov_deg")
    try:
        size = described.pop("cameras")
        described.pop("drawn_by", None)  # splats of earlier versions lack it
        config = TypeAdapter(SplatsConfig).validate_python(described)
        if len(tensors["means"]) != config.n_splats:  # before as many take memory
            raise ValueError(f"{len(tensors['means'])} Gaussians, {config.n_splats} in field.json")
        splats = Splats(config)
        splats.load_state_dict({name: tensors[name] for name in NAMES})
        shape = int(size["height"]), int(size["width"])
        cameras = Cameras(tensors["cameras.c2w"], tensors["cameras.fov_deg"], *shape)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise Prior3dError(f"{path}: {where}: {problem['msg']}. {RUN_AGAIN}") from error
    except (RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise Prior3dError(f"{path}: damaged, or not that of field.safetensors ({reason}). {RUN_AGAIN}") from error
    return SplatsField(splats.to(device), cameras.to(device))


def check_splats(folder: Path) -> None:
    """Load the splats and look for values that are not finite."""
    _check_finite(folder, load_splats(folder))


def _check_finite(folder: Path, field: SplatsField) -> None:
    for name in NAMES:
        if not getattr(field.splats, name).isfinite().all():
            raise Prior3dError(
                f"{folder}: {name} of the splats is not finite. Lower scene_fit.splats.rates and run it again."
            )
