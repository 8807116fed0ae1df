"""Several priors in one run: toy ones that nobody asked for beside a person's own, and two folders of one name."""

import json
import shutil

import numpy as np
import pytest
import trimesh
import yaml

from flows.methods import METHODS
from flows.request import make_request
from prior3d.diffusion.embedded import embedded_prior
from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from tests.posed_ball import write_ball
from tests.scenes import write_capture
from tests.tiny_prior import write_tiny_prior


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A text-to-image and an inpainting prior, in folders of one name."""
    place = tmp_path_factory.mktemp("priors")
    write_tiny_prior(place / "text" / "model")
    write_tiny_prior(place / "holes" / "model", in_channels=9, seed=1)
    return place


@pytest.fixture
def given(fake, tmp_path):
    write_png(tmp_path / "ball.png", np.ones((16, 16, 4), np.float32))
    trimesh.creation.icosphere(1).export(tmp_path / "ball.obj")
    image = ["--image", str(tmp_path / "ball.png")]
    mesh = ["--mesh", str(tmp_path / "ball.obj"), "--camera", "0,0,40"]
    return {"retexture": [*image, *mesh], "realfusion": image, "make-it-3d": image}


def request_of(fake, method, *words):
    from flows.engine.project import find_project

    return make_request(find_project(fake.project), METHODS[method], list(words))


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("retexture", ["--inpainting-prior is left at toy-inpainting", "--inpainting-prior toy-inpainting"]),
        ("realfusion", ["--scorer is left at toy-scorer", "--scorer toy-scorer"]),
        ("make-it-3d", ["--inpainting-prior toy-inpainting --scorer toy-scorer"]),
    ],
)
def test_toy_companions_of_a_prior_of_ones_own_are_refused_with_both_ways_out(fake, folders, given, method, said):
    words = [*given[method], "--prior", str(folders / "text" / "model"), "--name", "ball"]
    code, out, err = fake.cli("run", method, *words)
    assert code == 2 and len(err.splitlines()) == 1, out
    assert "--prior names a prior of your own" in err and "give --" in err
    for text in said:
        assert text in err
    by_name = [word for name in ("inpainting", "scorer") if name in err for word in _named(name)]
    assert request_of(fake, method, *words, *by_name).declaration.preset == "paper"


def _named(name):
    return ["--scorer", "toy-scorer"] if name == "scorer" else ["--inpainting-prior", "toy-inpainting"]


def test_a_companion_of_ones_own_beside_the_toy_prior_is_refused_too(fake, folders, given):
    with pytest.raises(Prior3dError, match="--inpainting-prior names a prior of your own, but --prior is left at toy,"):
        request_of(fake, "retexture", *given["retexture"], "--inpainting-prior", str(folders / "holes" / "model"))


def test_two_folders_of_one_name_stay_two_priors(fake, folders, given):
    text, holes = folders / "text" / "model", folders / "holes" / "model"
    words = [*given["retexture"], "--prior", str(text), "--inpainting-prior", str(holes), "--name", "ball"]
    request = request_of(fake, "retexture", *words)
    assert request.settings["priors"] == {"model": str(text), "model-inpainting_prior": str(holes)}
    named = {name: json.loads(request.declaration.inputs[name])["name"] for name in ("prior", "inpainting_prior")}
    assert named == {"prior": "model", "inpainting_prior": "model-inpainting_prior"}
    assert yaml.safe_load(yaml.safe_dump(request.settings)) == request.settings


def test_one_folder_for_two_inputs_keeps_its_name(fake, folders, given, tmp_path):
    shutil.copytree(folders / "holes" / "model", tmp_path / "other")
    words = [
        *given["retexture"],
        "--prior",
        str(folders / "text" / "model"),
        "--inpainting-prior",
        str(tmp_path / "other"),
    ]
    assert set(request_of(fake, "retexture", *words, "--name", "b").settings["priors"]) == {"model", "other"}


@pytest.mark.parametrize("method", METHODS)
def test_embedded_priors_are_toys_in_the_checkout_too(fake, given, tmp_path, method):
    """There they lie in the project's own `data/priors`, and nobody names them."""
    (fake.project / "data" / "priors").parent.mkdir(parents=True, exist_ok=True)
    (fake.project / "data" / "priors").symlink_to(embedded_prior("toy").parent)
    write_capture(tmp_path / "capture")
    write_ball(tmp_path / "posed", 3)
    (tmp_path / "ball.ply").write_bytes(b"ply")
    values = {
        "prompt": "a red ball", "instruction": "make it blue", "image": tmp_path / "ball.png",
        "mesh": tmp_path / "ball.obj", "shape": tmp_path / "ball.obj", "scene": tmp_path / "capture",
        "images": tmp_path / "posed", "camera": "0,0,40", "splats": tmp_path / "ball.ply",
    }  # fmt: skip
    whole = METHODS[method]
    needed = [i.name for i in whole.inputs if i.name in values and i.default is None]
    needed += [] if not whole.one_of or set(needed) & set(whole.one_of) else [whole.one_of[0]]
    words = [word for name in needed for word in (f"--{name}", str(values[name]))]
    assert request_of(fake, method, *words, "--name", "ball").declaration.preset == "toy"
