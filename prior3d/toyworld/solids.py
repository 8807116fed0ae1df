"""Triangle solids from which toy objects are assembled: lathes, boxes, prisms, tori and tubes.

Every solid carries a normal for each corner of each face, so round things shade smoothly and edges stay sharp.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

SEGMENTS = 28


@dataclass(frozen=True)
class Solid:
    """A closed triangle mesh: vertices [n, 3], faces [m, 3] (outward by the right hand), corner normals [m, 3, 3]."""

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    normals: Float[np.ndarray, "faces 3 3"]

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> "Solid":
        """Translate."""
        return replace(self, vertices=self.vertices + np.array([x, y, z]))

    def scaled(self, x: float, y: float, z: float) -> "Solid":
        """Scale about the origin by positive factors; normals follow by the inverse transpose."""
        factors = np.array([x, y, z])
        return replace(self, vertices=self.vertices * factors, normals=_unit(self.normals / factors))

    def turned(self, axis: str, angle_deg: float) -> "Solid":
        """Rotate about a coordinate axis ("x", "y" or "z"), counter-clockwise seen from the axis' tip."""
        angle = np.deg2rad(angle_deg)
        c, s = np.cos(angle), np.sin(angle)
        first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        matrix = np.eye(3)
        matrix[first, first] = matrix[second, second] = c
        matrix[first, second], matrix[second, first] = -s, s
        return replace(self, vertices=self.vertices @ matrix.T, normals=self.normals @ matrix.T)


Pieces = list[tuple[Solid, str]]  # a solid and its role: "main", "part", or the name of a fixed colour
Uniform = Callable[[float, float], float]  # draws a number between two


def merge(solids: Sequence[Solid]) -> Solid:
    """Put several solids into one, without any boolean operation."""
    offsets = np.cumsum([0, *[len(s.vertices) for s in solids[:-1]]])
    return Solid(
        np.concatenate([s.vertices for s in solids]),
        np.concatenate([s.faces + o for s, o in zip(solids, offsets, strict=True)]),
        np.concatenate([s.normals for s in solids]),
    )


def lathe(profile: Sequence[tuple[float, float]], smooth: bool = False, segments: int = SEGMENTS) -> Solid:
    """Turn a profile of (radius, height) points, listed from the bottom up the outside, about the z axis."""
    points = np.asarray(profile, dtype=float)
    steps = np.diff(points, axis=0)
    outward = _unit(np.stack([steps[:, 1], -steps[:, 0]], axis=1))  # [rows, 2] normal of each profile segment
    low, high = outward.copy(), outward.copy()
    if smooth:
        mean = _unit(outward[1:] + outward[:-1])
        low[1:], high[:-1] = mean, mean
    angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rings = points[:, None, 0, None] * circle[None]  # [points, segments, 2]
    heights = np.broadcast_to(points[:, 1, None, None], (*rings.shape[:2], 1))
    vertices = np.concatenate([rings, heights], axis=-1).reshape(-1, 3)
    here, there = np.arange(segments), (np.arange(segments) + 1) % segments
    row = np.arange(len(steps))[:, None] * segments
    a, b = row + here, row + there
    c, d = b + segments, a + segments
    below, above = _around(low, circle), _around(high, circle)
    faces = np.stack([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)], axis=1)
    normals = np.stack(
        [
            np.stack([below, below[:, there], above[:, there]], axis=-2),
            np.stack([below, above[:, there], above], axis=-2),
        ],
        axis=1,
    )
    wide = points[:, 0] > 1e-9
    kept = np.stack([wide[:-1], wide[1:]], axis=1)  # [rows, 2]: the triangles whose edge on a ring has a length
    return Solid(vertices, faces[kept].reshape(-1, 3), normals[kept].reshape(-1, 3, 3))


def sphere(radius: float = 1.0, segments: int = SEGMENTS) -> Solid:
    """A ball about the origin."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    profile = [(max(radius * np.cos(a), 0.0), radius * np.sin(a)) for a in angles]
    profile[0], profile[-1] = (0.0, -radius), (0.0, radius)
    return lathe(profile, smooth=True, segments=segments)


def dome(radius: float, height: float, depth: float = 0.0) -> Solid:
    """Half an ellipsoid standing on z = 0, its underside hollowed upwards by `depth`."""
    angles = np.linspace(0, np.pi / 2, 10)
    shell = [(radius * np.cos(a), height * np.sin(a)) for a in angles[:-1]] + [(0.0, height)]
    under = lathe([(0.0, depth), (radius, 0.0)])
    return merge([under, lathe(shell, smooth=True)])


def frustum(bottom: float, top: float, height: float, segments: int = SEGMENTS) -> Solid:
    """A cylinder or cone from z = 0 to z = height with the two radii."""
    return lathe([(0.0, 0.0), (bottom, 0.0), (top, height), (0.0, height)], segments=segments)


def box(x: float, y: float, z: float) -> Solid:
    """A box of those edge lengths, centred in x and y, standing on z = 0."""
    return prism([(-x / 2, -y / 2), (x / 2, -y / 2), (x / 2, y / 2), (-x / 2, y / 2)], z)


def prism(outline: Sequence[tuple[float, float]], height: float) -> Solid:
    """Extrude a convex counter-clockwise outline in the xy plane from z = 0 to z = height."""
    points = np.asarray(outline, dtype=float)
    n = len(points)
    low = np.concatenate([points, np.zeros((n, 1))], axis=1)
    vertices = np.concatenate([low, low + [0, 0, height]])
    faces = []
    for i in range(n):
        j = (i + 1) % n
        faces += [(i, j, n + j), (i, n + j, n + i)]
    for i in range(1, n - 1):
        faces += [(0, i + 1, i), (n, n + i, n + i + 1)]
    return flat_shaded(vertices, np.array(faces))


def torus(ring: float, tube: float, segments: int = SEGMENTS) -> Solid:
    """A ring about the z axis: distance from axis to tube centre, and the tube's radius."""
    angles = np.linspace(0, 2 * np.pi, segments, endpoint=False)
    path = np.stack([ring * np.cos(angles), ring * np.sin(angles), np.zeros(segments)], axis=1)
    return pipe(path, tube, closed=True)


