"""RealFusion on the command line: what is refused before anything is written, and a whole run on a tiny prior."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows import realfusion
from flows.methods import METHODS
from tests.tiny_prior import write_tiny_prior

TINY = [
    "textual_inversion.steps=2", "textual_inversion.initializer_token=ball", "textual_inversion.batch=2",
    "image_nerf.steps=6", "image_nerf.refreshing.steps=8", "image_nerf.n_samples=16",
    "image_nerf.field.grid_resolutions=[9,17]",
    "image_nerf.views.per_step=1", "image_nerf.sds.image_size=16", "image_nerf.refresh.n_views=4",
    "image_nerf.refresh.strengths=[0.2]",
    "image_nerf.refresh.num_inference_steps=2", "image_nerf.refresh.rays_per_step=256",
    "image_nerf.refreshing.weight=0.01",
    "mesh_extraction.resolution=24", "mesh_extraction.n_azimuths=3", "texture_baking.resolution=64",
    "evaluation.n_azimuths=2", "evaluation.video_frames=2", "evaluation.size=32", "evaluation.video_size=32",
]  # fmt: skip


@pytest.fixture
def picture(tmp_path):
    y, x = np.mgrid[:64, :64] + 0.5
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[(y - 32) ** 2 + (x - 32) ** 2 < 400] = (200, 40, 40, 255)
    Image.fromarray(rgba).save(tmp_path / "ball.png")
    return tmp_path / "ball.png"


def test_what_is_refused_first(fake, picture, tmp_path):
    start = ("run", "realfusion", "--prior", str(fake.prior))
    (tmp_path / "no").mkdir()
    for said, words in (
        ("--image is missing", ()),
        ("there is no such file", ("--image", str(tmp_path / "none.png"))),
        ("its ending is '.svg'", ("--image", str(tmp_path / "drawing.svg"))),
        ("there is no such file", ("--image", str(picture), "--mask", str(tmp_path / "none.png"))),
        ("is not embedded", ("--image", str(picture), "--scorer", str(tmp_path / "no"))),
        ("add it: --set inpainting=on", ("--image", str(picture), "--inpainting-prior", "toy-inpainting")),
    ):
        (tmp_path / "drawing.svg").write_text("<svg/>")
        code, _, err = fake.cli(*start, *words)
        assert code == 2 and said in err and len(err.splitlines()) == 1, err
        assert list((fake.project / "data" / "runs").iterdir()) == []


def test_the_method_is_listed_and_its_stages_are_the_issue_s():
    assert METHODS["realfusion"] is realfusion.METHOD
    names = ["image_preparation", "textual_inversion", "image_nerf", "mesh_extraction", "texture_baking", "evaluation"]
    assert [stage.name for stage in realfusion.METHOD.with_stages(()).stages] == names
    projected = realfusion.METHOD.with_stages(["texture_projection"])
    assert [s.name for s in projected.stages] == [*names[:5], "texture_projection", "texture_refinement", names[5]]
    assert projected.stage("texture_refinement").inputs["paint"] == "texture_projection"
    assert "inpainting_prior" not in [i.name for i in projected.inputs]
    whole = realfusion.METHOD.with_stages(["inpainting"])
    assert whole.stage("texture_refinement").inputs["paint"] == "inpainting"
    assert whole.stage("evaluation").inputs["mesh"] == "texture_refinement"
    assert "inpainting_prior" in [i.name for i in whole.inputs]


@pytest.mark.slow
def test_a_whole_run_and_a_camera_that_is_none(fake, picture, tmp_path):
    prior = write_tiny_prior(tmp_path / "tiny", camera=True, prediction_type="v_prediction", seed=1)
    words = ["run", "realfusion", "--image", str(picture), "--prior", str(prior), "--preset", "toy", "--name", "ball"]
    words += ["--scorer", "toy-scorer"]
    words += [word for text in TINY for word in ("--set", text)]
    code, _, err = fake.cli(*words, "--camera", "1,2")
    assert code == 2 and "azimuth,elevation,fov" in err
    code, out, err = fake.cli(*words, "--camera", "30,15,40")
    assert code == 0, err
    folder: Path = fake.folder("ball")
    assert (folder / "texture_baking" / "mesh.glb").is_file() and (folder / "evaluation" / "reference.png").is_file()
    assert json.loads((folder / "image_preparation" / "image.json").read_text())["camera"]["azimuth_deg"] == 30
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert metrics["mesh_reference_psnr"]["value"] > 8
    code, out, _ = fake.cli(*words, "--camera", "30,15,40")
    assert code == 0 and "nothing to do" in out
    refined = ("texture_projection=on", "texture_refinement.steps=4", "texture_refinement.refresh.n_views=4")
    code, _, err = fake.cli(*words, "--camera", "30,15,40", *(word for text in refined for word in ("--set", text)))
    assert code == 0, err
    projected = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert (folder / "texture_refinement" / "mesh.glb").is_file()
    assert projected["mesh_reference_psnr"]["value"] > 15
    assert json.loads((folder / "texture_projection" / "metrics.json").read_text())["projected"]["value"] > 0.1
    grid = tmp_path / "grid.png"
    concept = str(folder / "textual_inversion")
    sample = ["priors", "sample", str(prior), "--steps", "2", "--out", str(grid), "--concept", concept]
    assert fake.cli(*sample, "--prompt", "a <object>")[0] == 0 and grid.is_file()
    code, _, err = fake.cli(*sample, "--prompt", "a ball")
    assert code == 2 and "no --prompt holds its word" in err
