"""Read OBJ as programs write it, line by line: vertices keep the order and number in which they stand in the file.

Libraries split and reorder vertices where the texture has seams. The dialects that are read: a byte order mark, UTF-16,
keywords in capitals, lines continued with a backslash, remarks behind data, texture places of one number.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from prior3d.errors import Prior3dError
from prior3d.meshes.given import GivenMesh
from prior3d.meshes.polygons import picked, triangulated

MOST_ROWS = 2**31  # vertices that a file can hold; a larger number is damage


@dataclass
class _Content:
    """What was read so far; a place is -1 where a corner names none."""

    vertices: list[list[float]] = field(default_factory=list)
    places: list[list[float]] = field(default_factory=list)
    polygons: list[list[int]] = field(default_factory=list)
    place_polygons: list[list[int]] = field(default_factory=list)


def read_obj(path: Path) -> GivenMesh:
    """Vertices, texture places and faces of an OBJ file; polygons become triangles, all groups one mesh.

    Raises:
        Prior3dError: a line is no OBJ; says which.
    """
    content = _Content()
    for number, line in _lines(path):
        keyword, *words = line.split()
        try:
            _take(content, keyword.lower(), words)
        except (ValueError, IndexError):
            raise Prior3dError(
                f"mesh {path.name}, line {number}: {line.strip()[:60]!r} is no OBJ; export it again"
            ) from None
    vertices = np.array(content.vertices, dtype=np.float64).reshape(-1, 3)
    corners, owner = triangulated(vertices, content.polygons)
    faces, uv_faces = (picked(rows, corners, owner) for rows in (content.polygons, content.place_polygons))
    whole = (
        len(content.places) > 0 and len(uv_faces) > 0 and 0 <= uv_faces.min() <= uv_faces.max() < len(content.places)
    )
    uv = np.array(content.places, dtype=np.float64) if whole else None
    return GivenMesh(vertices, faces, uv, uv_faces if whole else None)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that say something, joined where they go on, without remarks; with the number of the first of them."""
    with path.open("rb") as stream:
        mark = stream.read(4)
    encoding = "utf-16" if mark.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    with path.open(encoding=encoding, errors="replace") as stream:
        begun, begun_at = "", 0
        for number, line in enumerate(stream, 1):
            said = line.partition("#")[0].rstrip()
            begun_at = number if not begun else begun_at
            if said.endswith("\\"):
                begun += said[:-1] + " "
                continue
            whole, begun = begun + said, ""
            if whole.strip():
                yield begun_at, whole
        if begun.strip():
            yield begun_at, begun


def _take(content: _Content, keyword: str, words: list[str]) -> None:
    """Add what one line says; raises ValueError or IndexError where it says nothing right."""
    if keyword == "v":
        content.vertices.append([float(words[axis]) for axis in range(3)])
    elif keyword == "vt":
        content.places.append([float(words[0]), float(words[1]) if len(words) > 1 else 0.0])
    elif keyword == "f":
        corners = [_corner(word, len(content.vertices), len(content.places)) for word in words]
        if len(corners) >= 3:
            content.polygons.append([vertex for vertex, _ in corners])
            content.place_polygons.append([place for _, place in corners])


def _corner(word: str, n_vertices: int, n_places: int) -> tuple[int, int]:
    """`vertex/place/normal` of a face's corner, from 0; the place is -1 where none is named. Negative counts back."""
    vertex, _, rest = word.partition("/")
    place = rest.partition("/")[0]
    v, p = int(vertex), int(place) if place else 0
    if max(abs(v), abs(p)) > MOST_ROWS:
        raise ValueError(word)
    return v - 1 if v > 0 else n_vertices + v, -1 if p == 0 else p - 1 if p > 0 else n_places + p
