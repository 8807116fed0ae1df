"""The three stages from a field to the report, each as `python -m stages.NAME` runs it."""

import base64
import json
import re
import subprocess
import sys

import pytest
import torch

from prior3d.fields import DenseGrids, FieldConfig, ObjectField
from stages.artifacts.fields import save_field
from stages.artifacts.images import save_object_image
from stages.artifacts.meshes import load_mesh, load_textured_mesh
from stages.contract.entry import execute

PARAMS = """
mesh_extraction: {resolution: 40, max_faces: 1200}
texture_baking: {resolution: 128}
evaluation: {n_azimuths: 4, size: 48, n_samples: 48, video_frames: 4, video_size: 64}
"""


def foggy_ball(head: str = "rgb") -> ObjectField:
    """A ball whose front half (x > 0) is red and whose back half is blue, with a floater beside it."""
    field = ObjectField(FieldConfig(encoding=DenseGrids((33,)), head=head, channels=3, blob_density=0))
    axis = torch.linspace(-1, 1, 33)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    logit = 4 * torch.tanh((0.6 - (x * x + y * y + z * z).sqrt()) * 10)
    logit = torch.where((x - 0.1) ** 2 + (y - 0.85) ** 2 + z**2 < 0.01, torch.tensor(4.0), logit)
    colour = torch.where((x > 0)[..., None], torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9]))
    with torch.no_grad():
        field.encoding.grids[0].copy_(torch.cat([logit[..., None], torch.logit(colour)], -1))
    return field


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    (run / "params.yaml").write_text(PARAMS)
    (run / "local.yaml").write_text("device: cpu\n")
    (run / "inputs").mkdir()
    (run / "inputs" / "prompt.txt").write_text("a <red> & blue ball\n")
    (run / "rgb_refinement").mkdir()
    save_field(run / "rgb_refinement", foggy_ball())
    assert execute("stages.mesh_extraction", ["--field", "rgb_refinement"], run) == 0
    assert execute("stages.texture_baking", ["--mesh", "mesh_extraction", "--field", "rgb_refinement"], run) == 0
    arguments = ["--mesh", "texture_baking", "--field", "rgb_refinement", "--prompt", "inputs/prompt.txt"]
    assert execute("stages.evaluation", arguments, run) == 0
    return run


def values(run, stage):
    return {name: entry["value"] for name, entry in json.loads((run / stage / "metrics.json").read_text()).items()}


def test_the_mesh_fits_the_field(run_folder):
    found = values(run_folder, "mesh_extraction")
    assert found["silhouette_iou"] > 0.95
    assert found["parts"] == 1 and found["floaters_removed"] == 1
    assert found["watertight"] == 1
    assert found["faces"] <= 1200


def test_the_textured_mesh_looks_like_the_field(run_folder):
    found = values(run_folder, "evaluation")
    assert found["mesh_psnr"] > 18
    assert found["mesh_mask_iou"] > 0.95
    assert found["photo_inconsistency"] < 0.1


def test_the_front_is_red_in_the_first_picture_and_blue_in_the_third(run_folder):
    from prior3d.images.files import from_bytes

    for kind in ("mesh", "field"):
        front, back = (
            from_bytes((run_folder / "evaluation/frames" / f"{kind}_{i:03d}.png").read_bytes()) for i in (0, 2)
        )
        assert abs(front[24, 24] - [0.9, 0.1, 0.1]).max() < 0.06
        assert abs(back[24, 24] - [0.1, 0.1, 0.9]).max() < 0.06


def test_the_report_needs_nothing_else_and_its_links_lead_to_the_mesh(run_folder):
    page = (run_folder / "evaluation" / "report.html").read_text()
    assert "a &lt;red&gt; &amp; blue ball" in page and "<red>" not in page
    assert "<script" not in page and not re.search(r"(src|href)=\"https?:", page)
    for link in re.findall(r'href="([^"]+)"', page):
        assert (run_folder / "evaluation" / link).is_file()
    video = re.search(r'src="data:video/mp4;base64,([^"]+)"', page)
    assert base64.b64decode(video[1]) == (run_folder / "evaluation" / "turntable.mp4").read_bytes()
    assert "mesh PSNR" in page and "texture use" in page and ">yes<" in page
    assert "max_faces: 1200" in page


