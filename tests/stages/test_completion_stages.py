"""image_nerf that starts from the image's symmetric completion, and the stages that make a mesh of it."""

import json

import numpy as np
import pytest
import yaml

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.meshes.raster import render_mesh
from prior3d.settings.completion import CompletionSettings
from stages.artifacts.completions import load_completion, save_completion
from stages.artifacts.images import save_object_image
from stages.artifacts.meshes import load_textured_mesh
from stages.contract.entry import execute
from tests.breaking_off import stop_at
from tests.photo_like import BLUE, RED, WHITE, ball, grid, image_of
from tests.tiny_prior import write_tiny_prior

COMPLETION = {
    "body": {"size": 64},
    "view_size": 32,
    "steps": 6,
    "fit": {"resolutions": [17, 33], "n_samples": 24, "rays_per_step": 256},
}
ARGUMENTS = ["--image", "picture", "--prior", "inputs/prior.json"]


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors")
    return {
        "tiny": str(write_tiny_prior(folder / "p", camera=True, prediction_type="v_prediction")),
        "tiny-holes": str(write_tiny_prior(folder / "i", camera=True, in_channels=9)),
    }


def make_run(folder, priors):
    (folder / "inputs").mkdir(parents=True)
    for file, name in (("prior", "tiny"), ("inpainting", "tiny-holes")):
        (folder / "inputs" / f"{file}.json").write_text(json.dumps({"name": name, "digest": "0"}))
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": priors}))
    nerf = {"field": {"start": "completion", "completion": COMPLETION}, "n_samples": 48}
    mesh = {"mesh_extraction": {"resolution": 40, "max_faces": 1200}, "texture_baking": {"resolution": 128}}
    paint = {"texture_projection": {"resolution": 128}, "inpainting": {}, "texture_refinement": {"resolution": 128}}
    (folder / "params.yaml").write_text(yaml.safe_dump({"image_nerf": nerf} | mesh | paint))
    x, y = grid()
    (folder / "picture").mkdir()
    save_object_image(
        folder / "picture", image_of(ball(), (x < 0, RED), (x >= 0, BLUE), (np.hypot(x, y) < 0.15, WHITE))
    )
    return folder


def test_a_mesh_of_the_completion_has_the_images_colours_all_round_and_no_second_face(tmp_path, priors):
    run = make_run(tmp_path / "run", priors)
    assert execute("stages.image_nerf", ARGUMENTS, run) == 0
    field = ["--field", "image_nerf", "--image", "picture"]
    assert execute("stages.mesh_extraction", field, run) == 0
    assert execute("stages.texture_baking", ["--mesh", "mesh_extraction", *field], run) == 0
    cameras = orbit_cameras(ring(4, elevation_deg=0.0), 64, 64)
    front, right, back, left = render_mesh(load_textured_mesh(run / "texture_baking"), cameras, background=0.0).rgb
    assert np.allclose(front[32, 32], WHITE, atol=0.15)
    assert np.allclose(right[32, 32], BLUE, atol=0.15) and np.allclose(left[32, 32], RED, atol=0.15)
    assert back[20:44, 20:44, 1].max() < 0.35  # red to blue, no white spot
    blue_minus_red = back[32, :, 2] - back[32, :, 0]
    assert blue_minus_red[13] > 0.2 and blue_minus_red[-14] < -0.2  # each on its own side
    metrics = json.loads((run / "mesh_extraction" / "metrics.json").read_text())
    assert metrics["picture_iou"]["value"] > 0.95 and metrics["watertight"]["value"] == 1
    assert_no_prior_paints(run, cameras, np.stack([front, right, back, left]))


def assert_no_prior_paints(run, cameras, baked):
    """Make-It-3D's second stage leaves a completion as it is, but for the image's own pixels."""
    mesh = ["--mesh", "texture_baking", "--image", "picture"]
    assert execute("stages.texture_projection", mesh, run) == 0
    fill = ["--texture", "texture_projection", "--prior", "inputs/inpainting.json"]
    assert execute("stages.inpainting", [*mesh, *fill], run) == 0
    refine = ["--paint", "inpainting", "--prior", "inputs/prior.json"]
    assert execute("stages.texture_refinement", [*mesh, *refine], run) == 0
    refined = render_mesh(load_textured_mesh(run / "texture_refinement"), cameras, background=0.0).rgb
    assert np.abs(refined - baked).mean() < 0.02 and np.abs(refined - baked)[2, 20:44, 20:44].max() < 0.15


def test_a_completion_that_was_broken_off_goes_on_to_the_same_bits(tmp_path, priors, monkeypatch):
    whole, broken = (make_run(tmp_path / name, priors) for name in ("whole", "broken"))
    assert execute("stages.image_nerf", ARGUMENTS, whole) == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        assert execute("stages.image_nerf", ARGUMENTS, broken) == 1
    assert list((broken / ".work" / "image_nerf").glob("*/checkpoint.safetensors"))
    assert execute("stages.image_nerf", ARGUMENTS, broken) == 0
    for file in ("field.safetensors", "completion.json", "preview.png"):
        assert (broken / "image_nerf" / file).read_bytes() == (whole / "image_nerf" / file).read_bytes()


def test_the_note_beside_a_field(tmp_path):
    assert load_completion(tmp_path) is None
    settings = CompletionSettings(elevation_deg=12.0)
    save_completion(tmp_path, settings)
    assert load_completion(tmp_path) == settings
    for damaged in ("{", '{"elevation_deg": "high"}', '{"unknown": 1}'):
        (tmp_path / "completion.json").write_text(damaged)
        with pytest.raises(Prior3dError, match="completion.json"):
            load_completion(tmp_path)
