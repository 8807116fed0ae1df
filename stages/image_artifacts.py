"""Artifacts about a person's picture: the file itself, the camera in words, the prepared picture of the object."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prior3d.errors import Prior3dError
from stages.artifacts import _AGAIN, _parse, _read

if TYPE_CHECKING:
    import numpy as np

    from prior3d.object_image import ObjectImage as Picture

HOW_TO_SAY = "write azimuth,elevation,fov in degrees, e.g. --camera 30,15,40 (a negative azimuth as --camera=-30,15,40)"


class ImageFile:
    """A picture as a person gives it: one file; what is in it is looked at by the stage that reads it."""

    @staticmethod
    def validate(path: Path) -> None:
        """It is a file, and not empty."""
        if path.is_dir():
            raise Prior3dError(f"{path}: a picture is needed, this is a folder. Give one PNG, JPEG, WebP or TIFF file.")
        if path.is_file() and path.stat().st_size == 0:
            raise Prior3dError(f"{path}: the file is empty. Give a PNG, JPEG, WebP or TIFF.")
        if not path.is_file():
            raise Prior3dError(f"{path}: there is no such file. Give a PNG, JPEG, WebP or TIFF.")


class CameraText:
    """A camera as a person writes it: `azimuth,elevation,fov` in degrees, in a small text file."""

    @staticmethod
    def load(path: Path) -> tuple[float, float, float]:
        """Azimuth in [0, 360), elevation and field of view; a Prior3dError says what is wrong with the text."""
        text = _read(path).decode("utf-8", "replace").strip()
        parts = text.split(",")
        try:
            azimuth_deg, elevation_deg, fov_deg = (float(part) for part in parts)
        except ValueError:
            raise Prior3dError(f"--camera {text!r}: not three numbers; {HOW_TO_SAY}") from None
        if not math.isfinite(azimuth_deg) or not -90 <= elevation_deg <= 90 or not 1 <= fov_deg <= 120:
            raise Prior3dError(
                f"--camera {text!r}: the elevation must lie in -90..90 and the field of view in 1..120; {HOW_TO_SAY}"
            )
        return azimuth_deg % 360.0, elevation_deg, fov_deg

    @staticmethod
    def validate(path: Path) -> None:
        """It can be read."""
        CameraText.load(path)


class ObjectImage:
    """A picture of an object: `rgba.png`, `mask.png`, perhaps `depth.png` and `normal.png`, `image.json` (its camera).

    `depth.png` has 16 bits: distance from the camera up to an unknown scale and offset, larger is farther.
    """

    @staticmethod
    def save(folder: Path, picture: "Picture", facts: dict[str, Any] | None = None) -> None:
        """Write the picture; `facts` are kept in `image.json` beside the camera."""
        import numpy as np
        from PIL import Image

        from prior3d.images import write_png

        write_png(folder / "rgba.png", picture.rgba)
        write_png(folder / "mask.png", picture.mask)
        if picture.depth is not None:
            Image.fromarray((picture.depth.clip(0, 1) * 65535 + 0.5).astype(np.uint16)).save(folder / "depth.png")
        if picture.normal is not None:
            write_png(folder / "normal.png", picture.normal)
        view = picture.viewpoint
        camera = {
            "azimuth_deg": view.azimuth_deg,
            "elevation_deg": view.elevation_deg,
            "fov_deg": view.fov_deg,
            "radius": view.radius,
        }
        text = json.dumps({"camera": camera, **(facts or {})}, indent=2) + "\n"
        (folder / "image.json").write_text(text, encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> "Picture":
        """Read the picture; a Prior3dError says what is wrong with it."""
        import numpy as np

        from prior3d.object_image import ObjectImage as Picture
        from prior3d.object_image import Viewpoint

        described = _parse(folder / "image.json").get("camera")
        try:
            viewpoint = Viewpoint(**{name: float(value) for name, value in dict(described or {}).items()})
        except (TypeError, ValueError) as error:
            raise Prior3dError(f"{folder / 'image.json'}: its camera cannot be read ({error}). {_AGAIN}") from None
        rgba = _pixels(folder / "rgba.png", "RGBA")
        if rgba.shape[0] != rgba.shape[1]:
            raise Prior3dError(
                f"{folder / 'rgba.png'}: {rgba.shape[1]}x{rgba.shape[0]} pixels, expected a square. {_AGAIN}"
            )
        if not (rgba[..., 3] > 0.5).any():
            raise Prior3dError(f"{folder / 'rgba.png'}: nothing in it is opaque. {_AGAIN}")
        extra = {
            name: _pixels(folder / f"{name}.png", mode) if (folder / f"{name}.png").is_file() else None
            for name, mode in (("depth", "I;16"), ("normal", "RGB"))
        }
        for name, layer in extra.items():
            if layer is not None and layer.shape[:2] != rgba.shape[:2]:
                raise Prior3dError(f"{folder / name}.png: its size is not that of rgba.png. {_AGAIN}")
        return Picture(np.ascontiguousarray(rgba), viewpoint, extra["depth"], extra["normal"])

    @staticmethod
    def validate(folder: Path) -> None:
        """Load the picture: square, something opaque in it, a camera, and a mask beside it."""
        ObjectImage.load(folder)
        _read(folder / "mask.png")


def _pixels(path: Path, mode: str) -> "np.ndarray":
    """A PNG written by `save` as float in [0, 1]."""
    import io

    import numpy as np
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(_read(path)))
        if mode == "I;16":
            return np.asarray(picture, np.float32) / 65535
        return np.asarray(picture.convert(mode), np.float32) / 255
    except (OSError, SyntaxError) as error:
        raise Prior3dError(f"{path}: damaged ({error}). {_AGAIN}") from error
