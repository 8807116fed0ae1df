"""A text inside a file, where the file's format has a place for it: GLB, OBJ, MTL, PLY, PNG and MP4.

Taking a text out gives back the bytes from before it was put in, so a file that carries one can still be compared with
the artifact that it is a copy of. Nothing here depends on the time or on the machine.
"""

import json
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from prior3d.limits import parse_json

KEY = "prior3d"
LINE_CHARACTERS = 96  # of a comment, besides its mark; some readers take short lines only
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
XMP_BOX = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes  # XMP specification, part 3, section 1.2.7.1
OWN_BOX = uuid.uuid5(uuid.NAMESPACE_URL, "urn:prior3d:provenance").bytes
GLB_HEADER, BOX_HEADER = 20, 24


class NoPlace(ValueError):
    """A file is not what its format says, or has no place for a text."""


@dataclass(frozen=True)
class Container:
    """How one format carries a text.

    Attributes:
        put: content, ASCII text and XMP packet -> content with both; formats without a place for XMP leave it out.
        take: content -> content without the text, and the text; None without one.
    """

    put: Callable[[bytes, str, str], bytes]
    take: Callable[[bytes], tuple[bytes, str | None]]


def put(path: str, content: bytes, text: str, xmp: str = "") -> bytes:
    """Content with a text in it; as it was if the format of the path has no place for it (raises NoPlace)."""
    kind = PurePosixPath(path).suffix.lower()
    return CONTAINERS[kind].put(content, text, xmp) if kind in CONTAINERS else content


def take(content: bytes) -> tuple[bytes, str | None]:
    """Content without its text, and the text, whatever the file is called; None without one (raises NoPlace)."""
    kind = _kind(content)
    return CONTAINERS[kind].take(content) if kind else (content, None)


def _kind(content: bytes) -> str:
    for kind, offset, start in (
        (".glb", 0, b"glTF"),
        (".png", 0, PNG_SIGNATURE),
        (".mp4", 4, b"ftyp"),
        (".ply", 0, b"ply\n"),
        (".obj", 0, f"# {KEY} ".encode()),
    ):
        if content[offset : offset + len(start)] == start:
            return kind
    return ""


# GLB: `asset.extras` of its JSON (glTF 2.0, sections 3.3 and 4.4)


def _put_glb(content: bytes, text: str, xmp: str) -> bytes:
    document, rest = _glb_parts(content)
    place = _in_asset(document)
    if "extras" in parse_json(document)["asset"]:
        raise NoPlace("its asset has extras")
    document = document[:place] + _glb_extras(text) + document[place:]
    return _glb(document + " " * (-len(document.encode()) % 4), rest)


def _take_glb(content: bytes) -> tuple[bytes, str | None]:
    document, rest = _glb_parts(content)
    place = _in_asset(document)
    found = (parse_json(document)["asset"].get("extras") or {}).get(KEY)
    if found is None:
        return content, None
    text = json.dumps(found, separators=(",", ":"))
    if not document.startswith(_glb_extras(text), place):
        return content, text  # another program has written the file since
    document = document[:place] + document[place + len(_glb_extras(text)) :]
    size = len(document.encode())
    return _glb(document[: len(document) - size % 4], rest), text


def _glb_extras(text: str) -> str:
    return f'"extras":{{"{KEY}":{text}}},'


def _glb(document: str, rest: bytes) -> bytes:
    encoded = document.encode()
    length = GLB_HEADER + len(encoded) + len(rest)
    return struct.pack("<4sIII4s", b"glTF", 2, length, len(encoded), b"JSON") + encoded + rest


def _glb_parts(content: bytes) -> tuple[str, bytes]:
    """The JSON of a GLB with its padding, and the chunks behind it."""
    if len(content) < GLB_HEADER or content[:8] != b"glTF\2\0\0\0" or content[16:20] != b"JSON":
        raise NoPlace("it is no GLB of version 2")
    end = GLB_HEADER + int.from_bytes(content[12:16], "little")
    if end % 4:
        raise NoPlace("its JSON is not padded")
    try:
        document = content[GLB_HEADER:end].decode()
        if not isinstance(parse_json(document)["asset"]["version"], str):
            raise NoPlace("its JSON has no asset version")
    except (ValueError, KeyError, TypeError) as error:
        raise NoPlace(f"its JSON cannot be read ({type(error).__name__})") from None
    return document, content[end:]


def _in_asset(document: str) -> int:
    """Where the first member of the top-level object `asset` begins."""
    decoder, space = json.JSONDecoder(), " \t\r\n"

    def skip(place: int, also: str = "") -> int:
        while document[place] in space + also:
            place += 1
        return place

    place = skip(skip(0) + 1)
    while True:
        key, place = decoder.raw_decode(document, place)
        place = skip(place, ":")
        if key == "asset":
            return skip(place + 1)
        _, place = decoder.raw_decode(document, place)
        place = skip(place, ",")


