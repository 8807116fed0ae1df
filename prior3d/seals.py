"""A safetensors file with a SHA-256 of all its bytes in its header: a bit that a disk turned over is found.

The digest is taken with zeros in its own place. Nothing here needs torch.
"""

import hashlib
import json
import re
from typing import Any

from prior3d.limits import parse_json

CHECKPOINT = "prior3d-checkpoint-2"  # the format of a checkpoint
UNSEALED_CHECKPOINT = "prior3d-checkpoint-1"  # until version 0.1: without a digest
FIELD, UNSEALED = "sha256", "0" * 64
SEAL = re.compile(rb'"sha256" ?: ?"([0-9a-f]{64})"')


def header(content: bytes) -> dict[str, Any]:
    """The JSON header of a safetensors file (raises ValueError)."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError(f"{len(content)} bytes, fewer than its header has")
    found = parse_json(content[8 : 8 + length])
    if not isinstance(found, dict):
        raise ValueError("its header is no JSON object")
    return found


def sealed(content: bytes) -> bytes:
    """A file whose metadata have `sha256` at `UNSEALED`, with the digest in its place."""
    place = _place(content)
    if place is None or content[place : place + 64] != UNSEALED.encode():
        raise ValueError("its metadata have no place for a digest")
    return content[:place] + hashlib.sha256(content).hexdigest().encode() + content[place + 64 :]


def is_whole(content: bytes) -> bool | None:
    """Whether a file is as it was sealed; None if it has no seal."""
    place = _place(content)
    if place is None:
        return None
    digest = hashlib.sha256(content[:place])
    digest.update(UNSEALED.encode())
    digest.update(content[place + 64 :])
    return digest.hexdigest().encode() == content[place : place + 64]


def _place(content: bytes) -> int | None:
    found = SEAL.search(content, 8, min(len(content), 8 + int.from_bytes(content[:8], "little")))
    return found.start(1) if found else None


def sealed_json(values: dict[str, Any]) -> str:
    """Values as JSON on one line, with a digest of it."""
    return json.dumps(values | {FIELD: _json_digest(values)})


def json_is_whole(values: dict[str, Any]) -> bool | None:
    """Whether values are as they were sealed; None if they have no seal."""
    return values[FIELD] == _json_digest(values) if FIELD in values else None


def _json_digest(values: dict[str, Any]) -> str:
    plain = {key: value for key, value in values.items() if key != FIELD}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
