"""A finished GLB in other formats: one way up in all of them, with its size and its colours."""

import io
import sys
import zipfile

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.exceptions import ExceptionWrapper

from prior3d.errors import Prior3dError
from prior3d.meshes.export import Surface, export_mesh, format_of
from prior3d.meshes.files import check_glb, save_glb
from prior3d.meshes.mesh import TexturedMesh
from prior3d.meshes.reading import read_mesh

WORLD = np.array([[0.5, 0, 0], [0, 0.25, 0], [0, -0.25, 0], [0, 0, 1.0]])  # front +x, z up; the top is 1 high
FACES = np.array([[0, 1, 3], [2, 0, 3], [1, 2, 3], [0, 2, 1]])
UV = np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.9]])
TEXTURE = np.zeros((8, 8, 3), np.float32)
TEXTURE[:4, 4:] = (1, 0, 0)  # above right: the top's colour


@pytest.fixture
def content(tmp_path):
    save_glb(tmp_path / "made.glb", TexturedMesh(WORLD - [0, 0, 0.4], FACES, UV, TEXTURE))
    return (tmp_path / "made.glb").read_bytes()


@pytest.mark.parametrize("kind", ["glb", "obj", "ply", "stl"])
def test_all_formats_stand_alike_with_a_size_and_on_the_floor(tmp_path, content, kind):
    export_mesh(content, tmp_path / f"mug.{kind}", 0.2, True)
    mesh = read_mesh(tmp_path / f"mug.{kind}")
    up, front = ((0, 1, 0), (0, 0, 1)) if kind in ("glb", "obj") else ((0, 0, 1), (0, -1, 0))
    height, ahead = mesh.vertices @ up, mesh.vertices @ front
    assert height.min() == pytest.approx(0, abs=1e-6) and height.max() == pytest.approx(0.2, abs=1e-6)
    assert ahead.max() == pytest.approx(0.1, abs=1e-6) and ahead.min() == pytest.approx(0, abs=1e-6)
    shape = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    shape.merge_vertices(merge_tex=True, merge_norm=True)
    assert shape.volume > 0
    if kind == "glb":
        check_glb(tmp_path / "mug.glb")
    if kind == "ply":
        loaded = trimesh.load(tmp_path / "mug.ply", process=False)
        assert loaded.visual.vertex_colors[int(height.argmax())].tolist() == [255, 0, 0, 255]


def test_3mf_is_in_millimetres_and_stands_on_its_plate(tmp_path, content):
    pytest.importorskip("lxml", reason="the extra files is not installed")
    export_mesh(content, tmp_path / "mug.3mf", 0.2, True)
    shape = trimesh.load(tmp_path / "mug.3mf", force="mesh")
    assert len(shape.faces) == 4 and shape.volume > 0
    low, high = shape.bounds
    assert low[2] == pytest.approx(0, abs=1e-3) and high[2] == pytest.approx(200, abs=1e-3)
    assert -low[1] == pytest.approx(100, abs=1e-3)  # the front


def test_usdz_has_texture_material_and_size(tmp_path, content):
    pxr = pytest.importorskip("pxr.Usd", reason="the extra files is not installed")
    from pxr import UsdGeom, UsdShade

    export_mesh(content, tmp_path / "mug.usdz", 0.2, True, Surface(roughness=0.25, metallic=0.5))
    stage = pxr.Stage.Open(str(tmp_path / "mug.usdz"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    shape = UsdGeom.Mesh(stage.GetPrimAtPath("/object/mesh"))
    points = np.array(shape.GetPointsAttr().Get())
    assert points[:, 1].min() == pytest.approx(0, abs=1e-6) and points[:, 1].max() == pytest.approx(0.2, abs=1e-6)
    shader = UsdShade.Shader(stage.GetPrimAtPath("/object/material/surface"))
    assert shader.GetInput("roughness").Get() == 0.25 and shader.GetInput("metallic").Get() == 0.5
    with zipfile.ZipFile(tmp_path / "mug.usdz") as archive:
        (texture,) = [name for name in archive.namelist() if name.endswith(".png")]
        image = np.asarray(Image.open(io.BytesIO(archive.read(texture))))
    assert image.shape == (8, 8, 3) and image[0, 7].tolist() == [255, 0, 0]


def test_constants_of_the_surface(tmp_path, content):
    export_mesh(content, tmp_path / "mug.glb", None, False, Surface(roughness=0.4, metallic=1.0))
    material = trimesh.load_scene(tmp_path / "mug.glb").geometry.popitem()[1].visual.material
    assert (material.roughnessFactor, material.metallicFactor) == (0.4, 1.0)
    check_glb(tmp_path / "mug.glb")


@pytest.mark.parametrize("kind", ["usdz", "3mf"])
def test_without_a_package_one_line_says_what_to_install(tmp_path, content, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, "prior3d.meshes.usdz", None)
    lost = ExceptionWrapper(ImportError("No module named 'lxml'"))  # what trimesh keeps where lxml is not there
    monkeypatch.setitem(trimesh.exchange.export._mesh_exporters, "3mf", lost)
    with pytest.raises(Prior3dError, match=r"install prior3d\[files\]"):
        export_mesh(content, tmp_path / f"mug.{kind}", None, False)


def test_a_glb_that_nothing_is_asked_of_keeps_every_byte(tmp_path, content):
    export_mesh(content, tmp_path / "mug.glb", None, False)
    assert (tmp_path / "mug.glb").read_bytes() == content
    with pytest.raises(Prior3dError, match="it cannot be read"):
        export_mesh(b"glTF", tmp_path / "no.glb", None, False)


def test_which_format_a_target_means(tmp_path):
    assert format_of(tmp_path / "a.STL", None, {}) == "stl" and format_of(tmp_path / "v1.0", None, {}) is None
    assert format_of(tmp_path / "folder", "ply", {}) == "ply"
    with pytest.raises(Prior3dError, match=r"ends in .glb, but --format is obj"):
        format_of(tmp_path / "a.glb", "obj", {})
    with pytest.raises(Prior3dError, match=r".usdz is not written here; convert"):
        format_of(tmp_path / "a.usdz", None, {"usdz": "convert"})
