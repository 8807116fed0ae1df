"""An image's ICC profile brought to sRGB, which is what every colour here means."""

import io
from functools import lru_cache

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageCms

UNCHANGED = 2  # of 255: a profile that moves no colour of the lattice by more is sRGB under another name
LATTICE = 9  # colours a channel
MODES = ("L", "RGB", "CMYK", "LAB")  # which a profile can be of


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str | None]:
    """Apply an image's own profile.

    Args:
        image: decoded; its alpha, if it has one, stays as it is.
        profile: ICC, as the file embeds it; None leaves the image alone.

    Returns:
        the image in sRGB, and what a person should know about that; None if there is nothing to know.
    """
    if not profile:
        return image, None
    colours, alpha = _without_alpha(image)
    if colours is None:
        return image, None
    try:
        transform = _transform(profile, colours.mode)
        if transform is None:
            return image, None
        converted = ImageCms.applyTransform(colours, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, "its colour profile is damaged or of another kind of image; its colours are taken for sRGB"
    if converted is None:
        return image, None
    if alpha is not None:
        converted.putalpha(alpha)
    return converted, f"its colour profile ({_name(profile)}) was converted to sRGB"


def response(profile: bytes | None) -> Float32[np.ndarray, "256"] | None:
    """What a profile makes of 256 levels of grey, in [0, 1]: for images of more bits than it can be applied to."""
    if not profile:
        return None
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    converted, _ = to_srgb(ramp, profile)
    return np.asarray(converted.convert("RGB"), np.float32)[0, :, 1] / np.float32(255)


def _without_alpha(image: Image.Image) -> tuple[Image.Image | None, Image.Image | None]:
    """The colours in a mode that profiles are of, and the alpha; no colours for a mode that has none."""
    if image.mode in MODES:
        return image, None
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if image.mode in ("RGBA", "RGBa", "P", "PA"):
        whole = image.convert("RGBA")
        has_alpha = image.mode != "P" or "transparency" in image.info
        return whole.convert("RGB"), whole.getchannel("A") if has_alpha else None
    return None, None


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB, or None where it changes next to nothing."""
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(
        given,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if mode not in ("L", "RGB"):
        return transform
    level = np.linspace(0, 255, LATTICE).round().astype(np.uint8)
    lattice = level[None] if mode == "L" else np.stack(np.meshgrid(level, level, level), -1).reshape(1, -1, 3)
    probe = Image.fromarray(np.ascontiguousarray(lattice))
    converted = ImageCms.applyTransform(probe, transform)
    if converted is None:
        return None
    moved = np.abs(np.asarray(converted, np.int32) - np.asarray(probe.convert("RGB"), np.int32)).max()
    return transform if moved > UNCHANGED else None


def _name(profile: bytes) -> str:
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()[:60] or "unnamed"
    except ImageCms.PyCMSError:
        return "unnamed"
