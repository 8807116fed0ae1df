"""One ball in two colours, as a field, as a mesh and with its texture."""

import pytest

from prior3d.fields import ObjectField
from prior3d.meshes.baking import bake
from prior3d.meshes.extraction import isosurface
from prior3d.meshes.mesh import Mesh, TexturedMesh
from prior3d.meshes.simplification import simplify
from tests.foggy_ball import ball, painted, sphere_grid, two_colours


@pytest.fixture(scope="module")
def field() -> ObjectField:
    return painted(ball, two_colours)


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    return simplify(isosurface(sphere_grid(0.6), 10.0, 1.0), max_faces=1500, smoothing_steps=0)


@pytest.fixture(scope="module")
def textured(sphere, field) -> TexturedMesh:
    return bake(sphere, field, resolution=128, depth=0.06)[0]
