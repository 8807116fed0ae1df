"""How near a mesh is to an exact toy object: F-score of the surfaces, IoU of the volumes."""

from typing import Any

import numpy as np

from prior3d.toyworld.objects import ToyObject

F_DISTANCE, N_POINTS, GRID = 0.05, 8000, 48


def scene_of(vertices: np.ndarray, faces: np.ndarray):
    """A ray casting scene of one mesh."""
    import open3d

    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        open3d.core.Tensor(np.ascontiguousarray(vertices, np.float32)),
        open3d.core.Tensor(np.ascontiguousarray(faces, np.uint32)),
    )
    return scene


def inside(scenes: list, points: np.ndarray) -> np.ndarray:
    """Whether points [n, 3] lie inside any of the closed meshes."""
    import open3d

    query = open3d.core.Tensor(points.astype(np.float32))
    return np.any([s.compute_occupancy(query, nthreads=1, nsamples=3).numpy() > 0.5 for s in scenes], axis=0)


def surface_points(vertices: np.ndarray, faces: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Points [n, 3] spread evenly over a mesh."""
    rng = np.random.default_rng(seed)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=-1)
    chosen = rng.choice(len(faces), n, p=area / area.sum())
    u, v = np.sort(rng.random((2, n)), axis=0)[..., None]
    return a[chosen] * u + b[chosen] * (v - u) + c[chosen] * (1 - v)


def geometry(toy: ToyObject, mesh: Any) -> tuple[float, float]:
    """F-score and volume IoU of a mesh against the object; parts inside other parts have no surface that counts."""
    from scipy.spatial import cKDTree

    true_parts = [scene_of(part.solid.vertices, part.solid.faces) for part in toy.parts]
    true_points = [surface_points(p.solid.vertices, p.solid.faces, N_POINTS) for p in toy.parts]
    areas = [len(p) for p in true_points]
    outer = []
    for k, points in enumerate(true_points):
        others = true_parts[:k] + true_parts[k + 1 :]
        outer.append(points[~inside(others, points)] if others else points)
    rng = np.random.default_rng(0)
    weights = [surface_area(p.solid.vertices, p.solid.faces) / n for p, n in zip(toy.parts, areas, strict=True)]
    chance = np.concatenate([np.full(len(points), w) for points, w in zip(outer, weights, strict=True)])
    everything = np.concatenate(outer)
    true = everything[rng.choice(len(everything), N_POINTS, p=chance / chance.sum())]
    made = surface_points(np.asarray(mesh.vertices), np.asarray(mesh.faces), N_POINTS)
    precision = float((cKDTree(true).query(made)[0] < F_DISTANCE).mean())
    recall = float((cKDTree(made).query(true)[0] < F_DISTANCE).mean())
    axis = (np.arange(GRID) + 0.5) / GRID * 2 - 1
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    a, b = inside(true_parts, grid), inside([scene_of(mesh.vertices, mesh.faces)], grid)
    iou = float((a & b).sum() / max((a | b).sum(), 1))
    return 2 * precision * recall / max(precision + recall, 1e-9), iou


def surface_area(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Area of a mesh."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=-1).sum() / 2)
