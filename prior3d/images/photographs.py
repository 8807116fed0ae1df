"""Read a person's image, whatever kind of file it is: colours, and what it says of the object's outline.

The one reader of images that people give: photos, captures, masks and what priors are shown. What stages wrote
themselves is read where it is written.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import ExifTags, Image, ImageOps

from prior3d.errors import Prior3dError
from prior3d.images.colour_profiles import response, to_srgb
from prior3d.images.opening import opened_image

REMEDY = "fetch it again, or give another one; 2048 pixels a side are more than enough"
OPAQUE = 250 / 255  # an image whose alpha never falls below it has no alpha worth the name
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations under which width and height change places
PHONE_KINDS = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypheim")


@dataclass(frozen=True)
class InputImage:
    """An image as it was given.

    Attributes:
        rgb: [height, width, 3] in [0, 1], sRGB, upright.
        alpha: [height, width] in [0, 1], or None where it has none or is opaque everywhere.
        notes: what was done to the file that a person may not expect.
        alpha_channel: whether the file has alpha, or a colour that means transparent, even if nothing is.
    """

    rgb: Float32[np.ndarray, "height width 3"]
    alpha: Float32[np.ndarray, "height width"] | None
    notes: tuple[str, ...] = ()
    alpha_channel: bool = False

    def over(self, level: float) -> Float32[np.ndarray, "height width 3"]:
        """The image over a flat grey of that level; what lies hidden under its transparent pixels is not shown."""
        if self.alpha is None:
            return self.rgb
        alpha = self.alpha[..., None]
        shown: np.ndarray = self.rgb * alpha + (1 - alpha) * np.float32(level)
        return shown


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says before it is decoded.

    Attributes:
        width: of the upright image, pixels.
        height: of the same.
        turned: whether its EXIF orientation turns the stored pixels by a quarter, so that width and height change.
        alpha_channel: whether it has alpha, or a colour that means transparent.
    """

    width: int
    height: int
    turned: bool
    alpha_channel: bool


def read_header(path: Path) -> ImageHeader:
    """Look at an image without decoding it (raises Prior3dError as `read_image` does)."""
    with _opened(path) as opened:
        try:
            orientation = opened.getexif().get(ExifTags.Base.Orientation, 1)
        except (SyntaxError, ValueError, OSError, TypeError):
            orientation = 1  # broken EXIF turns nothing
        width, height = opened.size
        alpha = opened.mode in WITH_ALPHA or "transparency" in opened.info
    turned = orientation in ON_ITS_SIDE
    return ImageHeader(*((height, width) if turned else (width, height)), turned, alpha)


def read_image(path: Path, *, upright: bool = True) -> InputImage:
    """Read an image file: 8 or 16 bits, grey, RGB, CMYK or palette, any colour profile, with or without alpha.

    Args:
        path: of the file.
        upright: turn it as its EXIF says; else its pixels stay as they are stored.

    Raises:
        Prior3dError: no image, cut off, or too large; says which, and what to do.
    """
    image, notes = decoded_image(path, upright=upright)
    profile = image.info.get("icc_profile")
    if image.mode in SIXTEEN_BIT:
        rgb, alpha = _sixteen_bits(path, image, profile)
    else:
        rgb, alpha, note = _eight_bits(path, image, profile)
        notes += (note,) if note else ()
    faint = alpha is None or alpha.min() >= OPAQUE
    return InputImage(rgb, None if faint else alpha, notes, alpha is not None)


def decoded_image(path: Path, *, upright: bool = True) -> tuple[Image.Image, tuple[str, ...]]:
    """The first frame of an image file, in the file's own mode and colours, and what a person should know about it.

    Raises:
        Prior3dError: as `read_image` does.
    """
    with _opened(path) as opened:
        notes, profile = _notes(opened), opened.info.get("icc_profile")
        opened.seek(0)
        image = ImageOps.exif_transpose(opened) if upright else opened.copy()
        image.load()
    if profile:
        image.info["icc_profile"] = profile
    return image, notes


def _opened(path: Path) -> AbstractContextManager[Image.Image]:
    with path.open("rb") as stream:
        beginning = stream.read(12)
    if beginning[4:12] in PHONE_KINDS:
        raise Prior3dError(f"{path}: a HEIC photo, which is not read here; save it as JPEG or PNG")
    return opened_image(path, str(path), REMEDY)


def _notes(opened: Image.Image) -> tuple[str, ...]:
    frames = getattr(opened, "n_frames", 1)
    return (f"the file has {frames} frames; the first is used",) if frames > 1 else ()


def _sixteen_bits(
    path: Path, image: Image.Image, profile: bytes | None
) -> tuple[Float32[np.ndarray, "height width 3"], Float32[np.ndarray, "height width"] | None]:
    """Colours and alpha of 16-bit grey, which PIL's own conversion would cut off at 255."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise Prior3dError(
            f"{path}: grey values from {values.min()} to {values.max()}, whose white is unknown. Save it with 16 bits."
        )
    grey, curve = values.astype(np.float32) / np.float32(65535), response(profile)
    if curve is not None:
        grey = np.interp(grey, np.linspace(0, 1, len(curve)), curve).astype(np.float32)
    key = image.info.get("transparency")
    alpha = (values != key).astype(np.float32) if isinstance(key, int) else None
    return np.repeat(grey[..., None], 3, axis=-1), alpha


def _eight_bits(
    path: Path, image: Image.Image, profile: bytes | None
) -> tuple[Float32[np.ndarray, "height width 3"], Float32[np.ndarray, "height width"] | None, str | None]:
    """Colours and alpha of a decoded image of any other mode, and what its profile did."""
    if image.mode == "F":
        raise Prior3dError(f"{path}: an image of floating-point numbers, whose white is unknown. Save it as PNG.")
    has_alpha = image.mode in WITH_ALPHA or "transparency" in image.info
    if has_alpha:
        image = image.convert("RGBA")  # a colour that means transparent is one of the file's, not of sRGB
    image, note = to_srgb(image, profile)
    if not has_alpha:
        return np.asarray(image.convert("RGB"), np.float32) / np.float32(255), None, note
    pixels = np.asarray(image.convert("RGBA"), np.float32) / np.float32(255)
    return pixels[..., :3], pixels[..., 3], note
