"""The stages of Sketch-Shape and Latent-Paint on a tiny random prior: artifacts, resume after a kill, bad meshes."""

import json

import numpy as np
import pytest
import torch
import trimesh
import yaml

from prior3d.meshes.painted_files import load_uv_mesh
from prior3d.meshes.reading import read_mesh
from stages import latent_paint, mesh_preparation, texture_refinement
from stages.artifacts.base import load_metrics
from stages.artifacts.meshes import load_mesh
from stages.artifacts.shape_guide import load_shape_guide
from stages.artifacts.textures import save_latent_texture
from stages.contract.entry import execute
from stages.contract.parameters import merged
from tests.breaking_off import stop_at
from tests.nested import nested
from tests.tiny_prior import write_tiny_prior

TEXTS = ["--prompt", "inputs/prompt.txt", "--prior", "inputs/prior.json"]
GUIDE = ["--shape", "inputs/shape.obj"]
PREPARE = ["--mesh", "inputs/shape.obj"]
PAINT = ["--mesh", "mesh_preparation", *TEXTS]
REFINE = ["--mesh", "mesh_preparation", "--texture", "latent_paint", *TEXTS]
PARAMS = {
    "shape_guide": {"resolution": 17},
    "coarse_nerf": {"steps": 8, "n_samples": 16, "field.grid_resolutions": [5, 9], "views.per_step": 2},
    "rgb_refinement": {
        "steps": 6,
        "n_samples": 12,
        "finer_resolutions": [17],
        "refresh.n_views": 4,
        "refresh.rays_per_step": 64,
        "refresh.strengths": [0.3],
        "refresh.num_inference_steps": 2,
    },
    "mesh_preparation": {"chart_resolution": 64},
    "latent_paint": {"steps": 8, "resolution": 16, "supersampling": 2, "views.per_step": 2},
    "texture_refinement": {
        "steps": 8,
        "resolution": 32,
        "refresh.supersampling": 2,
        "refresh.n_views": 4,
        "views.per_step": 2,
        "refresh.strengths": [0.4, 0.0],
        "refresh.num_inference_steps": 2,
    },
    "evaluation": {"n_azimuths": 4, "size": 32, "n_samples": 24, "video_frames": 2, "video_size": 32},
}


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """As the toy prior: it takes a camera and predicts velocities."""
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", camera=True, prediction_type="v_prediction")


def make_run(folder, prior, **changed):
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs" / "prompt.txt").write_text("a red ball\n")
    (folder / "inputs" / "prior.json").write_text(json.dumps({"name": "tiny", "digest": "0"}))
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": {"tiny": str(prior)}}))
    params = {stage: nested(values | changed.get(stage, {})) for stage, values in PARAMS.items()}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    trimesh.creation.icosphere(2, 3.0).export(folder / "inputs" / "shape.obj")
    return folder


@pytest.fixture
def run_folder(tmp_path, prior):
    return make_run(tmp_path / "run", prior)


def value(folder, stage, name):
    return load_metrics(folder / stage)[name]["value"]


def broken_off(monkeypatch, stage, arguments, folder, step_to_stop=5):
    """Break a stage off after a step, as a kill does, and run it again to its end."""
    with monkeypatch.context() as patch:
        stop_at(patch, step_to_stop)
        patch.setattr("stages.contract.preview.PREVIEW_EVERY_S", 0.0)  # previews must not change the result
        assert execute(f"stages.{stage}", arguments, folder) == 1
    assert list((folder / ".work" / stage).glob("*/checkpoint.safetensors"))
    assert not (folder / stage).exists()
    assert execute(f"stages.{stage}", arguments, folder) == 0


def test_a_shape_is_placed_and_guides_the_field_bit_identically_after_a_kill(tmp_path, prior, monkeypatch):
    whole, broken = (make_run(tmp_path / name, prior) for name in ("whole", "broken"))
    coarse = [*TEXTS, "--shape", "shape_guide"]
    for folder in (whole, broken):
        assert execute("stages.shape_guide", GUIDE, folder) == 0
    guide = load_shape_guide(whole / "shape_guide")
    assert guide.grid.shape == (17, 17, 17, 2)
    assert np.linalg.norm(load_mesh(whole / "shape_guide").vertices, axis=-1).max() == pytest.approx(0.95)
    assert value(whole, "shape_guide", "open_edges") == 0
    assert execute("stages.coarse_nerf", coarse, whole) == 0
    broken_off(monkeypatch, "coarse_nerf", coarse, broken)
    first, second = ((f / "coarse_nerf" / "field.safetensors").read_bytes() for f in (whole, broken))
    assert first == second
    assert execute("stages.coarse_nerf", TEXTS, broken) == 0  # the same stage without a shape
    assert (broken / "coarse_nerf" / "field.safetensors").read_bytes() != first
    refine = ["--field", "coarse_nerf", *TEXTS, "--shape", "shape_guide"]
    assert execute("stages.rgb_refinement", refine, whole) == 0


def test_holes_and_repairs_are_said(run_folder, capfd):
    ball = trimesh.creation.icosphere(2, 3.0)
    ball.update_faces(ball.triangles_center[:, 1] < 2)
    ball.faces[:5] = ball.faces[:5, ::-1]
    ball.export(run_folder / "inputs" / "shape.obj")
    assert execute("stages.shape_guide", GUIDE, run_folder) == 0
    said = capfd.readouterr().out
    assert "faces turned, so that all look outward" in said and "not watertight: " in said
    assert "not watertight" in (run_folder / "shape_guide" / "notes.txt").read_text()
    assert 0 < value(run_folder, "shape_guide", "open_edges") < 0.2
    assert value(run_folder, "shape_guide", "inside") > 0.2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("Dear diary\n", "no faces were found in it; is it really OBJ?"),
        ("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "none of its 1 faces has an area"),
        ("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "none of its 1 faces has an area"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "the shape encloses nothing"),
    ],
)
def test_bad_shapes_are_one_line(run_folder, capfd, content, message):
    (run_folder / "inputs" / "shape.obj").write_text(content)
    assert execute("stages.shape_guide", GUIDE, run_folder) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not (run_folder / "shape_guide").exists()


