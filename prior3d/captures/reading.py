"""Read a capture: transforms.json of nerfstudio or instant-ngp, the Blender layout, or COLMAP's sparse model."""

import math
from pathlib import Path
from typing import Any

from prior3d.capture_files import ENDINGS, TRANSFORMS, no_capture, portable, read_cameras_file
from prior3d.captures.capture import (
    Capture,
    Frame,
    Intrinsics,
    checked_intrinsics,
    checked_pose,
    fitted_to_image,
    image_header,
    image_size,
    natural_order,
    size_and_turn,
)
from prior3d.captures.colmap import colmap_model, read_colmap
from prior3d.captures.point_file import named_points
from prior3d.errors import Prior3dError
from prior3d.images.opening import MAX_PIXELS
from prior3d.inside import named_file

PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
UNKNOWN_DISTORTION = ("k4", "k5", "k6")


def read_capture(folder: Path, transforms: str = "") -> Capture:
    """Read the cameras of a capture, and look at the header of every image; no image is decoded.

    Args:
        folder: holds transforms.json, or transforms_train.json, or COLMAP's sparse/0 and images.
        transforms: path of another file in it, e.g. transforms_test.json.

    Raises:
        Prior3dError: there is no capture, or something in it is missing, unreadable or impossible; says what and where.
    """
    names = (transforms,) if transforms else TRANSFORMS
    for name in names:
        if named_file(folder, name, "the parameter transforms" if transforms else "the layout").is_file():
            return read_transforms(folder / name)
    model = colmap_model(folder)
    if model is not None and not transforms:
        return read_colmap(folder, model)
    raise no_capture(folder, transforms)


def read_transforms(file: Path) -> Capture:
    """Read a transforms.json; intrinsics may stand at the top or in each frame."""
    content = read_cameras_file(file)
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise Prior3dError(f"{file}: 'frames' is missing or empty; it must list the images and their cameras")
    read = sorted((_frame(file, content, frame) for frame in frames), key=lambda f: natural_order(f.image.as_posix()))
    bare = "camera_angle_x" in content and not any(key in content for key in ("fl_x", "w", "camera_angle_y"))
    points, notes = named_points(file, content)
    return Capture(file.parent, "blender" if bare else "transforms", tuple(read), notes, points)


def _frame(file: Path, content: dict[str, Any], frame: dict[str, Any]) -> Frame:
    path = frame.get("file_path")
    if not isinstance(path, str) or not path:
        raise Prior3dError(f"{file}: a frame has no file_path; each needs one, and a transform_matrix")
    where = f"{file}, frame {path}"
    if "transform_matrix" not in frame:
        raise Prior3dError(f"{where}: transform_matrix is missing; give the camera-to-world matrix")
    image = _image_file(file.parent, portable(file.parent, path), str(file))
    header, given = image_header(image, str(file)), content | frame
    size, upright = size_and_turn(header, _calibrated_size(given))
    turned = " (an image that its EXIF turns)" if header.turned else ""
    intrinsics = fitted_to_image(_intrinsics(given, size, where), size, f"{where}{turned}")
    mask = frame.get("mask_path")
    if mask is not None and not isinstance(mask, str):
        raise Prior3dError(f"{where}: its mask_path is a JSON {type(mask).__name__}, not a text; give a file's path")
    mask_file = None if mask is None else named_file(file.parent, portable(file.parent, mask), where)
    if mask_file is not None and image_size(mask_file, str(file)) != size:
        raise Prior3dError(f"{where}: its mask {mask} has another size than the image; make them alike")
    return Frame(image, checked_pose(frame["transform_matrix"], where), intrinsics, mask_file, upright)


def _calibrated_size(given: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height that a frame's intrinsics are for, if both are there."""
    width, height = given.get("w"), given.get("h")
    if not isinstance(width, int | float) or not isinstance(height, int | float):
        return None
    return (int(width), int(height)) if 0 < width <= MAX_PIXELS and 0 < height <= MAX_PIXELS else None


def _image_file(folder: Path, path: str, said_in: str) -> Path:
    """The file of a file_path, which Blender's exporter writes without an ending (raises Prior3dError)."""
    exact = named_file(folder, path, said_in)
    candidates = [exact, *(exact.with_name(f"{exact.name}{ending}") for ending in ENDINGS)]
    try:
        return next((candidate for candidate in candidates if candidate.is_file()), exact)
    except OSError as error:  # a name that is too long
        raise Prior3dError(f"{said_in}: file_path {path[:80]!r} is no path ({error.strerror}); right it") from None


def _intrinsics(given: dict[str, Any], size: tuple[int, int], where: str) -> Intrinsics:
    """Intrinsics out of a frame and what stands at the top."""
    model = str(given.get("camera_model", "OPENCV")).upper()
    odd = [key for key in UNKNOWN_DISTORTION if given.get(key)]
    if model not in PERSPECTIVE or given.get("is_fisheye") or odd:
        found = f"camera_model {model}" if model not in PERSPECTIVE else "is_fisheye" if not odd else odd[0]
        raise Prior3dError(
            f"{where}: {found} is not a perspective lens with OpenCV's k1 k2 k3 p1 p2; undistort the images first"
        )
    try:
        width, height = int(given.get("w", size[0])), int(given.get("h", size[1]))
        fx, fy = _focal(given, "fl_x", "camera_angle_x", width), _focal(given, "fl_y", "camera_angle_y", height)
        numbers = [float(given.get(key, 0)) for key in ("k1", "k2", "k3", "p1", "p2")]
        point = float(given.get("cx", width / 2)), float(given.get("cy", height / 2))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Prior3dError(f"{where}: an intrinsic is no number ({error}); right it") from None
    if fx is None and fy is None:
        raise Prior3dError(
            f"{where}: there are no intrinsics, neither fl_x nor camera_angle_x, in the frame or at the top; "
            "add the focal length in pixels as fl_x"
        )
    focal = [value for value in (fx, fy) if value is not None]
    radial, tangential = (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4])
    return checked_intrinsics(Intrinsics(width, height, focal[0], focal[-1], *point, radial, tangential), where)


def _focal(given: dict[str, Any], name: str, angle: str, pixels: int) -> float | None:
    if name in given:
        return float(given[name])
    return 0.5 * pixels / math.tan(0.5 * float(given[angle])) if angle in given else None
