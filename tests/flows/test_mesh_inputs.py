"""Mesh files on the command line: what is refused before anything is written, and what the two methods make of them."""

import pytest

from flows import latent_paint, methods, sketch_shape


@pytest.fixture
def refused(fake, capfd):
    def check(said, *words):
        code, out, err = fake.cli("run", *words)
        assert code == 2, out
        assert said in err and len(err.splitlines()) == 1
        assert list((fake.project / "data" / "runs").iterdir()) == []

    return check


@pytest.mark.parametrize(("method", "option"), [("sketch-shape", "--shape"), ("latent-paint", "--mesh")])
def test_mesh_files_are_checked_first(refused, fake, tmp_path, method, option):
    start = (method, "--prompt", "a ball", "--prior", str(fake.prior))
    refused(f"{option} is missing", *start)
    refused("there is no such file", *start, option, str(tmp_path / "no.obj"))
    (tmp_path / "folder.obj").mkdir()
    refused("it is a folder; give a file", *start, option, str(tmp_path / "folder.obj"))
    (tmp_path / "mesh.fbx").write_text("x")
    refused("its ending is '.fbx'; use one of .obj, .ply, .stl, .glb", *start, option, str(tmp_path / "mesh.fbx"))


def test_both_methods_share_the_stages_of_latent_nerf():
    """A stage that only differs by its method is a defect."""
    known = {s.module for s in methods.METHODS["latent-nerf"].stages}
    assert {s.module for s in sketch_shape.METHOD.stages} - known == {"stages.shape_guide"}
    assert {s.name for s in latent_paint.METHOD.stages} & {"evaluation"}
