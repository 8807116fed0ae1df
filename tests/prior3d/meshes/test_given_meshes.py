"""A person's mesh files: reading, repairing, placing, UVs, and writing back without touching the geometry."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from prior3d.errors import Prior3dError
from prior3d.meshes.files import check_glb
from prior3d.meshes.given import GivenMesh
from prior3d.meshes.mesh import Placement, edge_counts, open_edge_fraction
from prior3d.meshes.painted_files import load_painted, load_uv_mesh, save_painted, save_uv_mesh
from prior3d.meshes.placement import default_axes, place_mesh
from prior3d.meshes.reading import read_mesh
from prior3d.meshes.repair import oriented, usable
from prior3d.meshes.uv import ensure_uv, uv_defect

CUBE = trimesh.creation.box((2.0, 4.0, 6.0))
SQUARE_OBJ = """# a square of two triangles, and a vertex that nothing uses
v 0 0 0
v 1 0 0
v 1 1.0000000000000002 0
v 0 1 0
v 9 9 9
vt 0 0
vt 1 0
vt 1 1
vt 0 1
f 1/1 2/2 3/3 4/4
"""


def cube(scale: float = 1.0) -> GivenMesh:
    return GivenMesh(np.asarray(CUBE.vertices) * scale, np.asarray(CUBE.faces, dtype=np.int64))


@pytest.mark.parametrize("ending", ["obj", "ply", "stl", "glb"])
def test_all_four_kinds_are_read(tmp_path, ending):
    CUBE.export(tmp_path / f"cube.{ending}")
    mesh = read_mesh(tmp_path / f"cube.{ending}")
    assert len(mesh.vertices) == 8 and len(mesh.faces) == 12
    assert np.allclose(mesh.vertices.max(0), [1, 2, 3])
    assert open_edge_fraction(mesh.vertices, mesh.faces) == 0


def test_obj_keeps_every_vertex_polygons_and_negative_indices(tmp_path):
    (tmp_path / "square.obj").write_text(SQUARE_OBJ)
    mesh = read_mesh(tmp_path / "square.obj")
    assert mesh.vertices.shape == (5, 3) and mesh.vertices[2, 1] == 1.0000000000000002
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]] and mesh.uv_faces.tolist() == mesh.faces.tolist()
    (tmp_path / "last.obj").write_text(SQUARE_OBJ.replace("f 1/1 2/2 3/3 4/4", "f -5//1 -4//1 -3//1"))
    assert read_mesh(tmp_path / "last.obj").faces.tolist() == [[0, 1, 2]]


def test_a_scene_of_two_parts_is_one_mesh_where_the_scene_puts_them(tmp_path):
    scene = trimesh.Scene([CUBE])
    scene.add_geometry(CUBE, transform=trimesh.transformations.translation_matrix([10, 0, 0]))
    (tmp_path / "two.glb").write_bytes(trimesh.exchange.gltf.export_glb(scene))
    mesh = read_mesh(tmp_path / "two.glb")
    assert len(mesh.faces) == 24 and mesh.vertices[:, 0].max() == 11


@pytest.mark.parametrize("ending", ["obj", "ply", "stl", "glb"])
def test_files_that_are_no_mesh_are_said(tmp_path, ending):
    def refused(content: bytes, message: str):
        (tmp_path / f"bad.{ending}").write_bytes(content)
        with pytest.raises(Prior3dError, match=message):
            read_mesh(tmp_path / f"bad.{ending}")

    refused(b"", "the file is empty")
    refused(b"Dear diary, today I drew a bear.\n", "no faces were found|cannot be read")
    refused(bytes(range(256)) * 4, "no faces were found|cannot be read")


def test_other_things_that_are_no_mesh(tmp_path):
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(Prior3dError, match="it is a folder"):
        read_mesh(tmp_path / "folder.obj")
    with pytest.raises(Prior3dError, match="there is no such file"):
        read_mesh(tmp_path / "nothing.obj")
    (tmp_path / "mesh.fbx").write_text("x")
    with pytest.raises(Prior3dError, match="its ending is '.fbx'"):
        read_mesh(tmp_path / "mesh.fbx")
    (tmp_path / "bad.obj").write_text("v 0 0\nf 1 1 1\n")
    with pytest.raises(Prior3dError, match="line 1: 'v 0 0' is no OBJ"):
        read_mesh(tmp_path / "bad.obj")
    (tmp_path / "far.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 7\n")
    with pytest.raises(Prior3dError, match="names a vertex that is not there"):
        read_mesh(tmp_path / "far.obj")


def test_a_good_mesh_is_returned_as_it_is():
    mesh = cube()
    found, notes = usable(mesh)
    assert found is mesh and notes == []


def test_vertices_that_are_not_finite_and_faces_without_area_are_left_out():
    mesh = cube()
    vertices = np.concatenate([mesh.vertices, [[np.nan, 0, 0]]])
    faces = np.concatenate([mesh.faces, [[0, 1, 8], [0, 0, 1]]])
    found, notes = usable(GivenMesh(vertices, faces))
    assert np.array_equal(found.faces, mesh.faces) and np.array_equal(found.vertices, mesh.vertices)
    assert notes[0].startswith("1 vertices are not finite: 1 faces") and notes[1].startswith("1 faces have no area")


def test_nothing_usable_is_an_error():
    line = GivenMesh(np.array([[0.0, 0, 0], [1, 1, 1], [2, 2, 2]]), np.array([[0, 1, 2]]))
    with pytest.raises(Prior3dError, match="none of its 1 faces has an area"):
        usable(line)
    with pytest.raises(Prior3dError, match="none of its 12 faces has an area"):
        usable(cube(np.nan))


def test_huge_meshes_are_decimated_and_it_is_said():
    ball = trimesh.creation.icosphere(4)
    mesh = GivenMesh(np.asarray(ball.vertices), np.asarray(ball.faces, dtype=np.int64))
    found, notes = usable(mesh, max_faces=1000, decimated_faces=500)
    assert 400 < len(found.faces) <= 500
    assert notes == ["5,120 faces are more than 1,000: decimated to 500"]


@pytest.mark.slow
def test_more_than_a_million_faces(tmp_path):
    ball = trimesh.creation.icosphere(8)  # 1,310,720 faces
    ball.export(tmp_path / "huge.ply")
    found, notes = usable(read_mesh(tmp_path / "huge.ply"))
    assert len(found.faces) <= 100_000 and "decimated to 100,000" in notes[0]


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_do_not_matter(scale):
    found, notes = usable(cube(scale))
    placement = place_mesh(found.vertices, "y", "z", 0.7)
    assert "scaled to fit" in notes[0]
    assert np.linalg.norm(placement.to_world(found.vertices), axis=-1).max() == pytest.approx(0.7)


def test_edges_that_are_not_manifold_are_counted_and_open_ones_are_a_fraction():
    fan = GivenMesh(np.array([[0.0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0]]),
                    np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]]))  # fmt: skip
    assert sorted(edge_counts(fan.faces)) == [1, 1, 1, 1, 1, 1, 3]
    assert usable(fan)[1] == ["1 edges have more than two faces (not manifold): left as they are"]
    assert open_edge_fraction(fan.vertices, fan.faces) == pytest.approx(6 / 7)
    assert open_edge_fraction(cube().vertices, cube().faces[2:]) == pytest.approx(4 / 17)


def test_faces_are_turned_outward():
    mesh = cube()
    flipped = mesh.faces.copy()
    flipped[3] = flipped[3, ::-1]
    vertices, faces, n_turned = oriented(mesh.vertices, flipped)
    assert n_turned == 1 and trimesh.Trimesh(vertices, faces).volume == pytest.approx(48)
    assert oriented(mesh.vertices, mesh.faces[:, ::-1])[2] == 12
    assert oriented(mesh.vertices, mesh.faces[2:, ::-1])[2] == 10  # without its lid


def test_the_papers_rule_centres_at_the_mean_vertex_and_scales_the_farthest():
    vertices = np.array([[0.0, 0, 0], [0, 0, 0], [0, 0, 0], [4, 0, 0]])
    placement = place_mesh(vertices, "z", "x", 0.7)
    assert np.allclose(placement.to_world(vertices), [[-0.7 / 3, 0, 0]] * 3 + [[0.7, 0, 0]])
    assert np.allclose(place_mesh(vertices, "z", "x", 0.5, "box", lift=0.25).to_world(vertices)[[0, 3]],
                       [[-0.5, 0, 0.25], [0.5, 0, 0.25]])  # fmt: skip


@pytest.mark.parametrize(
    ("suffix", "given", "up", "front"),
    [
        (".obj", ("auto", "auto"), [0, 1, 0], [0, 0, 1]),
        (".GLB", ("auto", "auto"), [0, 1, 0], [0, 0, 1]),
        (".ply", ("auto", "auto"), [0, 0, 1], [1, 0, 0]),
        (".stl", ("auto", "auto"), [0, 0, 1], [1, 0, 0]),
        (".obj", ("-z", "y"), [0, 0, -1], [0, 1, 0]),
        (".obj", ("x", "auto"), [1, 0, 0], [0, 1, 0]),
    ],
)
def test_up_goes_to_z_and_front_to_x_without_mirroring(suffix, given, up, front):
    vertices = np.array([up, front, np.negative(up), np.negative(front)], float)
    placement = place_mesh(vertices, *default_axes(suffix, *given), 1.0)
    assert np.allclose(placement.to_world(vertices)[:2], [[0, 0, 1], [1, 0, 0]])
    assert np.linalg.det(np.array(placement.rotation)) == pytest.approx(1)


def test_up_and_front_must_differ():
    with pytest.raises(Prior3dError, match="up is y and front is -y"):
        place_mesh(np.eye(3), "y", "-y", 1.0)


HERE = Placement(((0.0, 0, 1), (1, 0, 0), (0, 1, 0)), (0.0, 0.0, 0.0), 0.1)


def with_square_uv(corner_uv) -> GivenMesh:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return GivenMesh(vertices, faces, np.array(corner_uv, float), faces)


@pytest.mark.parametrize(
    ("uv", "fault"),
    [
        ([[0, 0], [1, 0], [1, 1], [0, 1]], None),
        ([[0.5, 0.5]] * 4, "100% of its surface has UVs without an area"),
        ([[0, 0], [3, 0], [3, 3], [0, 3]], "outside the image"),
        ([[0, 0], [0.1, 0], [0.1, 0.1], [0, 0.1]], "use 1.0% of the image"),
        ([[0, 0], [1, 0], [1, 1], [0.9, 0]], "of its UVs overlap"),
        ([[0, 0], [np.nan, 0], [1, 1], [0, 1]], "some UVs are not finite"),
    ],
)
def test_uvs_are_judged(uv, fault):
    found = uv_defect(with_square_uv(uv))
    assert found is None if fault is None else fault in found


def test_good_uvs_are_kept_and_bad_ones_made_anew_on_the_same_triangles():
    good = with_square_uv([[0, 0], [1, 0], [1, 1], [0, 1]])
    mesh, fault, charts = ensure_uv(good, HERE, 64)
    assert fault is None and charts == 0 and np.array_equal(mesh.uv, good.uv)
    assert ensure_uv(good, HERE, 64, keep=False)[1] == "new UVs were asked for"
    bare, fault, charts = ensure_uv(cube(), HERE, 64)
    assert fault == "it has no UVs" and charts >= 3
    assert np.array_equal(bare.faces, cube().faces) and np.array_equal(bare.vertices, cube().vertices)
    assert uv_defect(GivenMesh(bare.vertices, bare.faces, bare.uv, bare.uv_faces)) is None


def test_the_geometry_comes_out_unchanged_to_the_vertex(tmp_path):
    rng = np.random.default_rng(0)
    given = GivenMesh(cube().vertices * np.pi + rng.normal(size=(8, 3)) * 0.1 + 1000, cube().faces)
    mesh, _, _ = ensure_uv(given, place_mesh(given.vertices, "y", "z", 0.95, "box"), 64)
    save_uv_mesh(tmp_path, mesh)
    again = load_uv_mesh(tmp_path)
    assert np.array_equal(again.vertices, given.vertices) and np.array_equal(again.faces, given.faces)
    assert again.placement == mesh.placement
    save_painted(tmp_path, again, np.full((8, 8, 3), 0.5))
    assert np.array_equal(read_mesh(tmp_path / "mesh.obj").vertices, given.vertices)
    glb = read_mesh(tmp_path / "mesh.glb")
    assert np.array_equal(glb.vertices[glb.faces], given.vertices.astype(np.float32)[given.faces])
    painted = load_painted(tmp_path)
    assert np.array_equal(painted.vertices[painted.faces], mesh.world_vertices()[given.faces])


def test_a_z_up_mesh_is_stood_up_by_its_node_not_by_its_numbers(tmp_path):
    given = cube()
    mesh, _, _ = ensure_uv(given, place_mesh(given.vertices, "z", "x", 0.95), 64)
    save_painted(tmp_path, mesh, np.full((8, 8, 3), 0.5))
    assert read_mesh(tmp_path / "mesh.glb").vertices.max(0).tolist() == [1, 3, 2]  # 6 units tall along y now
    described = check_glb(tmp_path / "mesh.glb")
    positions = described["accessors"][described["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert positions["max"] == [1, 2, 3]


@pytest.mark.parametrize(
    "changed",
    ({"scale": None}, {"scale": 10**400}, {"centre": [1, 2]}, {"centre": "far"}, {"rotation": [[1, 0, 0]] * 2},
     {"lift": float("nan")}, {"rotation": [["x", 0, 0]] * 3}),
)  # fmt: skip
def test_damaged_placements_are_said(tmp_path, changed):
    save_uv_mesh(tmp_path, ensure_uv(cube(), HERE, 64)[0])
    whole = json.loads((tmp_path / "placement.json").read_text())
    (tmp_path / "placement.json").write_text(json.dumps(whole | changed))
    with pytest.raises(Prior3dError, match=r"placement.json: damaged"):
        load_uv_mesh(tmp_path)


SHAPES = Path(__file__).resolve().parents[4] / "shared" / "data" / "shapes"


@pytest.mark.skipif(not (SHAPES / "teddy.obj").is_file(), reason="the paper's shapes are not here")
@pytest.mark.parametrize(
    ("name", "n_vertices", "fault"), [("teddy", 2892, "it has no UVs"), ("animal", 1536, "outside the image")]
)
def test_the_papers_own_shapes(name, n_vertices, fault):
    mesh, notes = usable(read_mesh(SHAPES / f"{name}.obj"))
    assert len(mesh.vertices) == n_vertices and notes == []
    assert open_edge_fraction(mesh.vertices, mesh.faces) == 0
    assert fault in uv_defect(mesh)
