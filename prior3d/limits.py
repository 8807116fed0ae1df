"""Limits for files that somebody else may have written: they hold before anything is unpacked or allocated.

A few kilobytes can stand for gigabytes, in gzip, in JSON or as an image's header. Every reader asks here first. Images
have their limits in `prior3d/images/opening.py`.
"""

import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any

LARGEST_JSON = 32_000_000  # bytes; ten thousand frames of a capture have 10 MB
LARGEST_UNPACKED = 512_000_000  # bytes; annotations of 400,000 frames
PIECE = 1_000_000  # bytes that are read at once
MOST_MEMORY = 2_000_000_000  # bytes that the values of a JSON text may take
BYTES_A_VALUE = {",": 48, "[": 64, "{": 232}  # what Python takes for the value behind each, at most or nearly


def read_bytes(path: Path, most: int = LARGEST_JSON) -> bytes:
    """The content of a file that is not larger than `most` bytes.

    Raises:
        OSError: it cannot be read.
        ValueError: it is larger.
    """
    with path.open("rb") as stream:  # what the folder says of its size is not asked: it may be a device
        content = _read(stream, most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most // 10**6} MB")
    return content


def _read(stream: io.BufferedIOBase, most: int) -> bytes:
    """At most so many bytes, in pieces: `read(most)` would take memory for all of them first."""
    kept = io.BytesIO()
    while kept.tell() < most and (piece := stream.read(min(PIECE, most - kept.tell()))):
        kept.write(piece)
    return kept.getvalue()


def unpack_gzip(path: Path, most: int = LARGEST_UNPACKED) -> bytes:
    """The content of a gzip file, which is not larger than `most` bytes when it is unpacked.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, cut off, or larger.
    """
    try:
        with gzip.open(path) as stream:
            content = _read(stream, most + 1)
    except EOFError:
        raise ValueError("it is cut off") from None
    except zlib.error as error:
        raise ValueError(f"it is damaged: {error}") from None
    if len(content) > most:
        raise ValueError(f"unpacked it has more than {most // 10**6} MB")
    return content


def parse_json(content: bytes | str, most_memory: int = MOST_MEMORY) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, nested deeper than Python reads, or its values would take more memory than
            `most_memory` bytes.
    """
    text = content if isinstance(content, str) else content.decode(json.detect_encoding(content))
    if sum(text.count(mark) * size for mark, size in BYTES_A_VALUE.items()) > most_memory:
        raise ValueError(f"its values would take more than {most_memory // 10**6} MB of memory")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_json(path: Path, most: int = LARGEST_JSON) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, no UTF-8 text, no JSON, or nested too deep.
    """
    return parse_json(read_bytes(path, most))
