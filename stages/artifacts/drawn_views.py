"""Views of one object that a prior drew, behind images that it was given: `views.safetensors`, `views.json`."""

from dataclasses import dataclass
from pathlib import Path

import torch

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.reconstruction.input_views import InputViews
from stages.artifacts.base import RUN_AGAIN, read_json, read_tensors, write_json, write_tensors

TENSORS = ("colours", "masks", "weights", "c2w", "fov_deg")


@dataclass(frozen=True)
class ViewsOfObject:
    """Views with masks, all of one size.

    Attributes:
        views: given images first, mirror images among them, then drawn ones.
        n_given: how many are given.
    """

    views: InputViews
    n_given: int


def save_drawn_views(folder: Path, found: ViewsOfObject) -> None:
    """Write both files.

    Raises:
        Prior3dError: the views have no masks.
    """
    views = found.views
    if views.masks is None:
        raise Prior3dError(f"{folder}: the views have no masks; give images with alpha or masks")
    tensors = {"colours": views.colours, "masks": views.masks, "weights": views.weights}
    write_tensors(folder / "views.safetensors", tensors | {"c2w": views.cameras.c2w, "fov_deg": views.cameras.fov_deg})
    write_json(folder / "views.json", {"n_given": found.n_given})


def load_drawn_views(folder: Path, device: torch.device | str = "cpu") -> ViewsOfObject:
    """Read both files; a Prior3dError says what is wrong with them."""
    path = folder / "views.safetensors"
    tensors = {name: tensor.to(device) for name, tensor in read_tensors(path, *TENSORS).items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise Prior3dError(f"{path}: {name} holds a value that is not finite. {RUN_AGAIN}")
    colours, masks, weights = (tensors[name] for name in TENSORS[:3])
    n_given = read_json(folder / "views.json").get("n_given")
    if not isinstance(n_given, int) or not 0 <= n_given <= len(colours):
        raise Prior3dError(f"{folder / 'views.json'}: n_given is {n_given!r} of {len(colours)} views. {RUN_AGAIN}")
    cameras = Cameras(tensors["c2w"], tensors["fov_deg"], *masks.shape[-2:])
    shape = (cameras.views, *masks.shape[-2:])
    if colours.ndim != 4 or (len(colours), *colours.shape[2:]) != shape or not masks.shape == weights.shape == shape:
        raise Prior3dError(f"{path}: images {tuple(colours.shape)}, masks {tuple(masks.shape)}. {RUN_AGAIN}")
    return ViewsOfObject(InputViews(colours, masks, weights, cameras), n_given)


def check_drawn_views(folder: Path) -> None:
    """Load both files."""
    load_drawn_views(folder)
