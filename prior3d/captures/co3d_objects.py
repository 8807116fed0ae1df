"""Read object sequences in the layout of CO3Dv2 (Reizenstein et al. 2021), as square cut-outs with centred cameras.

    FOLDER/frame_annotations.jgz, sequence_annotations.jgz   gzipped JSON lists
    FOLDER/.. or FOLDER / {image.path, mask.path}            pictures and foreground masks

Their cameras are PyTorch3D's (x left, y up, z forward, rows times R plus T). Each cut-out is what a camera at the same
place sees that looks at the middle of the mask: a turn about the camera's centre, so it is exact, and the principal
point lies in the middle. Each sequence is moved and scaled so that its object is about the origin, in a ball of
radius 1.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.images.files import from_bytes
from prior3d.rendering.rays import local_rays

MASK_LEVEL, MARGIN = 0.4, 1.3  # a pixel is foreground above the level; the cut-out's side in sides of the mask's box
OBJECT_RADIUS = 0.95  # what half of the box's diagonal becomes, in the median over a sequence
SUPERSAMPLING = 4  # lookups along each side of a cut-out's pixel


@dataclass(frozen=True)
class ObjectSequence:
    """One object: `rgba` [n, size, size, 4] uint8 premultiplied, and its n cameras."""

    name: str
    rgba: np.ndarray
    cameras: Cameras


def read_co3d(folder: Path, size: int) -> list[ObjectSequence]:
    """Read every sequence that has at least two usable frames; frames whose mask is empty are left out.

    Args:
        folder: of one category.
        size: side of the cut-outs, in pixels.

    Raises:
        Prior3dError: annotations or pictures are missing or unreadable, or no sequence is usable.
    """
    known = {entry["sequence_name"] for entry in annotations(folder / "sequence_annotations.jgz")}
    grouped: dict[str, list[dict[str, Any]]] = {}
    for frame in annotations(folder / "frame_annotations.jgz"):
        if frame["sequence_name"] in known:
            grouped.setdefault(frame["sequence_name"], []).append(frame)
    sequences = []
    for name, frames in sorted(grouped.items()):
        views = [view for frame in frames if (view := _cut_out(folder, frame, size)) is not None]
        if len(views) >= 2:
            sequences.append(_normalised(name, views, size))
    if not sequences:
        raise Prior3dError(
            f"{folder}: none of its {len(grouped)} sequences has two frames with a foreground mask; add frames or masks"
        )
    return sequences


@dataclass(frozen=True)
class _View:
    """A cut-out: rgba [size, size, 4] in 0..1, camera-to-world (OpenGL), vertical field of view and half box angle."""

    rgba: Tensor
    c2w: Tensor
    fov_deg: float
    half_diagonal: float  # of the mask's box, at distance 1


def _cut_out(folder: Path, frame: dict[str, Any], size: int) -> _View | None:
    """One frame turned to its object, or None where its mask is empty."""
    try:
        image, mask = (_picture(folder, frame[kind]["path"]) for kind in ("image", "mask"))
        view = frame["viewpoint"]
        axes, place, focal, centre = frame_pose(view, image.shape[0], image.shape[1])
    except (KeyError, TypeError, ValueError) as error:
        raise Prior3dError(
            f"{folder}/frame_annotations.jgz: a frame of {frame.get('sequence_name')} lacks or garbles {error}; "
            "it needs image.path, mask.path and viewpoint R, T, focal_length, principal_point, intrinsics_format"
        ) from error
    mask = mask.mean(-1)
    if mask.shape != image.shape[:2]:
        raise Prior3dError(f"{folder}: mask {tuple(mask.shape)} and image {tuple(image.shape[:2])} differ in size")
    rows, columns = np.nonzero(mask > MASK_LEVEL)
    if not len(rows):
        return None
    low = torch.tensor([columns.min(), rows.min()], dtype=torch.float64)
    high = torch.tensor([columns.max() + 1, rows.max() + 1], dtype=torch.float64)
    middle = ((low + high) / 2 - centre) / focal
    back = functional.normalize(axes @ torch.tensor([-middle[0], middle[1], 1.0], dtype=torch.float64), dim=0)
    right = functional.normalize(torch.linalg.cross(axes[:, 1], back), dim=0)
    turned = torch.stack([right, torch.linalg.cross(back, right), back], dim=1)
    away = (1 + middle.square().sum()).sqrt()  # the focal length towards the middle, in focal lengths
    side = float((high - low).div(focal).max() / away)
    fov_deg = float(torch.rad2deg(2 * torch.atan(torch.tensor(MARGIN * side / 2))))
    rgba = torch.from_numpy(np.concatenate([image * mask[..., None], mask[..., None]], axis=-1))
    c2w = torch.eye(4, dtype=torch.float64)
    c2w[:3, :3], c2w[:3, 3] = turned, place
    looked_up = _warped(rgba, focal, centre, axes.T @ turned, fov_deg, size)
    return _View(looked_up, c2w, fov_deg, float((high - low).div(focal).norm() / 2 / away))


def _warped(rgba: Tensor, focal: Tensor, centre: Tensor, turn: Tensor, fov_deg: float, size: int) -> Tensor:
    """What a camera turned by `turn` (its axes in the old ones) sees, [size, size, 4]; nothing beyond the border."""
    fine = size * SUPERSAMPLING
    camera = Cameras(torch.eye(4)[None], torch.tensor([fov_deg]), fine, fine)
    rays = local_rays(camera)[0].double() @ turn.T
    ahead = (-rays[..., 2:]).clamp_min(1e-6)
    pixels = centre + torch.stack([rays[..., 0], -rays[..., 1]], dim=-1) / ahead * focal
    extent = torch.tensor([rgba.shape[1], rgba.shape[0]], dtype=torch.float64)
    grid = (pixels / extent * 2 - 1).float()[None]
    found = functional.grid_sample(rgba.float().permute(2, 0, 1)[None], grid, align_corners=False)
    return functional.avg_pool2d(found, SUPERSAMPLING)[0].permute(1, 2, 0)


def _normalised(name: str, views: list[_View], size: int) -> ObjectSequence:
    """Move the point that all cameras look at to the origin, and scale the object into its ball."""
    c2w = torch.stack([view.c2w for view in views])
    forward, places = -c2w[:, :3, 2], c2w[:, :3, 3]
    across = torch.eye(3, dtype=torch.float64) - forward[:, :, None] * forward[:, None]
    # least squares; the small pull to the cameras' mean decides where all look the same way
    pull = 1e-6 * torch.eye(3, dtype=torch.float64)
    right_side = (across @ places[..., None]).mean(0) + pull @ (places + forward).mean(0)[:, None]
    centre = torch.linalg.solve(across.mean(0) + pull, right_side)[:, 0]
    distances = (places - centre).norm(dim=-1)
    radius = (distances * torch.tensor([view.half_diagonal for view in views], dtype=torch.float64)).median()
    c2w[:, :3, 3] = (places - centre) * (OBJECT_RADIUS / radius)
    fov_deg = torch.tensor([view.fov_deg for view in views])
    rgba = torch.stack([view.rgba for view in views]).mul(255).round().clamp(0, 255).byte().numpy()
    return ObjectSequence(name, rgba, Cameras(c2w.float(), fov_deg, size, size))


def frame_pose(view: dict[str, Any], height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A frame's viewpoint in our convention.

    Args:
        view: the annotation's `viewpoint`.
        height: of the picture.
        width: of the picture.

    Returns:
        [3, 3] OpenGL's x, y, z in the sequence's world as columns; [3] the camera's place there; focal lengths and
        principal point (x, y), in pixels from the top left corner. float64.
    """
    rotation, translation = (torch.tensor(view[key], dtype=torch.float64) for key in ("R", "T"))
    axes = rotation * torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64)
    return axes, -rotation @ translation, *_pixels(view, height, width)


