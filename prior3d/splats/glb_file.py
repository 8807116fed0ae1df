"""Splats in GLB by glTF's KHR_gaussian_splatting: programs that do not know it show coloured points."""

import json
import struct
from typing import Any

import numpy as np
import torch

from prior3d.limits import parse_json
from prior3d.splats.checks import BadSplats, check_count, degree_of, filled
from prior3d.splats.frames import Y_UP, turned
from prior3d.splats.model import HIGHEST_DEGREE, SH_CONSTANT, Splats

EXTENSION = "KHR_gaussian_splatting"
ROTATION, SCALE, OPACITY = (f"{EXTENSION}:{name}" for name in ("ROTATION", "SCALE", "OPACITY"))
HARMONICS = [f"{EXTENSION}:SH_DEGREE_{d}_COEF_{k}" for d in range(HIGHEST_DEGREE + 1) for k in range(2 * d + 1)]
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
NUMBERS = {ROTATION: 4, OPACITY: 1}  # a Gaussian; all others have three
FLOAT, POINTS, JSON_CHUNK, BINARY_CHUNK = 5126, 0, 0x4E4F534A, 0x004E4942


def glb_bytes(splats: Splats) -> bytes:
    """The content of a file."""
    there = turned(splats, Y_UP)
    with torch.no_grad():
        coefficients, alpha = there.coefficients, there.opacities.sigmoid()
        quats = there.quats / there.quats.norm(dim=-1, keepdim=True)
        fallback = (there.sh0[:, 0] * SH_CONSTANT + 0.5).clamp(0, 1)
        values = {
            "POSITION": there.means, "COLOR_0": torch.cat([fallback.pow(2.2), alpha[:, None]], 1),
            ROTATION: quats[:, [1, 2, 3, 0]], SCALE: there.scales.exp(), OPACITY: alpha[:, None],
        }  # fmt: skip
        values |= {name: coefficients[:, k] for k, name in enumerate(HARMONICS[: coefficients.shape[1]])}
    arrays = {name: value.numpy().astype("<f4") for name, value in values.items()}
    kinds = {width: kind for kind, width in WIDTHS.items()}
    views, accessors, place = list[dict[str, Any]](), list[dict[str, Any]](), 0
    for name, array in arrays.items():
        accessor: dict[str, Any] = {
            "bufferView": len(views),
            "componentType": FLOAT,
            "count": len(array),
            "type": kinds[array.shape[1]],
        }
        if name == "POSITION":
            accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        views.append({"buffer": 0, "byteOffset": place, "byteLength": array.nbytes})
        accessors.append(accessor)
        place += array.nbytes
    primitive = {
        "mode": POINTS, "attributes": {name: k for k, name in enumerate(arrays)},
        "extensions": {EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }  # fmt: skip
    content = {
        "asset": {"version": "2.0", "generator": "prior3d"}, "extensionsUsed": [EXTENSION], "scene": 0,
        "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}],
        "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": place}],
    }  # fmt: skip
    return _packed(content, b"".join(array.tobytes() for array in arrays.values()))


def _packed(content: dict[str, Any], binary: bytes) -> bytes:
    """A GLB of a JSON and a binary chunk."""
    text = json.dumps(content, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), JSON_CHUNK) + text + struct.pack("<II", len(binary), BINARY_CHUNK) + binary
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def read_glb_bytes(content: bytes) -> Splats:
    """Splats of a file's content (raises BadSplats)."""
    described, binary = _chunks(content)
    try:
        primitives = [part for mesh in described["meshes"] for part in mesh["primitives"]]
        own = [part for part in primitives if EXTENSION in part.get("extensions", {})]
        if len(own) != 1 or described["nodes"] != [{"mesh": 0}]:
            raise BadSplats(f"{len(own)} sets of splats in {len(described['nodes'])} nodes; one in one node is read")
        attributes = own[0]["attributes"]
        n = int(described["accessors"][attributes["POSITION"]]["count"])
        names = [name for name in HARMONICS if name in attributes]
        degree = degree_of(3 * len(names) - 3, "numbers of harmonics")
        check_count(n, 4 * (3 + 4 + 3 + 1 + 3 * len(names)), len(binary))
        means, quats, scales, alpha, *harmonics = (
            _values(described, binary, attributes, name, n) for name in ("POSITION", ROTATION, SCALE, OPACITY, *names)
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadSplats(f"its glTF lacks {error}") from error
    if bool((scales < 0).any()):
        raise BadSplats("a Gaussian has a negative size")
    rest = torch.stack(harmonics[1:], 1) if len(harmonics) > 1 else torch.zeros(n, 0, 3)
    found = filled(
        means, quats[:, [3, 0, 1, 2]], scales.clamp_min(1e-9).log(), torch.logit(alpha[:, 0].clamp(1e-6, 1 - 1e-6)),
        harmonics[0], rest, degree,
    )  # fmt: skip
    return turned(found, Y_UP, back=True)


def _chunks(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk."""
    if len(content) < 20 or content[:4] != b"glTF":
        raise BadSplats("it does not begin with the header of a GLB file")
    length, kind = struct.unpack_from("<II", content, 12)
    after = 20 + length
    if kind != JSON_CHUNK or len(content) < after + 8:
        raise BadSplats("it is cut off, or has no splats")
    size, _ = struct.unpack_from("<II", content, after)
    if len(content) < after + 8 + size:
        raise BadSplats(f"it is cut off: {size:,} bytes of numbers should follow, {len(content) - after - 8:,} do")
    try:
        described = parse_json(content[20:after])
    except ValueError as error:
        raise BadSplats(f"its JSON cannot be read ({error})") from error
    if not isinstance(described, dict):
        raise BadSplats("its JSON is no object")
    return described, content[after + 8 : after + 8 + size]


def _values(described: dict[str, Any], binary: bytes, attributes: dict[str, int], name: str, n: int) -> torch.Tensor:
    """[n, width] floats of an attribute."""
    accessor = described["accessors"][attributes[name]]
    view = described["bufferViews"][accessor["bufferView"]]
    width = WIDTHS.get(accessor["type"], 0)
    if accessor["componentType"] != FLOAT or not width or view.get("byteStride", 4 * width) != 4 * width:
        raise BadSplats("its numbers are packed; only plain 32-bit floats are read")
    if width != NUMBERS.get(name, 3):
        raise BadSplats(f"its {name} has {width} numbers a Gaussian, and {NUMBERS.get(name, 3)} are needed")
    start = int(view.get("byteOffset", 0)) + int(accessor.get("byteOffset", 0))
    if accessor["count"] != n or start < 0 or start + 4 * width * n > len(binary):
        raise BadSplats(f"{accessor['count']:,} values at byte {start:,} of {len(binary):,}, {n:,} Gaussians need more")
    return torch.from_numpy(np.frombuffer(binary, "<f4", n * width, start).reshape(n, width).copy())
