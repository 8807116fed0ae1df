"""Mesh files as people have them: dialects, polygons, mirrored and quantised parts, far places, honest refusals."""

import json
import struct

import numpy as np
import pytest
import trimesh

from prior3d.errors import Prior3dError
from prior3d.meshes.given import GivenMesh
from prior3d.meshes.mesh import Mesh, open_edge_fraction
from prior3d.meshes.painted_files import save_painted
from prior3d.meshes.placement import place_mesh
from prior3d.meshes.polygons import triangulated
from prior3d.meshes.raster import Raycaster
from prior3d.meshes.reading import read_mesh
from prior3d.meshes.uv import AtlasLimits, ensure_uv, uv_defect

U = [(0, 0), (6, 0), (6, 5), (4, 5), (4, 2), (2, 2), (2, 5), (0, 5)]
BOX = trimesh.creation.box((2.0, 2.0, 2.0))
BOX_VERTICES = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
BOX_QUADS = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]

POINTS = b"ply\nformat ascii 1.0\nelement vertex 3\nend_header\n"


def area(mesh):
    return float(trimesh.triangles.area(mesh.vertices[mesh.faces]).sum())


def volumes(mesh):
    shape = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    shape.merge_vertices(merge_tex=True, merge_norm=True)
    return sorted(round(float(part.volume), 3) for part in shape.split(only_watertight=False))


def test_a_notch_stays_open_whichever_corner_comes_first():
    vertices = np.array([(x, y, 0.0) for x, y in U])
    for first in range(len(U)):
        for step in (1, -1):
            polygon = [(first + step * k) % len(U) for k in range(len(U))]
            corners, owner = triangulated(vertices, [polygon])
            mesh = GivenMesh(vertices, np.array(polygon)[corners])
            assert area(mesh) == pytest.approx(24) and len(corners) == 6 and (owner == 0).all()
            assert (trimesh.triangles.cross(vertices[mesh.faces])[:, 2] * step > 0).all()
            inside = Raycaster(Mesh(mesh.vertices, mesh.faces)).cast(
                np.array([[3.0, 4, 1], [1, 4, 1]], np.float32), np.array([[0, 0, -1.0]] * 2, np.float32)
            )
            assert inside.mask.tolist() == [False, True]


def test_convex_polygons_stay_fans_and_straight_corners_leave_no_sliver():
    square = np.array([(0.0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 0, 0)])
    corners, _ = triangulated(square, [[0, 1, 2, 3]])
    assert corners.tolist() == [[0, 1, 2], [0, 2, 3]]
    polygon = [0, 4, 1, 2, 3]
    corners, _ = triangulated(square, [polygon])
    assert (trimesh.triangles.area(square[np.array(polygon)[corners]]) > 0.1).all()
    crossed, _ = triangulated(square, [[0, 2, 1, 3]])
    assert crossed.shape == (2, 3)


def ply_of_mixed_polygons(order, uv=None):
    """A U, a triangle and a square: text (order '') or binary, with UVs of vertices or of faces."""
    rows = [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2], [5, 6, 7, 0]]
    kind = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[order]
    header = f"ply\nformat {kind} 1.0\ncomment own\nelement vertex 8\n"
    header += "".join(f"property double {axis}\n" for axis in ("x", "y", "z", *("st" if uv == "vertices" else "")))
    header += "element face 3\nproperty uchar flags\nproperty list uchar int vertex_indices\n"
    header += ("property list uchar float texcoord\n" if uv == "faces" else "") + "end_header\n"
    points = [(x, y, 0, *((x / 6, y / 6) if uv == "vertices" else ())) for x, y in U]
    if not order:
        lines = [" ".join(map(str, point)) for point in points] + [" ".join(map(str, [7, len(r), *r])) for r in rows]
        return header.encode() + ("\n".join(lines) + "\n").encode()
    body = b"".join(struct.pack(f"{order}{len(point)}d", *point) for point in points)
    for row in rows:
        body += struct.pack(f"{order}BB{len(row)}i", 7, len(row), *row)
        if uv == "faces":
            places = [value / 6 for corner in row for value in U[corner]]
            body += struct.pack(f"{order}B{len(places)}f", len(places), *places)
    return header.encode() + body


