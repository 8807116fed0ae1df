"""The light of the toy world on a texture, and the texture without it.

The embedded priors learned from renders under one fixed sun, a lamp at the camera and light from everywhere
(`prior3d/toyworld/renders.py`). So what they draw has this light in its colours. It depends on a surface's direction
alone, but for the lamp, which is averaged here.
"""

import numpy as np
from jaxtyping import Float

from prior3d.meshes.atlas import Atlas, dilate, texels
from prior3d.meshes.export import read_glb
from prior3d.meshes.files import TO_FILE, TO_WORLD, glb_bytes
from prior3d.meshes.mesh import TexturedMesh, vertex_normals
from prior3d.toyworld.renders import AMBIENT, HEADLIGHT, SUN, SUNLIGHT

# The mean cosine between a normal and the line of sight over all cameras that see a surface, each by the area that it
# sees: the integral of cos^2 over a half sphere, by that of cos.
FACING = 2 / 3


def mean_light(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """How much light falls on surfaces: what their colours were multiplied by, in the mean over all cameras.

    Args:
        normals: [n, 3] unit, in the world: z up, the front along +x.
    """
    light: np.ndarray = AMBIENT + SUNLIGHT * (0.5 + 0.5 * normals @ SUN) + HEADLIGHT * FACING
    return light


def without_light(mesh: TexturedMesh) -> TexturedMesh:
    """A mesh whose texture holds the colours under even light; vertices, faces and UVs stay.

    Args:
        mesh: in the world, with a square texture that shows what the embedded priors draw.

    Raises:
        ValueError: the texture is not square.
    """
    height, width = mesh.texture.shape[:2]
    if height != width:
        raise ValueError(f"toy light: the texture has {width} x {height} texels; give a square one")
    atlas = Atlas(mesh.vertices, mesh.faces, mesh.uv, vertex_normals(mesh.vertices, mesh.faces), 0)
    places = texels(atlas, height)
    light, known = np.zeros((height, width, 1)), np.zeros((height, width), dtype=bool)
    light[places.rows, places.columns, 0] = mean_light(places.normals)
    known[places.rows, places.columns] = True
    # Beyond the charts lie their colours too, grown outwards for filtering; their light is grown as far.
    even = mesh.texture / np.maximum(dilate(light, known, steps=16), AMBIENT)
    return TexturedMesh(mesh.vertices, mesh.faces, mesh.uv, even.clip(0, 1).astype(np.float32))


def glb_without_light(content: bytes) -> bytes:
    """A GLB of this project, y up, whose texture holds the colours under even light.

    Raises:
        Prior3dError: it cannot be read.
        ValueError: its texture is not square.
    """
    mesh = read_glb(content)
    even = without_light(TexturedMesh(mesh.vertices[:, TO_WORLD], mesh.faces, mesh.uv, mesh.texture))
    return glb_bytes(mesh.vertices, vertex_normals(even.vertices, even.faces)[:, TO_FILE], even)