def pipe(path: Float[np.ndarray, "points 3"], radius: float, closed: bool = False, sides: int = 14) -> Solid:
    """Sweep a circle along a path [n, 3] that bends and lies in one plane; open ends are capped."""
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0)
    if not closed:
        ahead[0], ahead[-1] = path[1] - path[0], path[-1] - path[-2]
    ahead = _unit(ahead)
    plane = np.cross(path[1] - path[0], path[-1] - path[0])
    binormal = plane / np.linalg.norm(plane)
    side = np.cross(binormal, ahead)
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    spokes = np.cos(angles)[None, :, None] * side[:, None] + np.sin(angles)[None, :, None] * binormal
    vertices = (path[:, None] + radius * spokes).reshape(-1, 3)
    n = len(path)
    rows = np.arange(n if closed else n - 1)[:, None]
    here, there = np.arange(sides)[None], (np.arange(sides)[None] + 1) % sides
    a, b = rows * sides + here, rows * sides + there
    d, c = (rows + 1) % n * sides + here, (rows + 1) % n * sides + there
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])[:, ::-1]
    normals = spokes.reshape(-1, 3)[faces]
    if not closed:
        ends = np.stack([path[0], path[-1]])
        vertices = np.concatenate([vertices, ends])
        ring, last = np.arange(sides), (n - 1) * sides + np.arange(sides)
        start = np.stack([np.full(sides, n * sides), ring, np.roll(ring, -1)], axis=1)
        stop = np.stack([np.full(sides, n * sides + 1), np.roll(last, -1), last], axis=1)
        faces = np.concatenate([faces, start, stop])
        caps = np.concatenate([np.broadcast_to(-ahead[0], (sides, 3, 3)), np.broadcast_to(ahead[-1], (sides, 3, 3))])
        normals = np.concatenate([normals, caps])
    return _outward(Solid(vertices, faces, normals))


def _outward(solid: Solid) -> Solid:
    corners = solid.vertices[solid.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    wrong = (flat * solid.normals.mean(axis=1)).sum(-1) < 0
    faces, normals = solid.faces.copy(), solid.normals.copy()
    faces[wrong], normals[wrong] = faces[wrong][:, ::-1], normals[wrong][:, ::-1]
    return Solid(solid.vertices, faces, normals)


def flat_shaded(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> Solid:
    """A solid of vertices [n, 3] and faces [m, 3] whose every face has one normal."""
    corners = vertices[faces]
    normal = _unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    return Solid(vertices, faces, np.repeat(normal[:, None], 3, axis=1))


def _around(
    normals: Float[np.ndarray, "rows 2"], circle: Float[np.ndarray, "segments 2"]
) -> Float[np.ndarray, "rows segments 3"]:
    """Turn normals [rows, 2] of (radius, height) round the axis: [rows, segments, 3]."""
    heights = np.broadcast_to(normals[:, None, 1:], (len(normals), len(circle), 1))
    return np.concatenate([normals[:, None, :1] * circle, heights], axis=-1)


def _unit(vectors: Float[np.ndarray, "*vectors axes"]) -> Float[np.ndarray, "*vectors axes"]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: np.ndarray = vectors / np.maximum(lengths, 1e-12)
    return unit


def four(solid: Solid, x: float, y: float) -> Solid:
    """Four copies at the corners (±x, ±y)."""
    return merge([solid.moved(i * x, j * y) for i in (-1, 1) for j in (-1, 1)])


def pair(solid: Solid, y: float) -> Solid:
    """Two copies at ±y."""
    return merge([solid.moved(y=y), solid.moved(y=-y)])


def two_sided(solid: Solid) -> Solid:
    """The solid with its back faces too, for sheets that are seen from both sides."""
    return merge([solid, Solid(solid.vertices, solid.faces[:, ::-1], -solid.normals)])
