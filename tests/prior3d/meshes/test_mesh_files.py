"""Meshes in files: GLB, OBJ and PLY, there and back, and damaged ones."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from prior3d.errors import Prior3dError
from prior3d.meshes.files import check_glb, load_glb, load_ply, save_glb, save_obj, save_ply
from prior3d.meshes.mesh import TexturedMesh, measure
from prior3d.meshes.reading import read_mesh


def test_glb_round_trip_and_contents(tmp_path, textured):
    save_glb(tmp_path / "mesh.glb", textured)
    back = load_glb(tmp_path / "mesh.glb")
    assert np.allclose(back.vertices, textured.vertices, atol=1e-5)
    assert (back.faces == textured.faces).all()
    assert np.allclose(back.uv, textured.uv, atol=1e-5)
    assert abs(back.texture - textured.texture).max() <= 0.5 / 255 + 1e-6
    assert measure(back).volume > 0
    described = check_glb(tmp_path / "mesh.glb")
    assert described["asset"]["version"] == "2.0"
    assert described["images"][0]["mimeType"] == "image/png" and "bufferView" in described["images"][0]
    material = described["materials"][0]["pbrMetallicRoughness"]
    assert material["metallicFactor"] == 0 and "baseColorTexture" in material
    assert {"POSITION", "NORMAL", "TEXCOORD_0"} <= set(described["meshes"][0]["primitives"][0]["attributes"])


def test_glb_is_y_up_with_its_front_along_z(tmp_path):
    """World up (+z) is the file's +y, world front (+x) its +z, world +y its +x; read from the file's bytes."""
    vertices = np.array([[5.0, 0, 0], [0, 6.0, 0], [0, 0, 7.0]])
    mesh = TexturedMesh(vertices, np.array([[0, 1, 2]]), np.array([[0.0, 0], [1, 0], [0, 1]]), np.zeros((4, 4, 3)))
    save_glb(tmp_path / "m.glb", mesh)
    described = check_glb(tmp_path / "m.glb")
    assert "matrix" not in described["nodes"][-1]
    accessor = described["accessors"][described["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert accessor["max"] == [6, 7, 5]


def test_glb_texture_corner_is_where_gltf_has_it(tmp_path):
    """glTF counts v downwards: our (0, 1), the image's top left, must be (0, 0) in the file."""
    vertices = np.eye(3)
    texture = np.zeros((2, 2, 3))
    texture[0, 0] = [1, 0, 0]
    save_glb(
        tmp_path / "m.glb", TexturedMesh(vertices, np.array([[0, 1, 2]]), np.array([[0.0, 1], [1, 1], [0, 0]]), texture)
    )
    content = (tmp_path / "m.glb").read_bytes()
    described = check_glb(tmp_path / "m.glb")
    begin = 20 + struct.unpack("<I", content[12:16])[0] + 8
    accessor = described["accessors"][described["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"]]
    view = described["bufferViews"][accessor["bufferView"]]
    uv = np.frombuffer(content, "<f4", 6, begin + view.get("byteOffset", 0)).reshape(3, 2)
    assert uv.tolist() == [[0, 0], [1, 0], [0, 1]]
    view = described["bufferViews"][described["images"][0]["bufferView"]]
    start = begin + view.get("byteOffset", 0)
    picture = Image.open(io.BytesIO(content[start : start + view["byteLength"]]))
    assert picture.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("kept", [0, 10, 200, -1])
def test_a_truncated_glb_is_refused(tmp_path, textured, kept):
    path = tmp_path / "mesh.glb"
    save_glb(path, textured)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(Prior3dError, match=r"not a GLB file|damaged GLB"):
        load_glb(path)


@pytest.mark.parametrize("damage", (b"\xe8", b"]", b"\0"))
def test_a_glb_whose_json_is_damaged_is_refused(tmp_path, textured, damage):
    path = tmp_path / "mesh.glb"
    save_glb(path, textured)
    content = path.read_bytes()
    path.write_bytes(content[:30] + damage + content[31:])
    with pytest.raises(Prior3dError, match="damaged GLB, its JSON cannot be read"):
        load_glb(path)


def test_a_glb_without_a_texture_is_refused(tmp_path, sphere):
    import trimesh

    (tmp_path / "m.glb").write_bytes(trimesh.Trimesh(sphere.vertices, sphere.faces).export(file_type="glb"))
    with pytest.raises(Prior3dError, match="has no texture"):
        load_glb(tmp_path / "m.glb")


def test_obj_round_trip(tmp_path, textured):
    save_obj(tmp_path, textured)
    assert "map_Kd mesh.png" in (tmp_path / "mesh.mtl").read_text()
    back = read_mesh(tmp_path / "mesh.obj")
    world = back.vertices[:, [2, 0, 1]]  # the file is y up, its front along +z
    assert np.allclose(world[back.faces], textured.vertices[textured.faces], atol=1e-5)
    assert np.allclose(back.uv[back.uv_faces], textured.uv[textured.faces], atol=1e-5)


def test_ply_round_trip_and_damage(tmp_path, sphere):
    save_ply(tmp_path / "m.ply", sphere)
    back = load_ply(tmp_path / "m.ply")
    assert np.allclose(back.vertices, sphere.vertices, atol=1e-5) and (back.faces == sphere.faces).all()
    (tmp_path / "m.ply").write_bytes((tmp_path / "m.ply").read_bytes()[:500])
    with pytest.raises(Prior3dError, match="m.ply"):
        load_ply(tmp_path / "m.ply")
    with pytest.raises(Prior3dError, match="there is no such mesh"):
        load_ply(tmp_path / "none.ply")
