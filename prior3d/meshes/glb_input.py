"""A person's GLB made plain for the reader: whole, uncompressed, its UVs kept, its normalised integers as floats.

trimesh reads integers that stand for fractions (glTF 2.0, section 3.11) as they are, and drops the UVs of a part that
has no material.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from prior3d.errors import Prior3dError
from prior3d.limits import parse_json

COMPRESSION = {"KHR_draco_mesh_compression": "Draco", "EXT_meshopt_compression": "meshopt"}
COMPRESSION |= {"KHR_meshopt_compression": "meshopt"}
HARMLESS = ("KHR_mesh_quantization", "KHR_texture_", "KHR_materials_", "KHR_lights_", "KHR_xmp", "EXT_texture_")
COPIES = "EXT_mesh_gpu_instancing"
INTEGERS = {5120: ("i1", 127), 5121: ("u1", 255), 5122: ("<i2", 32767), 5123: ("<u2", 65535)}  # kind, and what is 1
FLOAT = 5126
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}


def plain_glb(path: Path) -> bytes:
    """The content of a GLB file in which positions and UVs are floats, and every part has a material.

    Raises:
        Prior3dError: it is no GLB, cut off, compressed, or needs an extension that is not read here.
    """
    document, binary = _chunks(path)
    check_extensions(path, document)
    try:
        binary += _floats_of_normalised(document, binary)
        _add_materials(document)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise Prior3dError(
            f"mesh {path.name}: damaged GLB ({type(error).__name__}: {error}); export it again"
        ) from None
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    parts = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        binary += bytes(-len(binary) % 4)
        parts += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def check_extensions(path: Path, document: dict[str, Any]) -> None:
    """Refuse what would be read as something else than it is (raises Prior3dError)."""
    used = [name for key in ("extensionsRequired", "extensionsUsed") for name in document.get(key) or []]
    required = document.get("extensionsRequired") or []
    for name, called in COMPRESSION.items():
        if name in required:
            raise Prior3dError(
                f"mesh {path.name}: compressed with {called} ({name}), which is not read here; "
                "export it again without compression"
            )
    odd = [name for name in required if not str(name).startswith(HARMLESS)] + [COPIES] * (COPIES in used)
    if odd:
        raise Prior3dError(
            f"mesh {path.name}: it needs the glTF extension {odd[0]}, which is not read here; "
            "export it again without it"
        )


def _chunks(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary part of a GLB file."""
    content = path.read_bytes()
    if content[:4] != b"glTF" or len(content) < 20:
        raise Prior3dError(
            f"mesh {path.name}: it cannot be read as GLB (it does not begin as one); is it really GLB? Export it again"
        )
    version, length = struct.unpack("<II", content[4:12])
    if version != 2:
        raise Prior3dError(f"mesh {path.name}: glTF of version {version}; export it again as version 2")
    if length > len(content):
        raise Prior3dError(
            f"mesh {path.name}: the file is cut off: it says {length:,} bytes and holds {len(content):,}; "
            "fetch it again"
        )
    json_length = struct.unpack("<I", content[12:16])[0]
    try:
        document = parse_json(content[20 : 20 + json_length])
    except ValueError as error:
        raise Prior3dError(f"mesh {path.name}: damaged GLB ({error}); export it again") from None
    if not isinstance(document, dict):
        raise Prior3dError(f"mesh {path.name}: damaged GLB (its JSON is no object); export it again")
    rest = content[20 + json_length : length]
    binary_length = struct.unpack("<I", rest[:4])[0] if len(rest) >= 8 else 0
    return document, rest[8 : 8 + binary_length]


def _floats_of_normalised(document: dict[str, Any], binary: bytes) -> bytes:
    """Turn normalised integers of positions and UVs into floats: changes the document, gives what to append."""
    wanted = {
        place
        for mesh in document.get("meshes", [])
        for primitive in mesh["primitives"]
        for name, place in primitive["attributes"].items()
        if name == "POSITION" or name.startswith("TEXCOORD_")
    }
    added = bytes(-len(binary) % 4)
    for place in sorted(wanted):
        accessor = document["accessors"][place]
        if not accessor.get("normalized") or accessor["componentType"] not in INTEGERS:
            continue
        values = _values(accessor, document["bufferViews"][accessor["bufferView"]], binary)
        floats = values.astype("<f4").tobytes()
        view = {"buffer": 0, "byteOffset": len(binary) + len(added), "byteLength": len(floats)}
        document["bufferViews"].append(view)
        accessor |= {"bufferView": len(document["bufferViews"]) - 1, "byteOffset": 0, "componentType": FLOAT}
        accessor["normalized"] = False
        added += floats
    if document.get("buffers"):
        document["buffers"][0]["byteLength"] = len(binary) + len(added)
    return added


def _values(accessor: dict[str, Any], view: dict[str, Any], binary: bytes) -> np.ndarray:
    """The fractions [count, components] that an accessor of integers stands for."""
    if "sparse" in accessor or view.get("buffer", 0) != 0:
        raise ValueError("a sparse accessor, or one in another file, of integers")
    code, one = INTEGERS[accessor["componentType"]]
    kind = np.dtype(code)
    count, width = accessor["count"], COMPONENTS[accessor["type"]]
    stride = view.get("byteStride") or kind.itemsize * width
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stored = np.ndarray((count, width), kind, binary, start, (stride, kind.itemsize))
    fractions: np.ndarray = np.maximum(stored.astype(np.float64) / one, -1)
    return fractions


def _add_materials(document: dict[str, Any]) -> None:
    """Give parts with UVs and without a material an empty one."""
    bare = [p for mesh in document.get("meshes", []) for p in mesh["primitives"] if "material" not in p]
    if not bare:
        return
    materials = document.setdefault("materials", [])
    materials.append({"pbrMetallicRoughness": {}})
    for primitive in bare:
        primitive["material"] = len(materials) - 1
