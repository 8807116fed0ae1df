"""The one door through which image files are opened: known formats, a limit of pixels, one error for all that is wrong.

Pillow guesses the format of a file by its content, and some formats can run programs or unpack without end. It raises
many kinds of errors on damaged files, outside its own as well.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from prior3d.errors import Prior3dError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
MAX_PIXELS = 64_000_000
LONGEST_REASON = 160


@contextlib.contextmanager
def opened_image(source: Path | bytes, where: str, remedy: str) -> Iterator[Image.Image]:
    """An image file, opened but not decoded; whatever goes wrong with it until the end of the block is one error.

    Args:
        source: a file, or its content.
        where: what to call it in a message.
        remedy: what a person can do, for the end of a message.

    Raises:
        Prior3dError: no image of a known format, damaged, cut off, or of more than `MAX_PIXELS` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is looked at below; what is damaged and matters is an error
            with Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=FORMATS) as image:
                check_pixels(image.width, image.height, where, remedy)
                yield image
    except Prior3dError:
        raise
    except UnidentifiedImageError:
        raise Prior3dError(f"{where}: cannot be read as an image ({', '.join(FORMATS)} can be); {remedy}") from None
    except Image.DecompressionBombError:
        raise Prior3dError(f"{where}: its header says more than {MAX_PIXELS:,} pixels; {remedy}") from None
    except Exception as error:  # Pillow raises many kinds on damaged files
        reason = " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__
        raise Prior3dError(f"{where}: cannot be read as an image to its end ({reason}); {remedy}") from None


def check_pixels(width: int, height: int, where: str, remedy: str) -> None:
    """Hold that an image is not larger than `MAX_PIXELS` (raises Prior3dError), before it is decoded."""
    if width * height > MAX_PIXELS:
        raise Prior3dError(f"{where}: {width:,}x{height:,} pixels, which is more than {MAX_PIXELS:,}; {remedy}")
