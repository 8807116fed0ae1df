"""Read categories in the layout of CO3Dv2 (Reizenstein et al. 2021) as captures with masks.

    FOLDER/frame_annotations.jgz, sequence_annotations.jgz   gzipped JSON lists
    FOLDER / {image.path, mask.path}                         images and foreground masks; in CO3Dv2 the paths begin
                                                             with the category, which is FOLDER itself

Their cameras are PyTorch3D's (x left, y up, z forward, rows times R plus T).
"""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.captures.capture import (
    Capture,
    Frame,
    Intrinsics,
    checked_intrinsics,
    checked_pose,
    image_size,
)
from prior3d.errors import Prior3dError
from prior3d.inside import named_file
from prior3d.limits import parse_json, unpack_gzip
from prior3d.suggestions import did_you_mean

FRAMES, SEQUENCES = "frame_annotations.jgz", "sequence_annotations.jgz"


def is_co3d(folder: Path) -> bool:
    """Whether a folder is one of a CO3Dv2 category."""
    return (folder / FRAMES).is_file()


def read_co3d_sequence(folder: Path, sequence: str = "") -> Capture:
    """Read the cameras of one sequence; no image is decoded.

    Args:
        folder: of the category.
        sequence: its name; empty: the only one there is.

    Raises:
        Prior3dError: annotations or images are missing or unreadable, or which sequence is meant is not clear.
    """
    grouped = _frames_by_sequence(folder)
    names = sorted(grouped)
    if not sequence and len(names) == 1:
        sequence = names[0]
    if sequence not in grouped:
        known = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
        hint = did_you_mean(sequence, names, f"it has {known}", str)
        raise Prior3dError(f"{folder}: which sequence? --set view_preparation.sequence=NAME; {hint}")
    return _capture(folder, grouped[sequence])


def read_co3d_sequences(folder: Path) -> dict[str, Capture]:
    """Read the cameras of every sequence that `sequence_annotations.jgz` names; no image is decoded.

    Returns:
        The captures by the sequence's name, in the order of the names.

    Raises:
        Prior3dError: annotations or images are missing or unreadable.
    """
    known = {str(entry["sequence_name"]) for entry in annotations(folder / SEQUENCES)}
    grouped = _frames_by_sequence(folder)
    return {name: _capture(folder, grouped[name]) for name in sorted(grouped) if name in known}


def _frames_by_sequence(folder: Path) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for frame in annotations(folder / FRAMES):
        grouped.setdefault(str(frame["sequence_name"]), []).append(frame)
    return grouped


def _capture(folder: Path, frames: list[dict[str, Any]]) -> Capture:
    try:
        ordered = sorted(frames, key=lambda frame: int(frame.get("frame_number", 0)))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Prior3dError(f"{folder / FRAMES}: a frame_number is no number ({error}); fetch it again") from None
    return Capture(folder, "co3d", tuple(_frame(folder, frame) for frame in ordered))


def _frame(folder: Path, frame: dict[str, Any]) -> Frame:
    where = f"{folder / FRAMES}, sequence {frame['sequence_name']}"
    try:
        image, mask = (file_of(folder, frame[kind]["path"]) for kind in ("image", "mask"))
        width, height = image_size(image, where)
        rotation, position, focal, centre = frame_pose(frame["viewpoint"], height, width)
        c2w = torch.cat([rotation, position[:, None]], dim=1)
        (fx, fy), (cx, cy) = focal.tolist(), centre.tolist()
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise Prior3dError(
            f"{where}: a frame lacks or garbles {str(error)[:80]}; it needs image.path, mask.path and viewpoint R, T, "
            "focal_length, principal_point, intrinsics_format: fetch the annotations again"
        ) from error
    if image_size(mask, where) != (width, height):
        raise Prior3dError(f"{mask}: it has another size than its image {image.name}; fetch both again")
    where = f"{where}, frame {image.name}"
    intrinsics = checked_intrinsics(Intrinsics(width, height, fx, fy, cx, cy), where)
    return Frame(image, checked_pose(c2w, where), intrinsics, mask, soft_mask=True)


def frame_pose(
    view: dict[str, Any], height: int, width: int
) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3"], Float[Tensor, "2"], Float[Tensor, "2"]]:
    """A frame's viewpoint in our convention.

    Args:
        view: the annotation's `viewpoint`.
        height: of the image, in pixels.
        width: of the image, in pixels.

    Returns:
        [3, 3] OpenGL's x, y, z in the sequence's world as columns; [3] the camera's position there; focal lengths and
        principal point (x, y), in pixels from the top left corner. float64.

    Raises:
        Prior3dError: the format of the intrinsics is not known.
    """
    rotation, translation = (torch.tensor(view[key], dtype=torch.float64) for key in ("R", "T"))
    axes = rotation * torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64)
    return axes, -rotation @ translation, *_intrinsics(view, height, width)


def _intrinsics(view: dict[str, Any], height: int, width: int) -> tuple[Tensor, Tensor]:
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


def file_of(folder: Path, path: str) -> Path:
    """Where a file lies: its path starts at the folder or, as in CO3Dv2, at the folder above, whatever that is called.

    Raises:
        Prior3dError: it is at neither place, or not in the folder.
    """
    whole = Path(path)
    below = [] if whole.is_absolute() or len(whole.parts) < 2 else [str(Path(*whole.parts[1:]))]
    for name in (path, *below):
        file = named_file(folder, name, str(folder / FRAMES))
        if file.is_file():
            return file
    raise Prior3dError(f"{folder}: {path} is named in {FRAMES} but missing; restore it")


def annotations(file: Path) -> list[dict[str, Any]]:
    """A gzipped JSON list of objects.

    Raises:
        Prior3dError: the file is missing, cut off or holds something else.
    """
    try:
        content = parse_json(unpack_gzip(file))
    except (OSError, ValueError) as error:
        raise Prior3dError(
            f"{file}: cannot be read ({str(error)[:120]}); give a category's folder in CO3Dv2's layout"
        ) from error
    if not isinstance(content, list) or not all(isinstance(e, dict) and "sequence_name" in e for e in content):
        raise Prior3dError(f"{file}: a list of entries with sequence_name is needed; fetch it again")
    return content
