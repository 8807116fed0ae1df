"""Methods that paint with a photograph: what is refused before anything is written, and whole flows on tiny priors."""

import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from flows import make_it_3d, methods, retexture
from flows.cli import main
from prior3d.cameras import orbit_cameras, ring
from prior3d.images.files import write_png
from prior3d.meshes.mesh import Mesh
from prior3d.meshes.raster import render_mesh
from stages.artifacts.base import load_metrics
from stages.artifacts.meshes import check_textured_mesh, load_textured_mesh
from tests.tiny_prior import write_tiny_prior

PAINT = {
    "texture_projection.resolution": "32",
    "inpainting.inpaint.num_inference_steps": "2",
    "inpainting.views.azimuth_step_deg": "180",
    "inpainting.inpaint.supersampling": "2",
    "texture_refinement.steps": "2",
    "texture_refinement.resolution": "32",
    "texture_refinement.refresh.n_views": "4",
    "texture_refinement.refresh.num_inference_steps": "2",
    "evaluation.n_azimuths": "2",
    "evaluation.size": "32",
    "evaluation.video_frames": "2",
    "evaluation.video_size": "32",
}
FIELD = {
    "textual_inversion.steps": "1",
    "textual_inversion.initializer_token": "ball",
    "image_nerf.steps": "4",
    "image_nerf.refreshing.steps": "4",
    "image_nerf.n_samples": "16",
    "image_nerf.sds.image_size": "16",
    "image_nerf.field.grid_resolutions": "[9,17]",
    "image_nerf.refresh.n_views": "4",
    "image_nerf.refresh.rays_per_step": "64",
    "image_nerf.reference.rays_per_step": "64",
    "image_nerf.refresh.strengths": "[0.3]",
    "image_nerf.refresh.num_inference_steps": "2",
    "mesh_extraction.resolution": "32",
    "texture_baking.resolution": "32",
    "evaluation.n_samples": "16",
}


@pytest.fixture
def refused(fake, tmp_path):
    write_png(tmp_path / "ball.png", np.ones((16, 16, 4), np.float32))
    trimesh.creation.icosphere(1).export(tmp_path / "ball.obj")

    def check(said, *words):
        code, out, err = fake.cli("run", *words)
        assert code == 2, out
        assert said in err and len(err.splitlines()) == 1
        assert list((fake.project / "data" / "runs").iterdir()) == []

    return check


def test_what_retexture_refuses(refused, fake, tmp_path):
    mesh, image = ("--mesh", str(tmp_path / "ball.obj")), ("--image", str(tmp_path / "ball.png"))
    refused("--camera is missing", "retexture", *mesh, *image)
    refused("--image is missing", "retexture", *mesh, "--camera", "0,0,40")
    refused("its ending is '.obj'", "retexture", *mesh, "--image", str(tmp_path / "ball.obj"), "--camera", "0,0,40")
    words = ("retexture", *mesh, *image, "--camera", "0,0,40", "--prior", str(fake.prior))
    refused("but inpainting needs", *words, "--inpainting-prior", str(fake.prior))


def test_the_methods_share_their_stages():
    known = {s.module for s in methods.METHODS["realfusion"].stages}
    paint = {s.module for s in retexture.METHOD.stages}
    assert {s.module for s in make_it_3d.METHOD.stages} <= known | paint


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project, tiny priors, and a photograph of a ball: red above, green below."""
    from flows.engine.project import init_project

    before = Path.cwd()
    init_project(tmp_path / "project")
    write_tiny_prior(tmp_path / "p", camera=True, prediction_type="v_prediction")
    write_tiny_prior(tmp_path / "i", camera=True, in_channels=9)
    ball = trimesh.creation.icosphere(3, 0.9)
    ball.export(tmp_path / "ball.ply")
    seen = render_mesh(Mesh(np.asarray(ball.vertices), np.asarray(ball.faces)), orbit_cameras(ring(1, 0.0), 48, 48))
    rgba = np.zeros((48, 48, 4), np.float32)
    rgba[:24, :, 0], rgba[24:, :, 1], rgba[..., 3] = 1, 1, seen.mask[0]
    write_png(tmp_path / "ball.png", rgba)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    os.chdir(tmp_path / "project")
    yield tmp_path
    os.chdir(before)


def run(project, method, settings, *words):
    chosen = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    priors = ["--prior", str(project / "p"), "--inpainting-prior", str(project / "i"), "--preset", "toy"]
    given = ["--image", str(project / "ball.png"), "--camera", "0,0,40", "--name", "ball"]
    return main(["run", method, *given, *words, *priors, *chosen, "--plain"])


@pytest.mark.slow
def test_retexture_from_files_to_a_painted_mesh(project):
    settings = PAINT | {"mesh_preparation.chart_resolution": "64", "mesh_preparation.radius": "0.9"}
    assert run(project, "retexture", settings, "--mesh", str(project / "ball.ply"), "--prompt", "a red ball") == 0
    folder = Path("data/runs/ball")
    assert load_metrics(folder / "inpainting")["covered"]["value"] == 1
    mesh = load_textured_mesh(folder / "texture_refinement")
    front = render_mesh(mesh, orbit_cameras(ring(1, 0.0), 24, 24), background=0.5).rgb[0]
    assert front[9, 12, 0] > 0.8 and front[14, 12, 1] > 0.8
    assert (folder / "evaluation" / "report.html").is_file()


@pytest.mark.slow
def test_make_it_3d_from_a_picture_to_a_mesh(project):
    assert run(project, "make-it-3d", FIELD | PAINT, "--prompt", "a red ball", "--scorer", "toy-scorer") == 0
    folder = Path("data/runs/ball")
    check_textured_mesh(folder / "texture_refinement")
    assert (folder / "image_nerf" / "depth.png").is_file() and (folder / "inpainting" / "preview.png").is_file()
    assert load_metrics(folder / "inpainting")["covered"]["value"] == 1