def test_the_stages_are_repeatable(run_folder):
    before = {
        name: (run_folder / name).read_bytes() for name in ("mesh_extraction/mesh.ply", "texture_baking/mesh.glb")
    }
    assert execute("stages.mesh_extraction", ["--field", "rgb_refinement"], run_folder) == 0
    assert execute("stages.texture_baking", ["--mesh", "mesh_extraction", "--field", "rgb_refinement"], run_folder) == 0
    assert all((run_folder / name).read_bytes() == content for name, content in before.items())


def test_with_a_picture_the_mesh_shows_it(run_folder):
    """An image of the ball in green, with a horn that the field has not: colour and outline follow the image."""
    import numpy as np

    from prior3d.images.object_image import ObjectImage, Viewpoint
    from prior3d.meshes.raster import render_mesh

    y, x = np.mgrid[:96, :96] + 0.5 - 48
    inside = (x**2 + y**2 < 24.3**2) | ((abs(x) < 7) & (y < 0) & (y > -36))  # 0.6 is 24.3 pixels at this distance
    rgba = np.concatenate([np.full((96, 96, 3), (0.1, 0.8, 0.2)), inside[..., None]], -1).astype(np.float32)
    picture = ObjectImage(rgba, Viewpoint(90.0, 0.0, 40.0, 3.2))
    (run_folder / "picture").mkdir()
    save_object_image(run_folder / "picture", picture)
    (run_folder / "params.yaml").write_text(PARAMS + "horned: {resolution: 40}\npainted: {resolution: 256}\n")
    words = ["--field", "rgb_refinement", "--image", "picture", "--name"]
    assert execute("stages.mesh_extraction", [*words, "horned"], run_folder) == 0
    assert execute("stages.texture_baking", ["--mesh", "horned", *words, "painted"], run_folder) == 0
    found = values(run_folder, "horned")
    assert found["picture_iou"] > 0.955 and found["silhouette_iou"] > 0.9
    ball = render_mesh(load_mesh(run_folder / "mesh_extraction"), picture.viewpoint.cameras(96)).mask[0] > 0.5
    assert (ball & inside).sum() / (ball | inside).sum() < 0.935
    mesh = load_textured_mesh(run_folder / "painted")
    drawn = render_mesh(mesh, picture.viewpoint.cameras(96), background=1.0)
    assert drawn.mask[0, 15, 48] == 1
    assert abs(drawn.rgb[0, 48, 48] - [0.1, 0.8, 0.2]).max() < 0.03
    behind = render_mesh(mesh, Viewpoint(270.0, 0.0, 40.0, 3.2).cameras(96), background=1.0).rgb[0, 48]
    assert abs(behind[36] - [0.1, 0.1, 0.9]).max() < 0.06 and abs(behind[60] - [0.9, 0.1, 0.1]).max() < 0.06


def test_a_latent_field_is_refused(run_folder, capfd):
    (run_folder / "coarse").mkdir(exist_ok=True)
    save_field(run_folder / "coarse", foggy_ball("latent"))
    assert execute("stages.texture_baking", ["--mesh", "mesh_extraction", "--field", "coarse"], run_folder) == 2
    assert "holds latents, but colours are needed" in capfd.readouterr().err
    assert (run_folder / "texture_baking" / "mesh.glb").is_file()


def test_an_empty_field_is_an_error_and_leaves_the_old_mesh(run_folder, capfd):
    (run_folder / "empty").mkdir(exist_ok=True)
    nothing = FieldConfig(encoding=DenseGrids((5,)), head="rgb", channels=3, blob_density=0, density_bias=-20)
    save_field(run_folder / "empty", ObjectField(nothing))
    before = (run_folder / "mesh_extraction" / "mesh.ply").read_bytes()
    assert execute("stages.mesh_extraction", ["--field", "empty"], run_folder) == 2
    message = capfd.readouterr().err
    assert message.startswith("error: ") and "the field is empty" in message and message.count("\n") == 1
    assert (run_folder / "mesh_extraction" / "mesh.ply").read_bytes() == before


def test_reading_the_parameters_needs_no_heavy_library():
    heavy = "{'torch', 'open3d', 'skimage', 'trimesh', 'scipy', 'xatlas', 'numpy'}"
    stages = "stages.mesh_extraction, stages.texture_baking, stages.evaluation"
    code = f"import sys, {stages}; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
