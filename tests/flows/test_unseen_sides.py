"""realfusion and make-it-3d take the sides that their image does not show from joint views, by the stages of quick."""

import numpy as np
import pytest

from flows.engine.project import find_project
from flows.methods import METHODS
from flows.request import make_request
from flows.run_again import words_of_file
from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from tests.tiny_prior import write_tiny_prior
from tests.tiny_scorer import write_tiny_scorer

METHODS_OF_AN_IMAGE = ("realfusion", "make-it-3d")
UNSEEN = {"image_captioning", "joint_views", "view_fit"}


@pytest.fixture
def image(tmp_path):
    write_png(tmp_path / "ball.png", np.ones((16, 16, 4), np.float32))
    return tmp_path / "ball.png"


def declared(fake, method, image, *words):
    return make_request(
        find_project(fake.project), METHODS[method], ["--image", str(image), "--name", "x", *words]
    ).declaration


def stages_of(fake, method, image, *words):
    return {stage.name for stage in declared(fake, method, image, *words).method.stages}


@pytest.fixture
def own(tmp_path):
    priors = {
        "prior": write_tiny_prior(tmp_path / "p"),
        "inpainting-prior": write_tiny_prior(tmp_path / "i", in_channels=9),
    }
    priors["scorer"] = write_tiny_scorer(tmp_path / "s")
    return {option: ["--" + option, str(folder)] for option, folder in priors.items()}


@pytest.mark.parametrize("method", METHODS_OF_AN_IMAGE)
def test_the_toy_preset_brings_joint_views_and_nothing_else_does(fake, image, own, method):
    assert stages_of(fake, method, image) >= UNSEEN
    assert stages_of(fake, method, image, "--preset", "toy") >= UNSEEN
    assert not stages_of(fake, method, image, "--set", "joint_views=off") & UNSEEN
    assert not stages_of(fake, method, image, "--preset", "paper") & UNSEEN
    priors = [*own["prior"], *own["scorer"], *(own["inpainting-prior"] if method == "make-it-3d" else ())]
    for words in ((), ("--preset", "toy"), ("--preset", "paper")):
        assert not stages_of(fake, method, image, *priors, *words) & UNSEEN
    with pytest.raises(Prior3dError, match="--joint-prior is left at toy-mv"):
        declared(fake, method, image, *priors, "--set", "joint_views=on")
    with pytest.raises(Prior3dError, match=r"--joint-prior is for .* --set joint_views=on"):
        declared(fake, method, image, "--preset", "paper", "--joint-prior", "toy-mv")
    assert stages_of(fake, method, image, "--preset", "paper", "--set", "joint_views=on") >= UNSEEN


@pytest.mark.parametrize("method", METHODS_OF_AN_IMAGE)
def test_what_is_drawn_is_wired_where_it_counts(fake, image, method):
    made = declared(fake, method, image)
    inputs = {stage.name: stage.inputs for stage in made.method.stages}
    assert inputs["image_nerf"]["drawn"] == inputs["texture_baking"]["views"] == "joint_views"
    assert inputs["evaluation"]["caption"] == "image_captioning" and inputs["evaluation"]["drawn"] == "joint_views"
    assert inputs["image_nerf"]["start"] == "view_fit"
    takers = [name for name, sources in inputs.items() if "image" in sources and name not in {"image_preparation"}]
    assert {inputs[name]["image"] for name in set(takers) - {"image_captioning"}} == {"image_captioning"}
    without = declared(fake, method, image, "--set", "joint_views=off")
    for stage in without.method.stages:
        assert not {"drawn", "views", "start", "caption"} & stage.inputs.keys()
        assert stage.inputs.get("image", "") in ("", "image", "image_preparation")


@pytest.mark.parametrize("method", METHODS_OF_AN_IMAGE)
@pytest.mark.parametrize("words", [(), ("--camera", "30,15,40"), ("--prompt", "a red ball")], ids=" ".join)
def test_a_run_after_quick_finds_its_stages_in_the_cache(fake, image, method, words):
    """The key of a stage is its command, its parameters, its code and its inputs."""
    quick, slow = (declared(fake, name, image, *words) for name in ("quick", method))
    for name in ("image_preparation", "image_captioning", "joint_views", "view_fit"):
        mine, theirs = (made.method.stage(name) for made in (slow, quick))
        assert slow.command(mine) == quick.command(theirs)
        assert slow.params[name] == quick.params[name] and slow.code[name] == quick.code[name]
    assert slow.inputs["joint_prior"] == quick.inputs["prior"]


@pytest.mark.parametrize("switch", ["on", "off"])
def test_a_run_is_made_again_with_the_stages_that_it_had(fake, image, switch, tmp_path):
    made = declared(fake, "realfusion", image, "--set", f"joint_views={switch}")
    folder = tmp_path / "run"
    made.write(folder, print)
    method, words = words_of_file(folder / "method.yaml", [])
    again = make_request(find_project(fake.project), method, ["--name", "y", *words]).declaration
    assert [s.name for s in again.method.stages] == [s.name for s in made.method.stages]
    assert again.params == made.params
    method, words = words_of_file(folder / "method.yaml", ["--preset", "paper"])
    paper = make_request(find_project(fake.project), method, ["--name", "z", *words]).declaration
    assert [s.name for s in paper.method.stages] == [s.name for s in made.method.stages]
    assert paper.params["image_nerf"] != made.params["image_nerf"]
