"""Where a person's mesh stands in the world: which way is up, its centre and its size, and the way back."""

from typing import Literal

import numpy as np
from jaxtyping import Float

from prior3d.errors import Prior3dError
from prior3d.meshes.mesh import Placement

Axis = Literal["auto", "x", "-x", "y", "-y", "z", "-z"]
Centre = Literal["vertices", "box"]


def place_mesh(
    vertices: Float[np.ndarray, "vertices 3"],
    up: str,
    front: str,
    radius: float,
    centre: Centre = "vertices",
    lift: float = 0.0,
) -> Placement:
    """Put a mesh about the origin, z up and front along +x, its farthest vertex `radius` away.

    The centre is the mean of the vertices (Latent-NeRF), or the middle of the box about them (the toy world's rule).

    Raises:
        Prior3dError: up and front lie along the same axis.
    """
    up_axis, front_axis = axis_vector(up), axis_vector(front)
    if (up_axis * front_axis).any():
        raise Prior3dError(f"mesh: up is {up} and front is {front}; give two different axes")
    rotation = np.stack([front_axis, np.cross(up_axis, front_axis), up_axis])
    middle = vertices.mean(0) if centre == "vertices" else (vertices.max(0) + vertices.min(0)) / 2
    farthest = float(np.linalg.norm(vertices - middle, axis=-1).max())
    return Placement(tuple(tuple(row) for row in rotation.tolist()), tuple(middle.tolist()), radius / farthest, lift)


def default_axes(suffix: str, up: Axis, front: Axis) -> tuple[str, str]:
    """Up and front where they are not given.

    OBJ and GLB are y up with the front along +z (glTF says so, OBJ by habit); PLY and STL are z up with the front along
    +x (scans and CAD, and this project's own PLY).
    """
    y_up = suffix.lower() in (".obj", ".glb")
    chosen = up if up != "auto" else ("y" if y_up else "z")
    if front != "auto":
        return chosen, front
    return chosen, {"y": "z", "z": "x", "x": "y"}[chosen.removeprefix("-")]


def axis_vector(name: str) -> Float[np.ndarray, "3"]:
    """The unit vector of `x`, `-y` ..."""
    vector = np.zeros(3)
    vector["xyz".index(name[-1])] = -1.0 if name.startswith("-") else 1.0
    return vector
