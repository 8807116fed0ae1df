"""The stages of retexture on tiny random priors: a photograph on a mesh, the rest filled, resume after a kill."""

import json

import numpy as np
import pytest
import torch
import trimesh
import yaml
from PIL import Image

from prior3d.cameras import orbit_cameras, ring
from prior3d.dataset_update.inpaint_views import outward_views
from prior3d.images.files import write_png
from prior3d.images.object_image import Viewpoint
from prior3d.meshes.mesh import Mesh
from prior3d.meshes.raster import render_mesh
from prior3d.settings.inpainting import InpaintCameraSettings
from stages.artifacts.base import load_metrics
from stages.artifacts.meshes import load_paintable_mesh, load_textured_mesh
from stages.artifacts.textures import load_partial_texture
from stages.contract.entry import execute
from tests.breaking_off import stop_at
from tests.nested import nested
from tests.tiny_prior import write_tiny_prior

PARAMS = {
    "mesh_preparation": {"chart_resolution": 64},
    "image_preparation": {},
    "texture_projection": {"resolution": 32},
    "inpainting": {"inpaint.num_inference_steps": 2, "views.azimuth_step_deg": 90, "inpaint.supersampling": 2},
    "texture_refinement": {
        "steps": 4,
        "resolution": 32,
        "refresh.supersampling": 2,
        "refresh.n_views": 4,
        "views.per_step": 2,
        "refresh.strengths": [0.3],
        "refresh.num_inference_steps": 2,
    },
}
PREPARE_MESH = ["--mesh", "inputs/ball.ply"]
PREPARE_IMAGE = ["--image", "inputs/ball.png", "--camera", "inputs/camera.txt"]
PROJECT = ["--mesh", "mesh_preparation", "--image", "image_preparation"]
FILL = [*PROJECT, "--texture", "texture_projection", "--prior", "inputs/inpainting.json"]
HALVES = ((slice(8, 11), (1, 0, 0)), (slice(13, 16), (0, 1, 0)))  # rows of an image of 24 pixels, and their colour
REFINE = [*PROJECT, "--paint", "inpainting", "--prior", "inputs/prior.json"]


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors")
    return {
        "tiny": str(write_tiny_prior(folder / "p", camera=True, prediction_type="v_prediction")),
        "tiny-holes": str(write_tiny_prior(folder / "i", camera=True, in_channels=9)),
    }


