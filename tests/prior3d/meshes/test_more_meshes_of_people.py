"""Meshes that are right, in ways to write them that few programs use."""

import struct

import numpy as np
import pytest
import trimesh

from prior3d.meshes.given import GivenMesh
from prior3d.meshes.reading import read_mesh
from prior3d.meshes.uv import ensure_uv
from tests.prior3d.meshes.test_given_meshes import HERE
from tests.prior3d.meshes.test_meshes_of_people import BOX, BOX_QUADS, BOX_VERTICES, glb, volumes

POINTS = [f"v {x} {y} {z}" for x, y, z in BOX_VERTICES]
QUADS = ["f " + " ".join(map(str, quad)) for quad in BOX_QUADS]


def facet(corners):
    lines = "".join(f"  vertex {x} {y} {z}\n" for x, y, z in corners)
    return f"facet normal 0 0 0\n outer loop\n{lines} endloop\nendfacet\n"


def solids(count):
    """A box as text of STL, its faces spread over so many solids."""
    triangles = BOX.vertices[BOX.faces]
    parts = np.array_split(triangles, count)
    return "".join(f"solid part {k}\n{''.join(map(facet, part))}endsolid part {k}\n" for k, part in enumerate(parts))


def binary_stl(head):
    triangles = BOX.vertices[BOX.faces].astype("<f4")
    body = b"".join(bytes(12) + triangle.tobytes() + bytes(2) for triangle in triangles)
    return head.ljust(80).encode() + struct.pack("<I", len(triangles)) + body


def doubles():
    """A box as PLY of big doubles, with a colour, a confidence, and faces of four corners."""
    head = ["ply", "format binary_big_endian 1.0", "comment of a scanner", "element vertex 8"]
    head += [f"property double {name}" for name in "xyz"] + ["property uchar red", "property float confidence"]
    head += ["element face 6", "property list uchar int vertex_indices", "property uchar flags", "end_header"]
    points = b"".join(struct.pack(">dddBf", *point, 200, 0.5) for point in BOX_VERTICES)
    faces = b"".join(struct.pack(">BiiiiB", 4, *(corner - 1 for corner in quad), 7) for quad in BOX_QUADS)
    return "\n".join(head).encode() + b"\n" + points + faces


WAYS = {
    "objects, groups and materials without their MTL .obj": "\n".join(
        [
            "mtllib gone.mtl",
            *POINTS,
            "o one",
            "usemtl red",
            *QUADS[:3],
            "o two",
            "g a b",
            "usemtl blue",
            "s 1",
            *QUADS[3:],
        ]
    ).encode(),
    "normals, lines and points .obj": "\n".join(
        [*POINTS, "vn 0 0 1", "l 1 2 3", "p 1", *("f " + " ".join(f"{c}//1" for c in quad) for quad in BOX_QUADS)]
    ).encode(),
    "homogeneous coordinates and tabs .obj": "\n".join(
        [p.replace(" ", "\t") + "\t1.0" for p in POINTS] + QUADS
    ).encode(),
    "a solid as text .stl": solids(1).encode(),
    "several solids .stl": solids(3).encode(),
    "a binary that begins with solid .stl": binary_stl("solid made by a program"),
    "big doubles with more properties .ply": doubles(),
}


@pytest.mark.parametrize("way", WAYS)
def test_meshes_in_every_way_to_write_them(tmp_path, way):
    place = tmp_path / f"box.{way.rpartition('.')[2]}"
    place.write_bytes(WAYS[way])
    mesh = read_mesh(place)
    assert len(mesh.faces) == 12 and volumes(mesh) == [8.0]
    assert np.allclose([mesh.vertices.min(0), mesh.vertices.max(0)], [[-1] * 3, [1] * 3])


def test_a_strip_is_its_triangles(tmp_path):
    """A square of four corners as a strip, under a node that is twice as large as its parent."""
    corners = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], "<f4")
    content = {
        "scene": 1, "scenes": [{"nodes": []}, {"nodes": [0]}],
        "nodes": [{"scale": [2, 2, 2], "children": [1]}, {"scale": [2, 2, 2], "mesh": 0}, {"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 5}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": corners.nbytes}], "buffers": [{"byteLength": corners.nbytes}],
    }  # fmt: skip
    (tmp_path / "strip.glb").write_bytes(glb(content, corners.tobytes()))
    mesh = read_mesh(tmp_path / "strip.glb")
    normals = trimesh.triangles.normals(mesh.vertices[mesh.faces])[0]
    areas = trimesh.triangles.area(mesh.vertices[mesh.faces])
    assert len(mesh.faces) == 2 and areas.sum() == 16 and np.allclose(normals, [0, 0, 1])


def test_faces_that_share_no_vertex_get_few_charts():
    ball = trimesh.creation.icosphere(subdivisions=3)
    corners = np.asarray(ball.vertices)[ball.faces]
    flat = GivenMesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))
    mesh, fault, charts = ensure_uv(flat, HERE, 256)
    assert fault == "it has no UVs" and 1 <= charts < 40
    assert np.array_equal(mesh.vertices, flat.vertices) and np.array_equal(mesh.faces, flat.faces)
