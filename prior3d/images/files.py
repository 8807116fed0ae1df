"""Images as float arrays in [0, 1]: to files and back, to another size, into contact sheets and videos."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
import torch.nn.functional as functional
from jaxtyping import Float, Float32, UInt8
from numpy.typing import NDArray
from PIL import Image

from prior3d.errors import Prior3dError
from prior3d.images.opening import opened_image


def to_uint8(image: Float[np.ndarray, "*image"]) -> UInt8[np.ndarray, "*image"]:
    """[..., 3] or [...] float in [0, 1] to 0..255, rounded; values outside are clipped.

    Raises:
        Prior3dError: a value is not finite.
    """
    if not np.isfinite(image).all():
        raise Prior3dError("image: a value is not finite. The field that made it diverged; lower its learning rate.")
    pixels: np.ndarray = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return pixels


def png_bytes(image: Float[np.ndarray, "height width"] | Float[np.ndarray, "height width channels"]) -> bytes:
    """A PNG file of an image [height, width, 3 or 4] or [height, width]."""
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(buffer, format="PNG")
    return buffer.getvalue()


def write_png(
    path: Path, image: Float[np.ndarray, "height width"] | Float[np.ndarray, "height width channels"]
) -> None:
    """Write an image [height, width, 3 or 4] or [height, width], float in [0, 1]."""
    path.write_bytes(png_bytes(image))


def from_bytes(content: bytes) -> Float[np.ndarray, "height width 3"]:
    """An image file's content as [height, width, 3] float in [0, 1].

    Raises:
        Prior3dError: it is not an image.
    """
    with opened_image(content, f"image of {len(content)} bytes", "give a PNG or JPEG") as image:
        pixels = np.asarray(image.convert("RGB"))
    return pixels.astype(np.float32) / 255


def resize(
    image: Float[np.ndarray, "old_height old_width 3"], height: int, width: int
) -> Float[np.ndarray, "height width 3"]:
    """[h, w, 3] float to [height, width, 3], by Lanczos' filter."""
    smooth = Image.fromarray(to_uint8(image)).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(smooth, dtype=np.float32) / 255


def resample(
    pixels: Float32[np.ndarray, "old_height old_width channels"], height: int, width: int
) -> Float32[np.ndarray, "height width channels"]:
    """Pixels [h, w, channels] to [height, width, channels], bilinear and, when they become fewer, antialiased."""
    planes = torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).movedim(-1, 0)[None]
    planes = functional.interpolate(planes, (height, width), mode="bilinear", antialias=True, align_corners=False)
    resized: NDArray[np.float32] = planes[0].movedim(0, -1).contiguous().numpy()
    return resized


def contact_sheet(
    rows: Sequence[Sequence[Float[np.ndarray, "height width 3"]]], gap: int = 4, colour: float = 1.0
) -> Float[np.ndarray, "sheet_height sheet_width 3"]:
    """Rows of images [height, width, 3] of one size, set side by side with `gap` pixels between."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    size = (len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(size, colour, dtype=np.float32)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = gap + i * (height + gap), gap + j * (width + gap)
            sheet[top : top + height, left : left + width] = image
    return sheet


def write_video(
    path: Path,
    frames: Iterable[Float[np.ndarray, "height width 3"]],
    height_width: tuple[int, int],
    frames_per_second: int = 24,
) -> None:
    """Write an H.264 MP4 that browsers play; frames [height, width, 3] float in [0, 1] with even sides.

    Raises:
        Prior3dError: a side is odd, or the encoder failed.
    """
    height, width = height_width
    if height % 2 or width % 2:
        raise Prior3dError(f"{path.name}: {width}x{height} pixels, but H.264 needs even sides. Change the size by one.")
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=frames_per_second,
        codec="libx264",
        quality=8,
        macro_block_size=2,
        output_params=["-movflags", "+faststart", "-threads", "1", "-preset", "veryfast"],
    )
    try:
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(to_uint8(frame)))
    except OSError as error:
        raise Prior3dError(
            f"{path}: the video encoder failed ({error}). Free space on the disk, or try again."
        ) from error
    finally:
        writer.close()