def _pixels(view: dict[str, Any], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Focal lengths and principal point (x, y), in pixels from the top left corner."""
    kind = view.get("intrinsics_format", "ndc_norm_image_bounds")
    half = torch.tensor([width, height], dtype=torch.float64) / 2
    if kind not in ("ndc_norm_image_bounds", "ndc_isotropic"):
        raise Prior3dError(
            f"viewpoint: intrinsics_format {kind!r}; only ndc_norm_image_bounds and ndc_isotropic are known"
        )
    unit = half if kind == "ndc_norm_image_bounds" else half.min().expand(2)
    focal, point = (torch.tensor(view[key], dtype=torch.float64) for key in ("focal_length", "principal_point"))
    return focal * unit, half - point * unit  # NDC axes point left and up


def _picture(folder: Path, path: str) -> np.ndarray:
    """[height, width, 3] in 0..1."""
    return from_bytes(file_of(folder, path).read_bytes())


def file_of(folder: Path, path: str) -> Path:
    """Where a file lies: its path starts at the folder or, as in CO3Dv2, at the folder above, whatever its name is.

    Raises:
        Prior3dError: it is at neither place.
    """
    inside = Path(*Path(path).parts[1:])  # a category that was copied has another folder above, and maybe another name
    for file in (folder / path, folder / inside, folder.parent / path):
        if file.is_file():
            return file
    raise Prior3dError(f"{folder}: {path} is named in frame_annotations.jgz but missing; restore it")


def annotations(file: Path) -> list[dict[str, Any]]:
    """A gzipped JSON list of objects."""
    try:
        content = json.loads(gzip.decompress(file.read_bytes()))
    except (OSError, EOFError, ValueError) as error:
        raise Prior3dError(
            f"{file}: cannot be read ({str(error) or 'cut off'}); give a category's folder in CO3Dv2's layout"
        ) from error
    if not isinstance(content, list) or not all(isinstance(e, dict) and "sequence_name" in e for e in content):
        raise Prior3dError(f"{file}: a list of entries with sequence_name is needed; fetch it again")
    return content