@pytest.mark.parametrize(("order", "uv"), [("", None), ("<", None), (">", None), ("<", "vertices"), (">", "faces")])
def test_mixed_polygons_of_ply(tmp_path, order, uv):
    (tmp_path / "u.ply").write_bytes(ply_of_mixed_polygons(order, uv))
    mesh = read_mesh(tmp_path / "u.ply")
    assert len(mesh.faces) == 6 + 1 + 2 and area(mesh) == pytest.approx(24 + 15 + 8) and len(mesh.vertices) == 8
    if uv is not None:
        assert np.allclose(mesh.uv[mesh.uv_faces] * 6, mesh.vertices[mesh.faces][..., :2], atol=1e-5)


def test_a_ply_that_is_cut_off_says_what_is_there(tmp_path):
    for content, said in (
        (ply_of_mixed_polygons("<")[:-8], "2 of 3 rows of face are there"),
        (ply_of_mixed_polygons("")[:-8], "row 2 of face is too short|2 of 3 rows"),
        (ply_of_mixed_polygons(">")[:-150], "of 8 rows of vertex are there|of 3 rows of face"),
    ):
        (tmp_path / "u.ply").write_bytes(content)
        with pytest.raises(Prior3dError, match=said):
            read_mesh(tmp_path / "u.ply")


def dialects():
    points = [f"v {x} {y} {z}" for x, y, z in BOX_VERTICES]
    faces = ["f " + " ".join(map(str, quad)) for quad in BOX_QUADS]
    plain = "\n".join([*points, *faces]) + "\n"
    return {
        "byte order mark": b"\xef\xbb\xbf" + plain.encode(),
        "UTF-16": plain.encode("utf-16"),
        "UTF-16, big": b"\xfe\xff" + plain.encode("utf-16-be"),
        "Windows": plain.replace("\n", "\r\n").encode(),
        "old Mac": plain.replace("\n", "\r").encode(),
        "capitals": plain.upper().encode(),
        "remarks": plain.replace("\n", " # a remark\n").encode(),
        "continued": plain.replace(" -1\n", " \\\n -1\n").encode(),
        "faces continued, to the end": plain.replace(" 4\n", " \\\n\t4 \\\n").encode(),
        "one texture number": (plain.replace("\n", " \n") + "vt 0.5\n").encode(),
        "weights and colours": plain.replace("1\n", "1 1.0 0.5 0.5\n", 3).encode(),
    }


@pytest.mark.parametrize("name", dialects())
def test_dialects_of_obj(tmp_path, name):
    (tmp_path / "box.obj").write_bytes(dialects()[name])
    mesh = read_mesh(tmp_path / "box.obj")
    assert len(mesh.vertices) == 8 and len(mesh.faces) == 12 and volumes(mesh) == [8.0]


