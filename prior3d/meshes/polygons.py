"""Polygons as triangles: convex ones as fans, all others by clipping ears, so that a notch stays open."""

import numpy as np
from jaxtyping import Bool, Float, Int

FLAT = 1e-12  # of a polygon's squared size: a corner that turns by less is straight


def triangulated(
    vertices: Float[np.ndarray, "vertices 3"], polygons: list[list[int]]
) -> tuple[Int[np.ndarray, "faces 3"], Int[np.ndarray, "faces"]]:
    """Cut polygons into triangles.

    Args:
        vertices: [vertices, 3].
        polygons: rows of `vertices`, at least three each, in order along the border; one that is named and not there
            makes a fan, since it has no shape.

    Returns:
        [faces, 3] corners by their place in their polygon, in the order of the polygons, and [faces] which polygon.
    """
    if not polygons:
        return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    sizes = np.array([len(polygon) for polygon in polygons], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(sizes - 2)])
    corners, owner = np.zeros((first[-1], 3), np.int64), np.repeat(np.arange(len(polygons)), sizes - 2)
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        fan = np.stack([np.zeros(size - 2, np.int64), np.arange(1, size - 1), np.arange(2, size)], -1)
        places = first[rows][:, None] + np.arange(size - 2)
        corners[places] = fan
        if size == 3:
            continue
        named = np.array([polygons[row] for row in rows])
        there = ((named >= 0) & (named < len(vertices))).all(-1)
        convex = np.ones(len(rows), bool)
        convex[there] = _strictly_convex(vertices[named[there]])
        for place in np.flatnonzero(~convex):
            corners[places[place]] = _clipped(_flattened(vertices[named[place]]))
    return corners, owner


def picked(
    polygons: list[list[int]], corners: Int[np.ndarray, "faces 3"], owner: Int[np.ndarray, "faces"]
) -> Int[np.ndarray, "faces 3"]:
    """Rows of triangles whose corners are places in their polygons, as `triangulated` gives them."""
    if not len(owner):
        return np.zeros((0, 3), np.int64)
    first = np.cumsum([0, *(len(polygon) for polygon in polygons)])[:-1]
    flat = np.array([row for polygon in polygons for row in polygon], dtype=np.int64)
    rows: np.ndarray = flat[first[owner][:, None] + corners]
    return rows


def _strictly_convex(points: Float[np.ndarray, "polygons corners 3"]) -> Bool[np.ndarray, "polygons"]:
    """Whether every corner turns the same way, and no corner is straight."""
    edges = np.roll(points, -1, axis=1) - points
    turns = np.cross(np.roll(edges, 1, axis=1), edges)
    size = (np.ptp(points, axis=1) ** 2).sum(-1)
    along = (turns * _newell(points)[:, None]).sum(-1)
    convex: np.ndarray = (along > FLAT * size[:, None]).all(-1)
    return convex


def _newell(points: Float[np.ndarray, "polygons corners 3"]) -> Float[np.ndarray, "polygons 3"]:
    """Unit normals of polygons that need not be flat (Newell's method); zeros where there is none."""
    local = points - points[:, :1]
    normals = np.cross(local, np.roll(local, -1, axis=1)).sum(1)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    unit: np.ndarray = normals / np.where(length > 0, length, 1)
    return unit


def _flattened(points: Float[np.ndarray, "corners 3"]) -> Float[np.ndarray, "corners 2"]:
    """A polygon seen along its normal, counter-clockwise."""
    normal = _newell(points[None])[0]
    across = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    across /= max(float(np.linalg.norm(across)), 1e-300)
    flat: np.ndarray = (points - points[0]) @ np.stack([across, np.cross(normal, across)], -1)
    return flat


def _clipped(points: Float[np.ndarray, "corners 2"]) -> Int[np.ndarray, "faces 3"]:
    """Triangles of a counter-clockwise polygon: ears are cut off one by one (Meisters 1975)."""
    left = np.arange(len(points))
    smallest = FLAT * float((np.ptp(points, axis=0) ** 2).sum())
    triangles = []
    while len(left) > 3:
        before, after = np.roll(left, 1), np.roll(left, -1)
        area = _cross(points[left] - points[before], points[after] - points[left])
        ears = (k for k in np.flatnonzero(area > smallest) if _is_ear(points, left, int(k)))
        ear = int(next(ears, area.argmax()))  # none is left in a polygon that crosses itself: the largest corner goes
        triangles.append([before[ear], left[ear], after[ear]])
        left = np.delete(left, ear)
    return np.array([*triangles, left.tolist()], dtype=np.int64)


def _is_ear(points: Float[np.ndarray, "corners 2"], left: Int[np.ndarray, "left"], k: int) -> bool:
    """Whether no other corner that is left lies in the triangle of one corner and its neighbours."""
    a, b, c = (points[left[(k + step) % len(left)]] for step in (-1, 0, 1))
    others = points[left]
    same = (others == a).all(-1) | (others == b).all(-1) | (others == c).all(-1)
    inside = np.ones(len(left), bool)
    for start, end in ((a, b), (b, c), (c, a)):
        inside &= _cross(np.broadcast_to(end - start, others.shape), others - start) >= 0
    return not (inside & ~same).any()


def _cross(first: Float[np.ndarray, "*n 2"], second: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n"]:
    product: np.ndarray = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return product
