"""Models of a library as triangles with materials: OBJ, MTL and textures, put into the toy world's sphere."""

import zipfile
from dataclasses import dataclass, field, replace
from posixpath import dirname, join, normpath

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from numpy.typing import NDArray
from PIL import Image

from prior3d.errors import Prior3dError
from prior3d.images.opening import opened_image
from prior3d.realobjects.catalogue import Entry

RADIUS = 0.95  # of the sphere about the origin that objects are scaled to, as toy objects are
TO_WORLD = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)  # y up and front +z to z up and front +x
BRIGHTER = 1.2  # exporters wrote 0.64 and 0.8 for white; the libraries' own icons are as much brighter
LEAST_ALPHA = 0.45  # glass stays visible
LARGEST_TEXTURE = 256  # pixels a side
MOST_TRIANGLES = 150_000


@dataclass(frozen=True)
class Material:
    """How a surface looks: a colour [3], a share of light that it stops, and the file of its texture, or None."""

    colour: tuple[float, float, float] = (0.6, 0.6, 0.6)
    alpha: float = 1.0
    texture: str | None = None


@dataclass(frozen=True)
class Model:
    """Triangles with materials, z up, front along +x.

    Attributes:
        vertices: world.
        faces: rows of `vertices`.
        normals: of each corner of each face.
        uv: of each corner of each face, v up.
        material: of each face.
        materials: the first is that of faces without one.
        textures: RGBA by file name, bottom row first.
    """

    vertices: Float32[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    normals: Float32[np.ndarray, "faces 3 3"]
    uv: Float32[np.ndarray, "faces 3 2"]
    material: Int[np.ndarray, "faces"]
    materials: tuple[Material, ...]
    textures: dict[str, UInt8[np.ndarray, "height width 4"]]

    @property
    def areas(self) -> Float[np.ndarray, "faces"]:
        """Areas of the faces."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        area: NDArray[np.float64] = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
        return area


@dataclass
class _Lines:
    """The lines of an OBJ file by their kind; of each polygon the place of its first corner, and its material."""

    vertices: list[str] = field(default_factory=list)
    uv: list[str] = field(default_factory=list)
    normals: list[str] = field(default_factory=list)
    corners: list[str] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    materials: list[Material] = field(default_factory=lambda: [Material()])
    numbers: dict[str, int] = field(default_factory=dict)


def read_model(archive: zipfile.ZipFile, entry: Entry) -> Model:
    """Read an entry's model.

    Raises:
        Prior3dError: it has no faces.
    """
    files = {name.lower(): name for name in archive.namelist()}
    lines = _read_obj(archive, entry.model, files)
    if not lines.used:
        raise Prior3dError(f"{entry.library}: {entry.model} has no faces; leave this model out")
    vertices = _table(lines.vertices, 3)
    corners = _corner_rows(lines.corners, len(vertices), len(lines.uv), len(lines.normals))
    triangles, polygon = _fans(np.array(lines.first), len(corners))
    rows = corners[triangles]  # [faces, 3, 3]: vertex, uv, normal, -1 where there is none
    a, b, c = rows[:, :, 0].T
    good = (a != b) & (b != c) & (a != c)
    rows, material = rows[good], np.array(lines.used)[polygon][good]
    faces = rows[..., 0]
    turn = TO_WORLD @ entry.rotation
    vertices, stretch = _placed(vertices @ turn.T, faces, entry)
    normals = _flat_normals(vertices, faces)
    if lines.normals:
        given = _unit((_table(lines.normals, 3) @ turn.T) / stretch)
        normals[rows[..., 2] >= 0] = given[rows[..., 2][rows[..., 2] >= 0]]
    uv = np.zeros((len(faces), 3, 2))
    if lines.uv:
        uv[rows[..., 1] >= 0] = _table(lines.uv, 2)[rows[..., 1][rows[..., 1] >= 0]]
    textures = {m.texture: _texture(archive, m.texture) for m in lines.materials if m.texture}
    return Model(
        vertices.astype(np.float32), faces.astype(np.int32), normals.astype(np.float32), uv.astype(np.float32),
        material.astype(np.int32), tuple(lines.materials), textures,
    )  # fmt: skip


def refused_by_shape(model: Model) -> str | None:
    """Why a model is no single solid object, as far as its shape tells; else None."""
    extent = np.sort(np.ptp(model.vertices[np.unique(model.faces)], axis=0))
    if extent[0] < 0.06 * extent[2] or extent[1] < 0.10 * extent[2]:
        return "thin"
    clear = np.array([m.alpha < 0.5 for m in model.materials])[model.material]
    if clear.any() and model.areas[clear].sum() > 0.5 * model.areas.sum():
        return "mostly see-through"
    return f"over {MOST_TRIANGLES:,} triangles" if len(model.faces) > MOST_TRIANGLES else None


def plain_main(model: Model, least_share: float = 0.5) -> Bool[np.ndarray, "materials"] | None:
    """Which materials are the main one, if it has no texture and covers that share of the surface; else None.

    Materials of nearly the same colour count as one.
    """
    colours = np.array([m.colour for m in model.materials])
    plain = np.array([m.texture is None and m.alpha > 0.9 for m in model.materials])
    shares = np.bincount(model.material, weights=model.areas, minlength=len(colours)) / model.areas.sum()
    for first in np.argsort(-shares * plain):
        alike: NDArray[np.bool_] = plain & (np.abs(colours - colours[first]).max(axis=1) < 0.12)
        if plain[first] and shares[alike].sum() >= least_share:
            return alike
    return None


def recoloured(model: Model, which: Bool[np.ndarray, "materials"], colour: tuple[float, float, float]) -> Model:
    """The model with a colour for some of its materials; renders brighten colours, so it is darkened first."""
    r, g, b = (min(channel / BRIGHTER, 1.0) for channel in colour)
    return replace(
        model,
        materials=tuple(
            replace(m, colour=(r, g, b)) if chosen else m for m, chosen in zip(model.materials, which, strict=True)
        ),
    )


def reshaped(model: Model, scale: tuple[float, float, float], mirrored: bool) -> Model:
    """The model with its axes scaled, perhaps mirrored from left to right, in the sphere again."""
    factors = np.array(scale, np.float32) * np.array([1, -1 if mirrored else 1, 1], np.float32)
    vertices = model.vertices * factors
    vertices *= np.float32(RADIUS) / np.linalg.norm(vertices[np.unique(model.faces)], axis=1).max()
    return replace(model, vertices=vertices, normals=_unit(model.normals / factors).astype(np.float32))


def _read_obj(archive: zipfile.ZipFile, file: str, files: dict[str, str]) -> _Lines:
    text = archive.read(file).decode("latin-1").replace("\\\n", " ")
    lines, current = _Lines(), 0
    tables = {"v": lines.vertices, "vt": lines.uv, "vn": lines.normals}
    for line in text.splitlines():
        tag, _, rest = line.strip().partition(" ")
        if tag in tables:
            tables[tag].append(rest)
        elif tag == "f":
            lines.first.append(len(lines.corners))
            lines.corners += rest.split()
            lines.used.append(current)
        elif tag == "usemtl":
            current = lines.numbers.get(rest.strip(), 0)
        elif tag == "mtllib":
            path = files.get(normpath(join(dirname(file), rest.strip())).lower())
            if path is not None:
                _read_mtl(archive, path, files, lines)
    return lines


def _read_mtl(archive: zipfile.ZipFile, file: str, files: dict[str, str], lines: _Lines) -> None:
    for line in archive.read(file).decode("latin-1").splitlines():
        tag, _, rest = (part.strip() for part in line.strip().partition(" "))
        if tag == "newmtl":
            lines.numbers[rest] = len(lines.materials)
            lines.materials.append(Material())
        elif rest and len(lines.materials) > 1:
            lines.materials[-1] = _changed(lines.materials[-1], tag, rest, file, files)


def _changed(material: Material, tag: str, rest: str, file: str, files: dict[str, str]) -> Material:
    if tag == "Kd":
        r, g, b = np.clip(np.array(rest.split()[:3], float), 0, 1).tolist()
        return replace(material, colour=(r, g, b))
    if tag == "d":
        return replace(material, alpha=float(rest.split()[-1]))
    if tag == "map_Kd":  # authors' own paths are missing now and then: then the colour stays
        return replace(material, texture=files.get(normpath(join(dirname(file), rest.replace("\\", "/"))).lower()))
    return material


def _texture(archive: zipfile.ZipFile, file: str) -> UInt8[np.ndarray, "height width 4"]:
    with opened_image(archive.read(file), file, "fetch the library again") as opened:
        image = opened.convert("RGBA")
    scale = LARGEST_TEXTURE / max(image.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    return np.ascontiguousarray(np.asarray(image)[::-1])


def _placed(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], entry: Entry
) -> tuple[Float[np.ndarray, "vertices 3"], Float[np.ndarray, "3"]]:
    """Vertices with the catalogue's size along each axis, in the sphere; and the factors of the axes."""
    seen = vertices[np.unique(faces)]
    low, high = seen.min(axis=0), seen.max(axis=0)
    extent = high - low
    width, height, depth = entry.size_cm
    stretch = np.array([depth, width, height]) / np.maximum(extent, 1e-9)
    stretch[extent < 1e-6] = stretch[extent >= 1e-6].mean()
    placed = (vertices - (low + high) / 2) * stretch
    return placed * (RADIUS / np.linalg.norm(placed[np.unique(faces)], axis=1).max()), stretch


def _flat_normals(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "faces 3 3"]:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.repeat(_unit(np.cross(b - a, c - a))[:, None], 3, axis=1)


def _unit(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-20)
    return unit


def _table(lines: list[str], width: int) -> Float[np.ndarray, "rows width"]:
    columns = len(lines[0].split())
    values = np.array(" ".join(lines).replace(",", ".").split(), float)
    if len(values) == columns * len(lines):
        return values.reshape(-1, columns)[:, :width]
    return np.array([(line.split() + ["0"] * width)[:width] for line in lines], float)


def _corner_rows(corners: list[str], *sizes: int) -> Int[np.ndarray, "corners 3"]:
    """Corners such as 3/1/2, 3//2, 3 or -1: rows of vertices, uv and normals from 0, -1 where there is none."""
    unique, inverse = np.unique(corners, return_inverse=True)
    table = np.full((len(unique), 3), -1)
    for row, text in enumerate(unique):
        for column, part in enumerate(text.split("/")):
            if part:
                value = int(part)
                table[row, column] = value - 1 if value > 0 else sizes[column] + value
    rows: NDArray[np.int64] = table[inverse]
    return rows


def _fans(first: Int[np.ndarray, "polygons"], n_corners: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Triangles about each polygon's first corner [faces, 3], and the polygon of each [faces]."""
    n = np.maximum(np.diff([*first, n_corners]) - 2, 0)
    polygon = np.repeat(np.arange(len(first)), n)
    step = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    start = first[polygon]
    return np.stack([start, start + step + 1, start + step + 2], axis=1), polygon
