"""A person's mesh as its file holds it: arrays in the file's own order and coordinates."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class GivenMesh:
    """Triangles as a file holds them; nothing about them is checked yet.

    Attributes:
        vertices: [vertices, 3] float64, the file's coordinates.
        faces: [faces, 3] int64, rows of `vertices`.
        uv: [places, 2] in the image, v upwards; None where the file has none.
        uv_faces: [faces, 3] rows of `uv`, for the corners of `faces`; None where the file has none.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    uv: Float[np.ndarray, "places 2"] | None = None
    uv_faces: Int[np.ndarray, "faces 3"] | None = None
