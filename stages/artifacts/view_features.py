"""What a views prior predicts of a ring of cameras: `features.safetensors`, and `features.json` with the confidence."""

from dataclasses import dataclass
from pathlib import Path

import torch

from prior3d.cameras import Cameras
from prior3d.distillation.sparse_views import PredictedViews
from prior3d.errors import Prior3dError
from stages.artifacts.base import RUN_AGAIN, read_json, read_tensors, write_json, write_tensors


@dataclass(frozen=True)
class ViewFeatures:
    """Predictions and how far to trust them.

    Attributes:
        predicted: of the ring of cameras.
        prior_confidence: in [0, 1].
    """

    predicted: PredictedViews
    prior_confidence: float


def save_view_features(folder: Path, features: ViewFeatures) -> None:
    """Write both files."""
    predicted, cameras = features.predicted, features.predicted.cameras
    tensors = {"features": predicted.features, "colours": predicted.colours, "c2w": cameras.c2w}
    tensors["fov_deg"] = cameras.fov_deg
    if predicted.masks is not None:
        tensors["masks"] = predicted.masks
    write_tensors(folder / "features.safetensors", tensors)
    about = {"level": predicted.level, "prior_confidence": features.prior_confidence, "size": cameras.height}
    write_json(folder / "features.json", about)


def load_view_features(folder: Path, device: torch.device | str = "cpu") -> ViewFeatures:
    """Read both files; a Prior3dError says what is wrong with them."""
    path, about = folder / "features.safetensors", read_json(folder / "features.json")
    try:
        tensors = {
            name: tensor.to(device)
            for name, tensor in read_tensors(path, "features", "colours", "c2w", "fov_deg").items()
        }
        size = int(about["size"])
        cameras = Cameras(tensors["c2w"], tensors["fov_deg"], size, size)
        colours, masks = tensors["colours"], tensors.get("masks")
        predicted = PredictedViews(cameras, tensors["features"], colours, masks, float(about["level"]))
        found = ViewFeatures(predicted, float(about["prior_confidence"]))
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise Prior3dError(f"{path}: damaged, or not that of features.json ({error}). {RUN_AGAIN}") from error
    if colours.shape != (cameras.views, 3, size, size) or len(predicted.features) != cameras.views:
        raise Prior3dError(f"{path}: {tuple(colours.shape)} images of {cameras.views} cameras. {RUN_AGAIN}")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise Prior3dError(f"{path}: {name} holds a value that is not finite. {RUN_AGAIN}")
    return found


def check_view_features(folder: Path) -> None:
    """Load both files."""
    load_view_features(folder)
