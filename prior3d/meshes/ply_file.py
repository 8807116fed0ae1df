"""Read PLY as programs write it: text or binary of either byte order, polygons of any and of mixed sizes, UVs.

trimesh reads no binary file in which triangles and quads are mixed, and makes fans of polygons.
"""

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from prior3d.errors import Prior3dError
from prior3d.meshes.given import GivenMesh
from prior3d.meshes.polygons import picked, triangulated

KINDS = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"}
KINDS |= {"double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
KINDS |= {"float32": "f4", "float64": "f8"}
ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
CORNERS = ("vertex_indices", "vertex_index")  # what programs call the corners of a face
PLACES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))
SPLAT_PROPERTIES = {"f_dc_0", "opacity", "rot_0", "scale_0"}
MOST_ROWS = 2**31
LONGEST_HEADER = 10_000  # lines


@dataclass
class _Element:
    """A kind of thing in the file: its properties (name, kind, kind of a list's length), and their values."""

    name: str
    count: int
    properties: list[tuple[str, str, str | None]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def fixed(self, order: str, lengths: dict[str, int]) -> np.dtype[Any]:
        """The layout of a row when the lists have those lengths."""
        fields: list[Any] = []
        for name, kind, length_kind in self.properties:
            if length_kind is not None:
                fields += [(f"{name} length", order + length_kind), (name, order + kind, (lengths[name],))]
            else:
                fields.append((name, order + kind))
        return np.dtype(fields)


def read_ply(path: Path) -> GivenMesh:
    """Vertices, UVs and faces of a PLY file; polygons become triangles.

    Raises:
        Prior3dError: no PLY, cut off, or without faces; a splat and a point cloud are called so.
    """
    with path.open("rb") as stream:
        try:
            order, elements = _header(stream)
            check_faces(path, elements)
            for element in elements.values():
                _read(stream, element, order)
        except EOFError as error:
            raise Prior3dError(f"mesh {path.name}: the file is cut off: {error}; fetch it again") from None
        except (ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
            reason = str(error)[:120] or type(error).__name__
            raise Prior3dError(
                f"mesh {path.name}: it cannot be read as PLY ({reason}); is it really PLY? Export it again"
            ) from None
    return _mesh(path, elements)


def check_faces(path: Path, elements: dict[str, _Element]) -> None:
    """Refuse a file whose header says that it has no faces (raises Prior3dError)."""
    n_points = elements["vertex"].count
    if "face" in elements and elements["face"].count:
        return
    names = {name for name, _, _ in elements["vertex"].properties}
    if names >= SPLAT_PROPERTIES:
        raise Prior3dError(
            f"mesh {path.name}: a Gaussian splat of {n_points:,} points, which has no faces; make a mesh of it in "
            "the program that made the splat, or give another file"
        )
    if "tristrips" in elements:
        raise Prior3dError(f"mesh {path.name}: its faces are triangle strips, which are not read; export triangles")
    raise Prior3dError(
        f"mesh {path.name}: a point cloud of {n_points:,} points, and no faces were found in it; reconstruct a surface "
        "first (in MeshLab: Screened Poisson), and export triangles"
    )


def _header(stream: BinaryIO) -> tuple[str, dict[str, _Element]]:
    """The byte order ('' for text) and the elements that a header announces."""
    if stream.readline(64).strip() != b"ply":
        raise ValueError("it does not begin with 'ply'")
    order: str | None = None
    elements: dict[str, _Element] = {}
    for line in islice(iter(lambda: stream.readline(4096), b""), LONGEST_HEADER):
        match line.decode("ascii", "replace").split():
            case ["end_header"]:
                if order is None or "vertex" not in elements:
                    raise ValueError("its header names no format or no vertices")
                return order, elements
            case ["format", kind, *_]:
                order = ORDERS[kind]
            case ["element", name, count]:
                elements[name] = _Element(name, int(count))
            case ["property", "list", length, kind, name]:
                list(elements.values())[-1].properties.append((name, KINDS[kind], KINDS[length]))
            case ["property", kind, name]:
                list(elements.values())[-1].properties.append((name, KINDS[kind], None))
    raise ValueError("its header has no end")


def _read(stream: BinaryIO, element: _Element, order: str) -> None:
    """Fill in an element's values: an array of each property, or a list of arrays where lists differ in length."""
    if not 0 <= element.count < MOST_ROWS:
        raise ValueError(f"{element.count} of {element.name}")
    lists = [name for name, _, length_kind in element.properties if length_kind is not None]
    if not order:
        _read_text(stream, element)
    elif not lists:
        _read_rows(stream, element, element.fixed(order, {}))
    else:
        _read_lists(stream, element, order, lists)


def _read_text(stream: BinaryIO, element: _Element) -> None:
    rows: dict[str, list[Any]] = {name: [] for name, _, _ in element.properties}
    for row in range(element.count):
        line = stream.readline()
        if not line:
            raise EOFError(f"{row:,} of {element.count:,} rows of {element.name} are there")
        words = line.split()
        start = 0
        for name, _, length_kind in element.properties:
            length = 1
            if length_kind is not None:
                length, start = int(words[start]), start + 1
            taken = [float(word) for word in words[start : start + length]]
            if len(taken) < length:
                raise ValueError(f"row {row} of {element.name} is too short")
            rows[name].append(taken if length_kind is not None else taken[0])
            start += length
    element.values = rows


def _read_rows(stream: BinaryIO, element: _Element, layout: np.dtype[Any]) -> None:
    content = stream.read(element.count * layout.itemsize)
    if len(content) < element.count * layout.itemsize:
        raise EOFError(f"{len(content) // layout.itemsize:,} of {element.count:,} rows of {element.name} are there")
    rows = np.frombuffer(content, layout)
    element.values = {name: rows[name] for name, _, _ in element.properties}


def _read_lists(stream: BinaryIO, element: _Element, order: str, lists: list[str]) -> None:
    """Rows with lists: at once if all are as long as the first row's, else one by one."""
    start, content = stream.tell(), stream.read()
    lengths, _ = _row(content, 0, element, order) if element.count else ({}, {})
    layout = element.fixed(order, {name: len(lengths.get(name, ())) for name in lists})
    if len(content) >= element.count * layout.itemsize:
        rows = np.frombuffer(content, layout, element.count)
        if all((rows[f"{name} length"] == rows[name].shape[1]).all() for name in lists):
            element.values = {name: rows[name] for name, _, _ in element.properties}
            stream.seek(start + element.count * layout.itemsize)
            return
    values: dict[str, list[Any]] = {name: [] for name, _, _ in element.properties}
    place = 0
    for number in range(element.count):
        try:
            row, place = _row(content, place, element, order)
        except ValueError:
            raise EOFError(f"{number:,} of {element.count:,} rows of {element.name} are there") from None
        for name, value in row.items():
            values[name].append(value)
    element.values = values
    stream.seek(start + place)


def _row(content: bytes, place: int, element: _Element, order: str) -> tuple[dict[str, Any], int]:
    """One row that begins at a place, and where the next begins; raises ValueError at the end of the content."""
    row = {}
    for name, kind, length_kind in element.properties:
        length = 1
        if length_kind is not None:
            length = int(np.frombuffer(content, order + length_kind, 1, place)[0])
            place += np.dtype(length_kind).itemsize
        values = np.frombuffer(content, order + kind, length, place) if length else np.zeros(0, kind)
        place += values.nbytes
        row[name] = values if length_kind is not None else values[0]
    return row, place


def _mesh(path: Path, elements: dict[str, _Element]) -> GivenMesh:
    """The mesh that the elements describe."""
    points, face = elements["vertex"].values, elements["face"].values
    name = next((known for known in CORNERS if known in face), None)
    if name is None or not all(axis in points for axis in "xyz"):
        raise Prior3dError(f"mesh {path.name}: no faces were found in it, or no x, y and z; export triangles")
    vertices = np.stack([np.asarray(points[axis], dtype=np.float64) for axis in "xyz"], -1)
    kept = [row for row, corners in enumerate(face[name]) if len(corners) >= 3]
    polygons = [[int(corner) for corner in face[name][row]] for row in kept]
    corners, owner = triangulated(vertices, polygons)
    faces = picked(polygons, corners, owner)
    wedges = face.get("texcoord")
    if wedges is not None and all(len(wedges[row]) == 2 * len(p) for row, p in zip(kept, polygons, strict=True)):
        uv = np.array([value for row in kept for value in wedges[row]], dtype=np.float64).reshape(-1, 2)
        first = np.cumsum([0, *(len(polygon) for polygon in polygons)])[:-1]
        return GivenMesh(vertices, faces, uv, first[owner][:, None] + corners)
    for across, along in PLACES:
        if across in points and along in points:
            uv = np.stack([np.asarray(points[axis], dtype=np.float64) for axis in (across, along)], -1)
            return GivenMesh(vertices, faces, uv, faces)
    return GivenMesh(vertices, faces)
