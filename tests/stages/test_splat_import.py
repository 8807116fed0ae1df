"""splat_import: what files of other programs become, where they are put, and what is refused."""

import numpy as np
import pytest
import torch
import yaml

from prior3d.cameras import orbit_cameras, ring
from prior3d.metrics import psnr_db
from prior3d.splats.files import WRITERS
from prior3d.splats.model import SplatsConfig
from prior3d.splats.placement import FILLED, into_box, share_inside
from prior3d.splats.render import render_splats
from stages.artifacts.base import load_metrics
from stages.artifacts.fields import check_field
from stages.artifacts.splats import load_splats
from stages.contract.entry import execute
from tests.gaussian_splats import ball_of_splats, some_splats

LEAST_DB = {"ply": 45, "spz": 38, "splat": 38, "glb": 45}
MESH = {
    "mesh_extraction": {"resolution": 32, "min_part_fraction": 0.1, "smoothing_steps": 2},
    "texture_baking": {"resolution": 64},
    "evaluation": {"n_azimuths": 2, "size": 32, "video_frames": 2, "video_size": 32},
}


def make_run(folder, kind, content, **params):
    """A run to which a file was given."""
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs" / f"splats.{kind}").write_bytes(content)
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu"}))
    imported = {"image_size": 48, "preview_size": 32, **params}
    (folder / "params.yaml").write_text(yaml.safe_dump({"splat_import": imported, **MESH}))
    return ["--splats", f"inputs/splats.{kind}"]


def imported(folder, kind, splats, **params):
    """What the stage makes of splats in a file."""
    words = make_run(folder, kind, WRITERS[kind](splats), **params)
    assert execute("stages.splat_import", words, folder) == 0
    return load_splats(folder / "splat_import")


def elsewhere(splats, factor, shift):
    """The same thing in other units, at another place."""
    with torch.no_grad():
        splats.means.mul_(factor).add_(torch.tensor(shift))
        splats.scales.add_(float(np.log(factor)))
    return splats


def images(splats):
    cameras = orbit_cameras(ring(4, elevation_deg=20.0), 48, 48)
    with torch.no_grad():
        return np.stack([render_splats(splats, cameras[k], torch.ones(3)).colours.clamp(0, 1) for k in range(4)])


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_of_ours_shows_what_it_showed(tmp_path, kind):
    splats = some_splats(n=300, degree=0 if kind == "splat" else 2, size=0.06)
    field = imported(tmp_path / "run", kind, splats)
    db = psnr_db(images(field.splats), images(splats))
    assert db >= LEAST_DB[kind], db
    assert field.config == SplatsConfig(300, splats.config.sh_degree) and field.cameras.height == 48
    assert load_metrics(tmp_path / "run" / "splat_import")["enlarged"]["value"] == 1
    assert (tmp_path / "run" / "splat_import" / "preview.png").is_file()
    check_field(tmp_path / "run" / "splat_import")


def test_what_lies_elsewhere_is_put_into_the_box(tmp_path):
    splats = elsewhere(some_splats(n=400, size=0.05), 7.0, [30.0, -4.0, 12.0])
    field = imported(tmp_path / "run", "ply", splats)
    assert share_inside(field.splats, 1.0) > 0.9 and field.splats.means.median(0).values.norm() < 0.3
    factor = load_metrics(tmp_path / "run" / "splat_import")["enlarged"]["value"]
    assert factor == pytest.approx(FILLED / (7 * 0.57), rel=0.05)  # the middle 96 % of -0.6 to 0.6
    sizes = field.splats.scales - splats.scales
    assert torch.allclose(sizes, torch.full_like(sizes, float(np.log(factor))), atol=1e-4)


def test_one_far_floater_does_not_make_the_thing_small():
    splats = elsewhere(some_splats(n=400), 1.0, [5.0, 0.0, 0.0])
    with torch.no_grad():
        splats.means[0] = 1e4
    made, factor = into_box(splats, 1.0, 0.96)
    assert 1 < factor < 2 and share_inside(made, 1.0) > 0.9


def test_splats_that_nobody_would_see_are_told(tmp_path, capsys):
    splats = elsewhere(some_splats(n=50), 1.0, [500.0, 0.0, 0.0])
    words = make_run(tmp_path / "run", "ply", WRITERS["ply"](splats), placement="keep")
    assert execute("stages.splat_import", words, tmp_path / "run") == 2
    assert "see nothing of the splats" in (said := capsys.readouterr().err) and "splat_import.placement=box" in said


def test_a_place_is_drawn_over_grey(tmp_path):
    field = imported(tmp_path / "run", "ply", some_splats(n=20), extent="unbounded")
    assert not field.config.is_object


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "missing or empty"),
        (b"ply\nformat ascii 1.0\n", "does not begin with the header of a PLY file"),
        (WRITERS["ply"](some_splats(n=5))[:-9], "it is cut off: 5 Gaussians take"),
        (WRITERS["ply"](some_splats(n=5)).replace(b"vertex 5", b"vertex 10000000"), "claims 10,000,000 Gaussians"),
    ],
)
def test_a_bad_file_gets_one_line(tmp_path, capsys, content, message):
    words = make_run(tmp_path / "run", "ply", content)
    assert execute("stages.splat_import", words, tmp_path / "run") == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(said) == 1 and message in said[0] and "inputs/splats.ply" in said[0]


def test_imported_splats_end_in_a_textured_mesh_and_a_report(tmp_path):
    folder = tmp_path / "run"
    imported(folder, "spz", ball_of_splats())
    for stage, words in (
        ("mesh_extraction", ["--field", "splat_import"]),
        ("texture_baking", ["--field", "splat_import", "--mesh", "mesh_extraction"]),
        ("evaluation", ["--field", "splat_import", "--mesh", "texture_baking"]),
    ):
        assert execute(f"stages.{stage}", words, folder) == 0, stage
    assert load_metrics(folder / "evaluation")["mesh_mask_iou"]["value"] > 0.6
    assert (folder / "texture_baking" / "mesh.glb").is_file()
