"""Do images of a field agree on the colour of each surface point?"""

import numpy as np
import torch
from jaxtyping import Float

from prior3d.cameras import Cameras
from prior3d.meshes.mesh import Mesh, TexturedMesh, vertex_normals
from prior3d.meshes.raster import Raycaster, sample_texture
from prior3d.rendering.rays import project


def photo_inconsistency(
    mesh: Mesh | TexturedMesh,
    cameras: Cameras,
    images: Float[np.ndarray, "views height width 3"],
    max_points: int = 4000,
) -> tuple[float, int]:
    """How much the colour of a surface point varies between the images that show it.

    A point counts where at least two cameras see it unoccluded and not at a slant of more than 60 degrees.

    Args:
        mesh: the surface.
        cameras: [views].
        images: [views, height, width, 3] in [0, 1].
        max_points: vertices are thinned evenly to this many.

    Returns:
        the mean over points of the standard deviation over views, in [0, 0.5] (0 where no point counts), and the
        number of points that count.
    """
    every = max(1, len(mesh.vertices) // max_points)
    points = mesh.vertices[::every].astype(np.float32)
    normals = vertex_normals(mesh.vertices, mesh.faces)[::every]
    pixels, distances = (values.numpy() for values in project(cameras, torch.from_numpy(points)))
    positions = cameras.positions.numpy()
    toward = points[None] - positions[:, None]
    toward /= np.linalg.norm(toward, axis=-1, keepdims=True)
    hits = Raycaster(mesh).cast(np.broadcast_to(positions[:, None], toward.shape), toward)
    cos_theta = -(toward * normals[None]).sum(-1)
    seen = (np.abs(hits.distance - distances) < 0.01) & (cos_theta > 0.5)
    height, width = images.shape[1:3]
    uv = np.stack([pixels[..., 0] / width, 1 - pixels[..., 1] / height], -1)
    colours = np.stack([sample_texture(image, places) for image, places in zip(images, uv, strict=True)])
    counted = seen.sum(0) >= 2
    if not counted.any():
        return 0.0, 0
    weights = seen[:, counted, None] / seen[:, counted].sum(0)[:, None]
    mean = (colours[:, counted] * weights).sum(0)
    deviation = np.sqrt((((colours[:, counted] - mean) ** 2) * weights).sum(0))
    return float(deviation.mean()), int(counted.sum())
