"""Valid files, changed a little: bytes flipped, cut, doubled; in JSON and YAML also values swapped for odd ones."""

import gzip
import json
import random
import re
import struct
from collections.abc import Callable
from typing import Any

Change = Callable[[bytes, random.Random], bytes]
ODD_NUMBERS = (
    b"\xff" * 4,
    b"\xff" * 8,
    bytes(8),
    b"\x7f\xff\xff\xff",
    (2**40).to_bytes(8, "little"),
    b"\x80" + bytes(3),
)
ODD_TEXTS = (
    b"1e999",
    b"-1",
    b"NaN",
    b"9" * 30,
    b"../../x",
    b"%s%n",
    b"\x00",
    b"\xff\xfe",
    b"{" * 50,
    b"[" * 2000,
    b"\n\n",
)
ODD_FLOATS = tuple(struct.pack("<f", value) for value in (float("nan"), float("inf"), 3e38, -3e38, 1e-44, -0.0))
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**400, -(2**63), 2**64, 0.0, float("inf"), float("-inf"), float("nan"), 1e-320,
    1e308, "", "a", "../../x", "/etc/hostname", "x" * 5000, "\x00", "\ud800", "1e999", "\x1b[31m", [], [[]], {},
    {"a": 1}, [None], [0] * 100, {"": {}},
)  # fmt: skip


def changed_bytes(content: bytes, rng: random.Random) -> bytes:
    """One to four changes of bytes."""
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at, kind = rng.randrange(len(found) + 1), rng.randrange(8)
        length = rng.choice((1, 1, 2, 4, 8, 64, 1024))
        if kind == 0 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(found):
            found[at] = rng.randrange(256)
        elif kind == 2:
            del found[at : at + length]
        elif kind == 3:
            del found[at:]
        elif kind == 4:
            found[at:at] = found[at : at + length]
        elif kind == 5:
            odd = rng.choice(ODD_NUMBERS)
            found[at : at + len(odd)] = odd
        elif kind == 6:
            odd = rng.choice(ODD_TEXTS)
            found[at : at + rng.choice((0, len(odd)))] = odd
        else:
            other = rng.randrange(len(found) + 1)
            found[at : at + length] = found[other : other + length]
    return bytes(found)


def changed_json(content: bytes, rng: random.Random) -> bytes:
    """A JSON text with one to three values swapped, taken out or nested deep; sometimes changed as bytes."""
    if rng.random() < 0.3:
        return changed_bytes(content, rng)
    value = json.loads(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        value = _changed(value, rng)
    text = json.dumps(value)
    if rng.random() < 0.03:
        text = text.replace("null", "[" * 3000 + "]" * 3000).replace("0.0", '{"a":' * 3000 + "1" + "}" * 3000, 1)
    return text.encode("utf-8", "surrogatepass")


def changed_tensors(content: bytes, rng: random.Random) -> bytes:
    """A safetensors file with its header changed as JSON, its numbers by odd ones, or all of it as bytes."""
    kind, length = rng.random(), int.from_bytes(content[:8], "little")
    header, numbers = content[8 : 8 + length], content[8 + length :]
    if kind < 0.4:
        return changed_bytes(content, rng)
    if kind < 0.8:
        header = changed_json(header, rng)
        return len(header).to_bytes(8, "little") + header + numbers
    odd, at = rng.choice(ODD_FLOATS), 4 * rng.randrange(max(1, len(numbers) // 4))
    return content[: 8 + length] + numbers[:at] + odd + numbers[at + 4 :]


def changed_gzip(content: bytes, rng: random.Random, inside: Change = changed_bytes) -> bytes:
    """A gzip file, mostly with what it holds changed."""
    if rng.random() < 0.3:
        return changed_bytes(content, rng)
    return gzip.compress(inside(gzip.decompress(content), rng), 1)


def changed_gzip_of_json(content: bytes, rng: random.Random) -> bytes:
    """A gzip file of JSON."""
    return changed_gzip(content, rng, changed_json)


def changed_text(content: bytes, rng: random.Random) -> bytes:
    """A text with words exchanged or replaced by odd ones; sometimes changed as bytes."""
    if rng.random() < 0.5:
        return changed_bytes(content, rng)
    words = re.split(rb"([\s,:/]+)", content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        words[rng.randrange(len(words))] = rng.choice((*ODD_TEXTS, rng.choice(words), b"0", b"-9" * 40, b'"', b"'"))
    return b"".join(words)


def _changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place in it changed."""
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    if not inner or rng.random() < 0.1:
        return rng.choice(ODD_VALUES)
    key, chosen = rng.choice(inner)
    how = rng.random()
    copy = dict(value) if isinstance(value, dict) else list(value)
    if how < 0.12:
        del copy[key]
    elif how < 0.2 and isinstance(copy, list):
        copy.insert(key, chosen)
    elif how < 0.28:
        copy[key] = rng.choice(inner)[1]
    else:
        copy[key] = _changed(chosen, rng)
    return copy