def test_a_folder_in_place_of_a_mesh(run_folder, capfd):
    (run_folder / "inputs" / "shape.obj").unlink()
    (run_folder / "inputs" / "shape.obj").mkdir()
    assert execute("stages.mesh_preparation", PREPARE, run_folder) == 2
    assert "a mesh file is needed, this is a folder" in capfd.readouterr().err


@pytest.mark.parametrize("mode", ["consistency", pytest.param("sds", marks=pytest.mark.slow)])
def test_a_mesh_is_painted_unchanged_and_bit_identically_after_a_kill(tmp_path, prior, monkeypatch, mode):
    whole, broken = (make_run(tmp_path / name, prior, texture_refinement={"mode": mode}) for name in ("a", "b"))
    for folder in (whole, broken):
        assert execute("stages.mesh_preparation", PREPARE, folder) == 0
    assert value(whole, "mesh_preparation", "uv_kept") == 0
    assert execute("stages.latent_paint", PAINT, whole) == 0
    broken_off(monkeypatch, "latent_paint", PAINT, broken)
    assert execute("stages.texture_refinement", REFINE, whole) == 0
    broken_off(monkeypatch, "texture_refinement", REFINE, broken)
    for name in ("latent_paint/texture.safetensors", "texture_refinement/mesh.glb", "texture_refinement/mesh.obj"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes()
    given, made = (read_mesh(whole / name) for name in ("inputs/shape.obj", "texture_refinement/mesh.obj"))
    assert np.array_equal(given.vertices, made.vertices) and np.array_equal(given.faces, made.faces)
    assert value(whole, "texture_refinement", "surface_seen") > 0.8


def test_a_painted_mesh_is_evaluated_without_a_field(run_folder):
    for stage, arguments in (("mesh_preparation", PREPARE), ("latent_paint", PAINT), ("texture_refinement", REFINE)):
        assert execute(f"stages.{stage}", arguments, run_folder) == 0
    arguments = ["--mesh", "texture_refinement", "--prompt", "inputs/prompt.txt"]
    assert execute("stages.evaluation", arguments, run_folder) == 0
    found = load_metrics(run_folder / "evaluation")
    assert found["watertight"]["value"] == 1 and "mesh_psnr" not in found
    page = (run_folder / "evaluation" / "report.html").read_text()
    assert "volume-rendered" not in page and "../texture_refinement/mesh.glb" in page


def test_own_uvs_are_kept(run_folder):
    (run_folder / "inputs" / "shape.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n"
    )
    assert execute("stages.mesh_preparation", PREPARE, run_folder) == 0
    assert value(run_folder, "mesh_preparation", "uv_kept") == 1


def test_a_texture_of_another_prior_is_said(run_folder, capfd):
    import torch

    assert execute("stages.mesh_preparation", PREPARE, run_folder) == 0
    (run_folder / "latent_paint").mkdir()
    save_latent_texture(run_folder / "latent_paint", torch.zeros(8, 8, 5))
    assert execute("stages.texture_refinement", REFINE, run_folder) == 2
    assert "the latent texture has 5 channels, this prior has 4" in capfd.readouterr().err


@pytest.mark.slow
def test_the_papers_presets_run_scaled_down(tmp_path, prior):
    """What only the paper's settings use: the red start, nearest texels, the learned background."""
    painted = merged(latent_paint.PRESETS["paper"], {"steps": 2, "resolution": 16})
    refined = merged(texture_refinement.PRESETS["paper"], {"steps": 2, "resolution": 32, "sds": {"image_size": 16}})
    folder = make_run(tmp_path / "run", prior)
    prepared = mesh_preparation.PRESETS["paper"] | {"chart_resolution": 64}
    params = {"mesh_preparation": prepared, "latent_paint": painted, "texture_refinement": refined}
    (folder / "params.yaml").write_text(json.dumps(params))
    for stage, arguments in (("mesh_preparation", PREPARE), ("latent_paint", PAINT), ("texture_refinement", REFINE)):
        assert execute(f"stages.{stage}", arguments, folder) == 0
    mesh = load_uv_mesh(folder / "mesh_preparation").world_vertices()
    assert mesh[:, 2].max() == pytest.approx(0.6, abs=1e-6)


def test_the_papers_red_is_what_a_prior_of_other_latents_encodes(prior):
    from prior3d.diffusion.text_to_image import load_text_to_image
    from prior3d.seeds import Seeds
    from stages.latent_paint.stage import start

    loaded = load_text_to_image(prior, torch.device("cpu"))
    params = latent_paint.Params(start="red", start_noise=0.0, resolution=8)
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, loaded.image_size, loaded.image_size)
    expected = 0.3 * loaded.encode(red).mean((0, 2, 3))
    torch.testing.assert_close(start(loaded, params, Seeds(0), "texture"), expected.expand(8, 8, 4))
    loaded.diffusion.has_sd_latents = True
    assert not torch.allclose(start(loaded, params, Seeds(0), "texture"), expected.expand(8, 8, 4), atol=0.05)


def test_the_papers_start_decodes_to_red():
    from prior3d.images.colours import paper_latent_to_rgb, paper_red_latent

    matrix, offset = paper_latent_to_rgb()
    assert np.allclose(paper_red_latent(4) @ matrix + offset, [1, 0, 0], atol=0.12)  # the ridge holds it back a little
