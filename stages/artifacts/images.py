"""A person's image as a file, and the prepared image of the object: `rgba.png`, `mask.png`, `image.json` (its camera).

Perhaps also `depth.png` and `normal.png`. `depth.png` has 16 bits: distance from the camera up to an unknown scale and
offset, larger is farther.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from prior3d.images.object_image import ObjectImage, Viewpoint
from prior3d.images.opening import opened_image
from stages.artifacts.base import RUN_AGAIN, read_file, read_json, write_json


def check_image_file(path: Path) -> None:
    """Check that an image is one file that is not empty; the stage that reads it looks at what is in it."""
    if path.is_dir():
        raise Prior3dError(f"{path}: a picture is needed, this is a folder. Give one PNG, JPEG, WebP or TIFF file.")
    if path.is_file() and path.stat().st_size == 0:
        raise Prior3dError(f"{path}: the file is empty. Give a PNG, JPEG, WebP or TIFF.")
    if not path.is_file():
        raise Prior3dError(f"{path}: there is no such file. Give a PNG, JPEG, WebP or TIFF.")


def save_object_image(folder: Path, image: ObjectImage, facts: dict[str, Any] | None = None) -> None:
    """Write the image; `facts` are kept in `image.json` beside the camera."""
    write_png(folder / "rgba.png", image.rgba)
    write_png(folder / "mask.png", image.mask)
    if image.depth is not None:
        Image.fromarray((image.depth.clip(0, 1) * 65535 + 0.5).astype(np.uint16)).save(folder / "depth.png")
    if image.normal is not None:
        write_png(folder / "normal.png", image.normal)
    view = image.viewpoint
    camera = {
        "azimuth_deg": view.azimuth_deg,
        "elevation_deg": view.elevation_deg,
        "fov_deg": view.fov_deg,
        "radius": view.radius,
    }
    write_json(folder / "image.json", {"camera": camera, **(facts or {})})


def load_object_image(folder: Path) -> ObjectImage:
    """Read the image; a Prior3dError says what is wrong with it."""
    described = read_json(folder / "image.json").get("camera")
    try:
        viewpoint = Viewpoint(**{name: float(value) for name, value in dict(described or {}).items()})
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Prior3dError(f"{folder / 'image.json'}: its camera cannot be read ({error}). {RUN_AGAIN}") from None
    rgba = _pixels(folder / "rgba.png", "RGBA")
    if rgba.shape[0] != rgba.shape[1]:
        raise Prior3dError(
            f"{folder / 'rgba.png'}: {rgba.shape[1]}x{rgba.shape[0]} pixels, expected a square. {RUN_AGAIN}"
        )
    if not (rgba[..., 3] > 0.5).any():
        raise Prior3dError(f"{folder / 'rgba.png'}: nothing in it is opaque. {RUN_AGAIN}")
    extra = {
        name: _pixels(folder / f"{name}.png", mode) if (folder / f"{name}.png").is_file() else None
        for name, mode in (("depth", "I;16"), ("normal", "RGB"))
    }
    for name, layer in extra.items():
        if layer is not None and layer.shape[:2] != rgba.shape[:2]:
            raise Prior3dError(f"{folder / name}.png: its size is not that of rgba.png. {RUN_AGAIN}")
    return ObjectImage(np.ascontiguousarray(rgba), viewpoint, extra["depth"], extra["normal"])


def check_object_image(folder: Path) -> None:
    """Load the image: square, something opaque in it, a camera, and a mask beside it."""
    load_object_image(folder)
    read_file(folder / "mask.png")


def _pixels(path: Path, mode: str) -> np.ndarray:
    """A PNG written by `save_object_image` as float in [0, 1]."""
    with opened_image(read_file(path), str(path), RUN_AGAIN) as image:
        if mode == "I;16":
            return np.asarray(image, np.float32) / 65535
        return np.asarray(image.convert(mode), np.float32) / 255
