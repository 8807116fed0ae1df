"""Read a person's image, whatever kind of file it is: colours, and what it says of the object's outline."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageOps

from prior3d.errors import Prior3dError
from prior3d.images.files import resample
from prior3d.images.opening import MAX_PIXELS, opened_image

REMEDY = f"give a PNG, JPEG, WebP or TIFF of at most {MAX_PIXELS:,} pixels; 2048 a side are more than enough"
OPAQUE = 250 / 255  # an image whose alpha never falls below it has no alpha worth the name
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


@dataclass(frozen=True)
class InputImage:
    """An image as it was given.

    Attributes:
        rgb: [height, width, 3] in [0, 1], upright.
        alpha: [height, width] in [0, 1], or None where it has none or is opaque everywhere.
        notes: what was done to the file that a person may not expect.
    """

    rgb: Float32[np.ndarray, "height width 3"]
    alpha: Float32[np.ndarray, "height width"] | None
    notes: tuple[str, ...] = ()


def read_image(path: Path) -> InputImage:
    """Read an image file: 8 or 16 bits, grey, RGB, CMYK or palette, with or without alpha, turned as EXIF says.

    Raises:
        Prior3dError: no image, cut off, or too large; says which, and what to do.
    """
    with opened_image(path, str(path), REMEDY) as opened:
        notes = _notes(opened)
        opened.seek(0)
        image = ImageOps.exif_transpose(opened)
        image.load()
        rgb, alpha = _values(path, image)
    return InputImage(rgb, alpha, notes)


def read_mask(path: Path, height: int, width: int) -> Float32[np.ndarray, "height width"]:
    """Read a mask, white where the object is, for an image of that size; transparent counts as black.

    Returns:
        [height, width] in [0, 1]; a mask of another size but the same shape is resized.

    Raises:
        Prior3dError: no image, another shape, or nothing or everything is white.
    """
    given = read_image(path)
    mask = given.rgb.mean(-1) * (1 if given.alpha is None else given.alpha)
    if abs(mask.shape[0] * width - mask.shape[1] * height) > 0.01 * mask.shape[0] * width:
        raise Prior3dError(
            f"{path}: the mask has {mask.shape[1]}x{mask.shape[0]} pixels, the image {width}x{height}. "
            "Give a mask of the image's shape."
        )
    check_mask(mask, str(path))
    return mask if mask.shape == (height, width) else resample(mask[..., None], height, width)[..., 0]


def check_mask(mask: Float32[np.ndarray, "height width"], where: str) -> None:
    """Hold that a mask [height, width] shows an object: not nothing, and not the whole image.

    Raises:
        Prior3dError: it does not; `where` begins the message.
    """
    covered = float((mask > 0.5).mean())
    if covered == 0:
        raise Prior3dError(f"{where}: the mask is empty. Make it white where the object is, black elsewhere.")
    if covered > 0.98:
        raise Prior3dError(
            f"{where}: the mask covers {covered:.0%} of the image, so there is no object to tell from a background. "
            "Make it black where the object is not."
        )


def _notes(opened: Image.Image) -> tuple[str, ...]:
    frames = getattr(opened, "n_frames", 1)
    return (f"the file has {frames} frames; the first is used",) if frames > 1 else ()


def _values(
    path: Path, image: Image.Image
) -> tuple[Float32[np.ndarray, "height width 3"], Float32[np.ndarray, "height width"] | None]:
    """Colours and alpha of a decoded image of any mode."""
    if image.mode in SIXTEEN_BIT:  # which PIL's own conversion would cut off at 255
        grey = np.asarray(image, np.float32) / np.float32(65535)
        return np.repeat(grey[..., None].clip(0, 1), 3, axis=-1), None
    if image.mode == "F":
        raise Prior3dError(f"{path}: an image of floating-point numbers, whose white is unknown. Save it as PNG.")
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if not has_alpha:
        return np.asarray(image.convert("RGB"), np.float32) / np.float32(255), None
    pixels = np.asarray(image.convert("RGBA"), np.float32) / np.float32(255)
    alpha = pixels[..., 3]
    return pixels[..., :3], None if alpha.min() >= OPAQUE else alpha
