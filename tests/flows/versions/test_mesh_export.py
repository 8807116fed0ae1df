"""`export RUN --to FILE.glb`: the mesh alone; what is wrong with the target is said."""

import re

import numpy as np
import pytest
import trimesh

from flows.provenance.containers import take
from flows.provenance.statement import read_statement
from flows.versions import mesh_export
from prior3d.errors import Prior3dError
from prior3d.meshes.export import read_glb
from prior3d.meshes.files import save_glb
from prior3d.meshes.mesh import TexturedMesh


@pytest.fixture
def made(fake):
    """A run whose last stage left a mesh beside its text."""
    corners = np.array([[0.5, 0, 0], [0, 0.25, 0], [0, -0.25, 0], [0, 0, 1.0]])
    mesh = TexturedMesh(corners, np.array([[0, 1, 3], [2, 0, 3], [1, 2, 3], [0, 2, 1]]), corners[:, :2].clip(0, 1),
                        np.full((4, 4, 3), 0.5, np.float32))  # fmt: skip
    fake.run()
    save_glb(fake.folder() / "joining" / "mesh.glb", mesh)
    assert fake.cli("accept", "demo")[0] == 0
    return fake


def test_the_mesh_alone(made, tmp_path):
    code, out, err = made.cli("export", "demo", "--to", str(tmp_path / "out" / "a.glb"))
    assert code == 0 and re.search(r"a\.glb \(\d+ (bytes|kB)\)", out), err
    whole = (made.folder() / "joining" / "mesh.glb").read_bytes()
    assert take((tmp_path / "out" / "a.glb").read_bytes())[0] == whole
    words = ("--format", "obj", "--size", "0.1", "--on-floor")
    assert made.cli("export", "demo", "--to", str(tmp_path / "trio"), *words)[0] == 0
    assert sorted(p.name for p in (tmp_path / "trio").iterdir()) == ["demo.mtl", "demo.obj", "demo.png"]
    for target, more, said in (
        ("out/a.glb", (), "exists; name another file"),
        ("a.fbx", (), ".fbx is not written here; export a .glb"),
        ("a.stl", ("--roughness", "0.5"), "--roughness and --metallic are for a mesh alone, in GLB or USDZ"),
        ("a.glb", ("--metallic", "2"), "'2' is not a number from 0 to 1"),
        ("a.glb", ("--format", "stl"), "ends in .glb, but --format is stl"),
        ("folder", ("--size", "1"), "--size, --on-floor and --without-light are for a mesh alone"),
        ("a.glb", ("--size", "-1"), "'-1' is not a length"),
    ):
        code, _, err = made.cli("export", "demo", "--to", str(tmp_path / target), *more)
        assert code == 2 and said in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("beside", ["a.png", "a.mtl", "a.obj"])
def test_no_file_beside_an_obj_is_overwritten(made, tmp_path, beside):
    (tmp_path / beside).write_bytes(b"an image of one's own")
    code, _, err = made.cli("export", "demo", "--to", str(tmp_path / "a.obj"))
    assert code == 2 and f"{beside} exists; name another file" in err
    assert [(p.name, p.read_bytes()) for p in tmp_path.glob("a.*")] == [(beside, b"an image of one's own")]


@pytest.mark.parametrize("kind", ["3mf", "usdz", "obj", "glb"])
def test_an_export_that_fails_leaves_nothing(made, tmp_path, monkeypatch, kind):
    def lacks(*_):
        raise Prior3dError("a package is not installed")

    def breaks_off(content, target, *_):
        target.write_bytes(b"half")
        lacks()

    monkeypatch.setattr("prior3d.meshes.export.export_mesh", breaks_off)
    code, _, err = made.cli("export", "demo", "--to", str(tmp_path / "out" / f"a.{kind}"))
    assert code == 2 and "is not installed" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_the_light_of_a_prior_that_is_not_known_stays(made, tmp_path, monkeypatch):
    words = ("export", "demo", "--to", str(tmp_path / "a.glb"), "--without-light")
    code, _, err = made.cli(*words)
    assert code == 2 and "not that of a_prior; leave it out" in err and not (tmp_path / "a.glb").exists()
    monkeypatch.setattr(mesh_export, "is_embedded", lambda name: name == "a_prior")
    assert made.cli(*words)[0] == 0
    before = read_glb((made.folder() / "joining" / "mesh.glb").read_bytes())
    after = read_glb((tmp_path / "a.glb").read_bytes())
    assert np.allclose(after.vertices, before.vertices) and (after.uv == before.uv).all()
    assert (after.texture != before.texture).any() and read_statement((tmp_path / "a.glb").read_bytes())[1][
        "run"
    ] == "demo"


@pytest.mark.parametrize("kind", ["glb", "obj", "ply"])
def test_a_mesh_alone_says_where_it_came_from(made, tmp_path, kind):
    file = tmp_path / f"a.{kind}"
    assert made.cli("export", "demo", "--to", str(file), "--size", "0.1", "--on-floor")[0] == 0
    _, said = read_statement(file.read_bytes())
    assert (said["run"], said["prompt"], said["file"]) == ("demo", "one two", f"joining/mesh.{kind}")
    code, out, err = made.cli("whence", str(file))
    assert code == 0 and "one two" in out, err
    assert len(trimesh.load(file, force="mesh").faces) == 4  # others still read it


def test_an_stl_has_no_place_for_it(made, tmp_path):
    assert made.cli("export", "demo", "--to", str(tmp_path / "a.stl"))[0] == 0
    assert read_statement((tmp_path / "a.stl").read_bytes())[1] is None
    assert made.cli("whence", str(tmp_path / "a.stl"))[0] == 2


def test_a_run_without_a_mesh(fake, tmp_path):
    fake.run()
    code, _, err = fake.cli("export", "demo", "--to", str(tmp_path / "a.glb"))
    assert code == 2 and "has no mesh.glb yet" in err
