"""`prior3d import FILE`: a file of splats to a run that is opened, exported in other formats and compared."""

import pytest

from flows.commands import imports
from prior3d.splats.files import WRITERS, read_splats
from tests.gaussian_splats import ball_of_splats

SMALL = ("--set", "splat_import.image_size=64", "--set", "splat_import.preview_size=32",
         "--set", "mesh_extraction.resolution=32", "--set", "texture_baking.resolution=64",
         "--set", "evaluation.n_azimuths=2", "--set", "evaluation.size=32", "--set", "evaluation.video_frames=2",
         "--set", "evaluation.video_size=32")  # fmt: skip


def test_it_is_short_for_a_run_of_the_method_splats(monkeypatch):
    asked = []
    monkeypatch.setattr(imports, "run", lambda words: asked.append(words) or 0)
    assert imports.import_file(["ball.ply", "--name", "ball", "--set", "splat_import.placement=box"]) == 0
    assert asked == [["splats", "--splats", "ball.ply", "--name", "ball", "--set", "splat_import.placement=box"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.ply", None, "there is no such file"),
        ("scene.obj", b"v 0 0 0", "its ending is '.obj'; use one of .ply, .spz, .splat, .glb"),
        ("mesh.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nend_header\n0000",
         "lacks the property y: no Gaussian splats"),
        ("many.ply", WRITERS["ply"](ball_of_splats(9)).replace(b"vertex 9", b"vertex 10000000"),
         "it claims 10,000,000 Gaussians; 1 to 5,000,000 are read"),
    ],
)  # fmt: skip
def test_a_bad_file_gets_one_line(fake, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, _, err = fake.cli("import", str(tmp_path / name), "--name", "ball", "--plain")
    lines = [line for line in err.splitlines() if not line.startswith(("to resume:", "all that it printed:"))]
    assert code == 2 and len(lines) == 1 and message in lines[0], err


@pytest.mark.slow
def test_from_a_file_to_a_page_a_mesh_and_another_file(fake, tmp_path):
    for kind in ("ply", "spz"):
        (tmp_path / f"ball.{kind}").write_bytes(WRITERS[kind](ball_of_splats()))
        code, out, err = fake.cli("import", str(tmp_path / f"ball.{kind}"), "--name", f"ball-{kind}", *SMALL)
        assert code == 0 and "mesh.glb" in out, err
    code, out, err = fake.cli("export", "ball-spz", "--splats", "glb", "--to", str(tmp_path / "again.glb"))
    assert code == 0, err
    assert read_splats(tmp_path / "again.glb").config.n_splats == 300
    page = tmp_path / "page.html"
    code, _, err = fake.cli("compare", "ball-ply", "ball-spz", "--to", str(page))
    assert code == 0, err
    assert page.read_text().count('<canvas class="splats"') == 2 and "300 Gaussians" in page.read_text()