def test_a_number_beyond_all_counts_is_a_line_of_its_own(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 299999999999999999999\n")
    with pytest.raises(Prior3dError, match="line 4: 'f 1 2 299999999999999999999' is no OBJ"):
        read_mesh(tmp_path / "a.obj")


def glb(document, binary=b""):
    text = json.dumps({"asset": {"version": "2.0"}, **document}).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    parts = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


def box_glb(position_type=5126, uv_type=None, material=False, nodes=({},)):
    """A box of eight vertices with flat UVs, as floats (5126) or normalised integers (5122 int16, 5123 uint16)."""
    positions, faces = np.asarray(BOX.vertices), np.asarray(BOX.faces, np.uint16)
    kinds = {5126: ("<f4", 1), 5122: ("<i2", 32767), 5123: ("<u2", 65535), 5121: ("u1", 255)}
    blobs, views, accessors = [], [], []

    def add(values, component, kind, stride=None):
        code, largest = kinds.get(component, ("<u2", 1))
        stored = (values * largest).round().astype(code) if largest > 1 else values.astype(code)
        if stride:  # vertices lie at multiples of four bytes
            stored = np.pad(stored, ((0, 0), (0, stride // stored.itemsize - stored.shape[1])))
        blob = stored.tobytes() + bytes(-stored.nbytes % 4)
        view = {"buffer": 0, "byteOffset": sum(map(len, blobs)), "byteLength": stored.nbytes}
        views.append(view | ({"byteStride": stride} if stride else {}))
        blobs.append(blob)
        accessors.append({"bufferView": len(views) - 1, "componentType": component, "count": len(values), "type": kind})
        accessors[-1] |= {"normalized": True} if largest > 1 else {}
        return len(accessors) - 1

    attributes = {"POSITION": add(positions, position_type, "VEC3", None if position_type == 5126 else 8)}
    if uv_type:
        uv = np.array([(0.1, 0.1), (0.4, 0.1), (0.1, 0.4), (0.4, 0.4), (0.6, 0.6), (0.9, 0.6), (0.6, 0.9), (0.9, 0.9)])
        attributes["TEXCOORD_0"] = add(uv, uv_type, "VEC2")
    accessors.append({"bufferView": len(views), "componentType": 5123, "count": faces.size, "type": "SCALAR"})
    views.append({"buffer": 0, "byteOffset": sum(map(len, blobs)), "byteLength": faces.nbytes})
    blobs.append(faces.tobytes())
    primitive = {"attributes": attributes, "indices": len(accessors) - 1} | ({"material": 0} if material else {})
    binary = b"".join(blobs)
    document = {
        "scene": 0, "scenes": [{"nodes": list(range(len(nodes)))}], "nodes": [{"mesh": 0} | node for node in nodes],
        "meshes": [{"primitives": [primitive]}], "accessors": accessors, "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }  # fmt: skip
    return glb(document | ({"materials": [{"name": "paint"}]} if material else {}), binary)


def test_mirrored_parts_keep_their_outside_outside(tmp_path):
    nodes = [{}, {"translation": [5, 0, 0], "scale": [-1, 1, 1]}, {"translation": [9, 0, 0], "scale": [-1, -1, -0.5]}]
    (tmp_path / "parts.glb").write_bytes(box_glb(nodes=nodes))
    mesh = read_mesh(tmp_path / "parts.glb")
    assert volumes(mesh) == [4.0, 8.0, 8.0]


@pytest.mark.parametrize("component", [5126, 5122])
def test_normalised_integers_are_fractions(tmp_path, component):
    (tmp_path / "box.glb").write_bytes(box_glb(component, nodes=[{"scale": [3, 3, 3]}]))
    mesh = read_mesh(tmp_path / "box.glb")
    assert np.allclose(np.sort(mesh.vertices, axis=0), np.sort(np.asarray(BOX.vertices) * 3, axis=0), atol=1e-4)


@pytest.mark.parametrize("component", [5126, 5123, 5121])
@pytest.mark.parametrize("material", [True, False])
def test_uvs_survive_as_integers_and_without_a_material(tmp_path, component, material):
    (tmp_path / "box.glb").write_bytes(box_glb(uv_type=component, material=material))
    mesh = read_mesh(tmp_path / "box.glb")
    assert mesh.uv.min() == pytest.approx(0.1, abs=0.01) and mesh.uv.max() == pytest.approx(0.9, abs=0.01)
    assert len(mesh.uv) == 8 and np.array_equal(mesh.uv_faces, mesh.faces)


def test_a_ball_at_map_coordinates_stays_round_in_the_glb(tmp_path):
    """UTM coordinates: float32 steps are half a metre there."""
    ball = trimesh.creation.icosphere(3, 0.5)
    vertices = np.asarray(ball.vertices) + [4_500_000.25, 120.0, 5_800_000.75]
    given = GivenMesh(vertices, np.asarray(ball.faces, dtype=np.int64))
    for up, front in (("y", "z"), ("z", "x")):
        mesh, _, _ = ensure_uv(given, place_mesh(vertices, up, front, 0.9), 64)
        save_painted(tmp_path, mesh, np.zeros((8, 8, 3), np.float32))
        back = read_mesh(tmp_path / "mesh.glb")
        stood = vertices if up == "y" else vertices[:, [0, 2, 1]] * [1, 1, -1]
        assert len(np.unique(back.vertices.round(4), axis=0)) == 642
        assert np.abs(back.vertices.min(0) - stood.min(0)).max() < 1e-4
        assert np.array_equal(read_mesh(tmp_path / "mesh.obj").vertices, vertices)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.glb", glb({"extensionsRequired": ["KHR_draco_mesh_compression"]}), "compressed with Draco"),
        ("a.glb", glb({"extensionsRequired": ["EXT_meshopt_compression"]}), "compressed with meshopt"),
        ("a.glb", glb({"extensionsRequired": ["ACME_cubes"]}), "needs the glTF extension ACME_cubes"),
        ("a.glb", glb({"extensionsUsed": ["EXT_mesh_gpu_instancing"]}), "EXT_mesh_gpu_instancing"),
        ("a.glb", box_glb()[:-40], r"cut off: it says \d+ bytes"),
        ("a.glb", glb({"meshes": [{"primitives": [{"attributes": {"POSITION": 4}}]}]}), "damaged GLB"),
        ("a.stl", bytes(80) + struct.pack("<I", 320) + bytes(50 * 306), "it says 320 faces and holds 306"),
        ("a.ply", POINTS, "a point cloud of 3 points"),
        ("a.ply", POINTS.replace(b"end_h", b"element tristrips 1\nend_h"), "triangle strips, which are not read"),
    ],
)  # fmt: skip
def test_what_is_refused_is_called_by_its_name(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Prior3dError, match=said):
        read_mesh(tmp_path / name)


def test_a_splat_is_no_point_cloud(tmp_path):
    names = ("x", "y", "z", "f_dc_0", "opacity", "scale_0", "rot_0")
    header = "ply\nformat ascii 1.0\nelement vertex 50\n" + "".join(f"property float {name}\n" for name in names)
    (tmp_path / "a.ply").write_text(header + "end_header\n")
    with pytest.raises(Prior3dError, match="a Gaussian splat of 50 points"):
        read_mesh(tmp_path / "a.ply")


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_large_mesh_keeps_every_face_and_gets_the_charts_of_a_simpler_one(noise):
    ball = trimesh.creation.icosphere(4)
    vertices = np.asarray(ball.vertices) * [1.5, 1, 1]
    edge = float(ball.edges_unique_length.mean())
    vertices = vertices * (1 + noise * edge * np.random.default_rng(0).standard_normal((len(vertices), 1)))
    given = GivenMesh(vertices, np.asarray(ball.faces, dtype=np.int64))
    placement = place_mesh(vertices, "y", "z", 0.9)
    mesh, fault, charts = ensure_uv(given, placement, 256, limits=AtlasLimits(2000, 1000))
    assert "5,120 faces are more than 2,000, so charts of a simpler surface" in fault and 1 < charts < 100
    assert np.array_equal(mesh.vertices, vertices) and np.array_equal(mesh.faces, ball.faces)
    assert uv_defect(GivenMesh(mesh.vertices, mesh.faces, mesh.uv, mesh.uv_faces)) is None
    again, fault, _ = ensure_uv(GivenMesh(vertices, mesh.faces, mesh.uv, mesh.uv_faces), placement, 256,
                                limits=AtlasLimits(2000, 1000))  # fmt: skip
    assert fault is None and np.array_equal(again.uv, mesh.uv)
    assert open_edge_fraction(again.vertices, again.faces) == 0