def make_run(folder, priors, azimuth=0.0, **changed):
    """A run whose photograph shows a ball: red above, green below."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    ball = trimesh.creation.icosphere(3, 0.95)
    ball.export(inputs / "ball.ply")
    cameras = orbit_cameras(ring(1, 0.0), 48, 48)
    seen = render_mesh(Mesh(np.asarray(ball.vertices), np.asarray(ball.faces)), cameras)
    rgba = np.zeros((48, 48, 4), np.float32)
    rgba[:24, :, 0], rgba[24:, :, 1] = 1, 1
    rgba[..., 3] = seen.mask[0]
    write_png(inputs / "ball.png", rgba)
    (inputs / "camera.txt").write_text(f"{azimuth},0,40\n")
    (inputs / "prompt.txt").write_text("a red ball\n")
    (inputs / "prior.json").write_text(json.dumps({"name": "tiny", "digest": "0"}))
    (inputs / "inpainting.json").write_text(json.dumps({"name": "tiny-holes", "digest": "0"}))
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": priors}))
    params = {stage: nested(values | changed.get(stage, {})) for stage, values in PARAMS.items()}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


def projected(folder, priors, **others):
    make_run(folder, priors, **others)
    assert execute("stages.mesh_preparation", PREPARE_MESH, folder) == 0
    assert execute("stages.image_preparation", PREPARE_IMAGE, folder) == 0
    assert execute("stages.texture_projection", PROJECT, folder) == 0
    return folder


def value(folder, stage, name):
    return load_metrics(folder / stage)[name]["value"]


def from_front(folder, texture):
    mesh = load_paintable_mesh(folder / "mesh_preparation")
    return render_mesh(
        mesh.split(mesh.world_vertices(), texture), orbit_cameras(ring(4, 0.0), 24, 24), background=0.5
    ).rgb


def test_a_photograph_is_projected_filled_and_held(tmp_path, priors):
    folder = projected(tmp_path / "run", priors)
    paint = load_partial_texture(folder / "texture_projection")
    assert 0.2 < value(folder, "texture_projection", "projected") < 0.5  # a little less than half of a ball
    assert value(folder, "texture_projection", "mask_iou") > 0.95
    known = paint.confidence > 0
    assert torch.equal(known, paint.source == 1)
    assert paint.colours[known][:, :2].amax(-1).min() > 0.5 and paint.colours[known][:, 2].max() == 0
    assert execute("stages.inpainting", [*FILL, "--prompt", "inputs/prompt.txt"], folder) == 0
    filled = load_partial_texture(folder / "inpainting")
    held = known & (filled.source == 1)
    assert held.sum() > 0.8 * known.sum()
    assert torch.allclose(filled.colours[held], paint.colours[held], atol=1e-6), "known texels are not drawn again"
    shares = [value(folder, "inpainting", name) for name in ("projected", "inpainted", "dilated")]
    assert sum(shares) == pytest.approx(1) and shares[1] > 0.3
    assert value(folder, "inpainting", "covered") == 1
    assert (folder / "inpainting" / "views.png").is_file()
    assert execute("stages.texture_refinement", REFINE, folder) == 0
    picture = from_front(folder, load_textured_mesh(folder / "texture_refinement").texture)[0]
    assert picture[9, 12, 0] > 0.8 and picture[14, 12, 1] > 0.8, "red above and green below, as in the photograph"
    assert value(folder, "texture_refinement", "surface_seen") == 1


def test_the_other_side_takes_the_mirrored_photograph(tmp_path, priors):
    folder = projected(tmp_path / "run", priors, azimuth=60.0, texture_projection={"mirror_confidence": 0.5})
    paint = load_partial_texture(folder / "texture_projection")
    assert value(folder, "texture_projection", "mirrored_mask_iou") > 0.95
    shares = [value(folder, "texture_projection", name) for name in ("projected", "mirrored")]
    assert all(0.1 < share < 0.3 for share in shares)
    mirrored = paint.source == 3
    assert paint.confidence[mirrored].min() > 0 and paint.confidence[mirrored].max() <= 0.5
    mesh = load_paintable_mesh(folder / "mesh_preparation")
    camera = orbit_cameras(ring(1, 0.0, start_deg=-60.0), 24, 24)
    seen = render_mesh(mesh.split(mesh.world_vertices(), paint.colours.numpy()), camera).rgb[0]
    for rows, colour in HALVES:
        assert np.abs(seen[rows, 9:15] - colour).mean() < 0.15
    assert execute("stages.inpainting", FILL, folder) == 0
    filled = load_partial_texture(folder / "inpainting")
    assert torch.allclose(
        filled.colours[mirrored & (filled.source == 3)], paint.colours[mirrored & (filled.source == 3)]
    )
    assert (filled.source == 3).sum() > 0.8 * mirrored.sum()


def test_a_mirrored_photograph_that_the_mesh_does_not_look_like_is_left_out(tmp_path, priors, capfd):
    folder = make_run(tmp_path / "run", priors, azimuth=60.0, texture_projection={"mirror_confidence": 0.5})
    with Image.open(folder / "inputs" / "ball.png") as picture:
        half = np.asarray(picture, np.float32) / 255
    half[:, 24:, 3] = 0
    write_png(folder / "inputs" / "ball.png", half)
    assert execute("stages.mesh_preparation", PREPARE_MESH, folder) == 0
    assert execute("stages.image_preparation", PREPARE_IMAGE, folder) == 0
    assert execute("stages.texture_projection", PROJECT, folder) == 0
    assert value(folder, "texture_projection", "mirrored") == 0
    assert "mirror image is left out: outlines overlap by" in capfd.readouterr().out


def test_of_what_is_drawn_a_share_is_taken(tmp_path, priors):
    drawn = {}
    for share in (1.0, 0.01):
        folder = projected(tmp_path / str(share), priors, inpainting={"inpaint.blend_weight": share})
        before = load_partial_texture(folder / "texture_projection").colours
        assert execute("stages.inpainting", FILL, folder) == 0
        filled = load_partial_texture(folder / "inpainting")
        drawn[share] = (filled.colours - before)[filled.source == 2].abs().mean()
    assert drawn[0.01] < 0.03 < 0.1 < drawn[1.0]


def test_refinement_ends_with_the_photographs_pixels(tmp_path, priors):
    free = {
        "anchors.paint_weight": 0,
        "anchors.image_weight": 0,
        "optimiser.learning_rate": 0.5,
    }  # a random prior then spoils the front
    folder = projected(tmp_path / "run", priors, texture_refinement=free)
    assert execute("stages.inpainting", FILL, folder) == 0
    off = {}
    for steps in (0, 20):
        params = yaml.safe_load((folder / "params.yaml").read_text())
        params["texture_refinement"]["anchors"]["image_steps"] = steps
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        assert execute("stages.texture_refinement", REFINE, folder) == 0
        front = from_front(folder, load_textured_mesh(folder / "texture_refinement").texture)[0]
        off[steps] = [np.abs(front[rows, 9:15] - colour).mean() for rows, colour in HALVES]
    assert min(off[0]) > 0.15 and max(off[20]) < 0.05


def test_inpainting_is_the_same_to_the_bit_after_a_kill(tmp_path, priors, monkeypatch):
    whole, broken = (projected(tmp_path / name, priors) for name in ("whole", "broken"))
    assert execute("stages.inpainting", FILL, whole) == 0  # without a prompt
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        assert execute("stages.inpainting", FILL, broken) == 1
    assert list((broken / ".work" / "inpainting").glob("*/checkpoint.safetensors"))
    assert execute("stages.inpainting", FILL, broken) == 0
    for name in ("texture.safetensors", "views.png", "metrics.json"):
        assert (whole / "inpainting" / name).read_bytes() == (broken / "inpainting" / name).read_bytes(), name


def test_a_mesh_that_stands_otherwise_is_said(tmp_path, priors, capfd):
    folder = make_run(tmp_path / "run", priors, mesh_preparation={"chart_resolution": 64, "radius": 0.5})
    for stage, words in (("mesh_preparation", PREPARE_MESH), ("image_preparation", PREPARE_IMAGE)):
        assert execute(f"stages.{stage}", words, folder) == 0
    assert execute("stages.texture_projection", PROJECT, folder) == 0
    assert "overlaps the image's by" in capfd.readouterr().out
    assert "check --camera" in (folder / "texture_projection" / "notes.txt").read_text()
    assert value(folder, "texture_projection", "mask_iou") < 0.5


def test_a_photograph_that_misses_the_mesh_is_one_line(tmp_path, priors, capfd):
    folder = make_run(tmp_path / "run", priors)
    picture = np.zeros((48, 48, 4), np.float32)
    picture[:14, :14] = 1
    write_png(folder / "inputs" / "ball.png", picture)
    for stage, words in (("mesh_preparation", PREPARE_MESH), ("image_preparation", PREPARE_IMAGE)):
        assert execute(f"stages.{stage}", words, folder) == 0
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"texture_projection": {"erosion": 12}}))
    assert execute("stages.texture_projection", PROJECT, folder) == 2
    assert "the image shows no texel of the mesh" in capfd.readouterr().err


def test_refinement_wants_latents_or_paint(tmp_path, priors, capfd):
    folder = projected(tmp_path / "run", priors)
    assert execute("stages.texture_refinement", ["--mesh", "mesh_preparation", *REFINE[-2:]], folder) == 2
    assert "give either --texture, of latents, or --paint, of colours" in capfd.readouterr().err


def test_a_damaged_texture_is_one_line(tmp_path, priors, capfd):
    folder = projected(tmp_path / "run", priors)
    (folder / "texture_projection" / "texture.safetensors").write_bytes(b"no")
    assert execute("stages.inpainting", FILL, folder) == 2
    assert "texture.safetensors: damaged" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("step_deg", "middle"),
    [(180, [180]), (90, [90, 270, 180]), (75, [75, 285, 150, 210, 180]), (60, [60, 300, 120, 240, 180])],
)
def test_the_middle_ring_goes_from_the_picture_to_the_back(step_deg, middle):
    orbit = outward_views(InpaintCameraSettings(azimuth_step_deg=step_deg), Viewpoint(0.0, 10.0, 40.0, 3.0))
    assert orbit.azimuth_deg[: len(middle)].tolist() == pytest.approx(middle)
    assert orbit.views == len(middle) + 8