# OBJ and MTL: comments at the top. PLY: comments behind the line that names its format.


def _lines(mark: str, text: str) -> bytes:
    parts = [text[i : i + LINE_CHARACTERS] for i in range(0, len(text), LINE_CHARACTERS)]
    return "".join(f"{mark}{part}\n" for part in parts).encode("ascii")


def _put_comments(content: bytes, text: str, xmp: str) -> bytes:
    return _lines(f"# {KEY} ", text) + content


def _take_comments(content: bytes, mark: bytes = f"# {KEY} ".encode(), start: int = 0) -> tuple[bytes, str | None]:
    parts, place = [], start
    while content.startswith(mark, place):
        end = content.find(b"\n", place)
        end = len(content) if end < 0 else end
        parts.append(content[place + len(mark) : end].rstrip(b"\r"))
        place = min(end + 1, len(content))
    return content[:start] + content[place:], b"".join(parts).decode("ascii", "replace") if parts else None


def _put_ply(content: bytes, text: str, xmp: str) -> bytes:
    start = _after_format(content)
    return content[:start] + _lines(f"comment {KEY} ", text) + content[start:]


def _take_ply(content: bytes) -> tuple[bytes, str | None]:
    return _take_comments(content, f"comment {KEY} ".encode(), _after_format(content))


def _after_format(content: bytes) -> int:
    end = content.find(b"\n", 4)
    if not content.startswith(b"ply\nformat ") or end < 0:
        raise NoPlace("it is no PLY with its format in its second line")
    return end + 1


# PNG: two iTXt chunks behind the header (PNG specification, section 11.3.3)


def _put_png(content: bytes, text: str, xmp: str) -> bytes:
    end = _after_ihdr(content)
    chunks = _itxt(KEY.encode(), text)
    if xmp and not any(kind == b"iTXt" and body.startswith(XMP_KEYWORD) for kind, body, _ in _png_chunks(content)):
        chunks += _itxt(XMP_KEYWORD, xmp)
    return content[:end] + chunks + content[end:]


def _take_png(content: bytes) -> tuple[bytes, str | None]:
    start, text = _after_ihdr(content), None
    place = start
    for kind, body, end in _png_chunks(content):
        if end <= start:
            continue
        if kind == b"iTXt" and text is None and body.startswith(f"{KEY}\0".encode()):
            text = body[len(KEY) + 5 :].decode("utf-8", "replace")
        elif not (kind == b"iTXt" and text is not None and body.startswith(XMP_KEYWORD)):
            break
        place = end
    return (content[:start] + content[place:], text) if text is not None else (content, None)


def _itxt(keyword: bytes, text: str) -> bytes:
    body = b"iTXt" + keyword + b"\0" * 5 + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _after_ihdr(content: bytes) -> int:
    if not content.startswith(PNG_SIGNATURE) or content[12:16] != b"IHDR" or len(content) < 45:
        raise NoPlace("it is no PNG")
    return len(PNG_SIGNATURE) + 25


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Kind, body and end of each chunk."""
    place = len(PNG_SIGNATURE)
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        end = place + length + 12
        yield content[place + 4 : place + 8], content[place + 8 : end - 4], end
        place = end


# MP4: two `uuid` boxes at the end (ISO/IEC 14496-12, section 4.2), so that no offset in it moves


def _put_mp4(content: bytes, text: str, xmp: str) -> bytes:
    if list(_boxes(content))[-1][2] != len(content):
        raise NoPlace("its last box has no end")
    return content + _box(OWN_BOX, text) + (_box(XMP_BOX, xmp) if xmp else b"")


def _take_mp4(content: bytes) -> tuple[bytes, str | None]:
    for kind, start, end in _boxes(content):
        if kind == b"uuid" and content[start + 8 : start + BOX_HEADER] == OWN_BOX:
            return content[:start], content[start + BOX_HEADER : end].decode("utf-8", "replace")
    return content, None


def _box(name: bytes, text: str) -> bytes:
    body = b"uuid" + name + text.encode()
    return struct.pack(">I", len(body) + 4) + body


def _boxes(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each box at the top."""
    place = 0
    while place + 8 <= len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        size = int.from_bytes(content[place + 8 : place + 16], "big") if size == 1 else size
        if size < 8:
            raise NoPlace("a box of it has no end")
        yield content[place + 4 : place + 8], place, place + size
        place += size


CONTAINERS = {
    ".glb": Container(_put_glb, _take_glb),
    ".obj": Container(_put_comments, _take_comments),
    ".mtl": Container(_put_comments, _take_comments),
    ".ply": Container(_put_ply, _take_ply),
    ".png": Container(_put_png, _take_png),
    ".mp4": Container(_put_mp4, _take_mp4),
}
