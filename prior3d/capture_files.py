"""Which files of a folder make up a capture: looked up before anything is copied, without decoding an image.

It imports neither torch nor an image library: the command line asks it before it starts anything.
"""

import os
from pathlib import Path, PurePosixPath
from typing import Any

from prior3d.errors import Prior3dError
from prior3d.limits import parse_json, read_json, unpack_gzip

TRANSFORMS = ("transforms.json", "transforms_train.json")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")  # tried where a frame names none
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MODEL_FOLDERS = ("sparse/*", "sparse", "colmap/sparse/*", ".")  # in this order; of several at one place the largest
MODEL_ENDINGS = (".bin", ".txt", ".ini")
CO3D_FRAMES, CO3D_SEQUENCES = "frame_annotations.jgz", "sequence_annotations.jgz"


def capture_files(folder: Path, transforms: str = "", sequence: str = "") -> list[Path]:
    """The files that a capture consists of, relative to its folder, which exist and lie in it.

    Args:
        folder: of the capture.
        transforms: name of the cameras' file; empty: the first of `TRANSFORMS`.
        sequence: of a category in CO3Dv2's layout; empty: all.

    Raises:
        Prior3dError: it is no capture, or the file that lists its images cannot be read.
    """
    if not transforms and (folder / CO3D_FRAMES).is_file():
        named = [CO3D_FRAMES, CO3D_SEQUENCES, *_co3d_files(folder, sequence)]
    else:
        listed = next((name for name in ((transforms,) if transforms else TRANSFORMS) if (folder / name).is_file()), "")
        models = [] if listed or transforms else colmap_places(folder)
        if not listed and not models:
            raise no_capture(folder, transforms)
        named = [listed, *_transforms_files(folder, listed)] if listed else _colmap_files(folder, models)
    return [Path(name) for name in dict.fromkeys(named) if _is_there(folder, name)]


def no_capture(folder: Path, transforms: str) -> Prior3dError:
    """The error of a folder without a capture."""
    names = " or ".join((transforms,) if transforms else TRANSFORMS)
    model = "" if transforms else " and no COLMAP model in sparse"
    photos = any(f.suffix.lower() in IMAGE_ENDINGS for place in (folder, folder / "images") for f in place.glob("*"))
    without = "; `run scene` and `run instruct-nerf2nerf` find the cameras of photos that are given as --photos"
    return Prior3dError(
        f"{folder}: no {names}{model} is in it; give the folder of a nerfstudio, instant-ngp, Blender or COLMAP capture"
        f"{without if photos else ''}"
    )


def colmap_places(folder: Path) -> list[Path]:
    """The folders of COLMAP's models in a capture, all of them at the first place that has one."""
    for place in MODEL_FOLDERS:
        found = [folder] if place == "." else sorted(folder.glob(place))
        models = [m for m in found if any((m / f"cameras.{ending}").is_file() for ending in ("bin", "txt"))]
        if models:
            return models
    return []


def portable(folder: Path, path: str) -> str:
    """A path out of a capture's file as it is called here: Windows' programs write backslashes."""
    return path if "\\" not in path or os.path.lexists(folder / path) else path.replace("\\", "/")


def read_cameras_file(file: Path) -> dict[str, Any]:
    """The content of a transforms.json, in UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        Prior3dError: it is no JSON object.
    """
    try:
        content = read_json(file)
    except (OSError, ValueError) as error:
        raise Prior3dError(f"{file}: cannot be read as JSON ({error}); export it again") from None
    if not isinstance(content, dict):
        raise Prior3dError(f"{file}: holds a JSON {type(content).__name__}, not an object; export it again")
    return content


def _transforms_files(folder: Path, name: str) -> list[str]:
    """The images, masks and points that a transforms.json names; what is wrong with it is the stage's to say."""
    content = read_cameras_file(folder / name)
    frames, points = content.get("frames"), content.get("ply_file_path")
    found = [portable(folder, points)] if isinstance(points, str) and points else []
    for frame in frames if isinstance(frames, list) else []:
        for key in ("file_path", "mask_path"):
            path = frame.get(key) if isinstance(frame, dict) else None
            if isinstance(path, str) and path:
                path = portable(folder, path)
                found += [path] if _is_there(folder, path) else [f"{path}{ending}" for ending in ENDINGS]
    return found


def _colmap_files(folder: Path, models: list[Path]) -> list[str]:
    """All models at their place, and the images beside them."""
    parts = [f for model in models for f in sorted(model.iterdir()) if f.suffix in MODEL_ENDINGS]
    images = [f for f in sorted((folder / "images").rglob("*")) if f.suffix.lower() in IMAGE_ENDINGS]
    return [file.relative_to(folder).as_posix() for file in (*parts, *images)]


def _co3d_files(folder: Path, sequence: str) -> list[str]:
    try:
        frames = parse_json(unpack_gzip(folder / CO3D_FRAMES))
        wanted = [frame for frame in frames if not sequence or str(frame["sequence_name"]) == sequence]
        paths = [str(frame[kind]["path"]) for frame in wanted for kind in ("image", "mask")]
    except (OSError, ValueError, TypeError, KeyError):
        return []  # what is wrong with it is the stage's to say
    return [name for path in paths for name in (path, PurePosixPath(*PurePosixPath(path).parts[1:]).as_posix())]


def _is_there(folder: Path, name: str) -> bool:
    """Whether a name is a file's in the folder that every file system can hold."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return False
    try:
        name.encode("utf-8")
        return (folder / name).is_file()
    except (OSError, ValueError):  # too long, a NUL, or not of letters
        return False
