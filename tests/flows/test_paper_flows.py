"""Every method from its inputs to its report with the `paper` preset and the checks it has, on random tiny priors.

The folders have the layouts of Stable Diffusion 1.5, its inpainting model and InstructPix2Pix.
"""

import json
import re

import pytest
import yaml

from flows.methods import METHODS
from stages.artifacts.base import load_metrics
from stages.artifacts.captions import load_caption
from stages.artifacts.drawn_views import load_drawn_views
from tests.tiny_mvdream import draw_on_black, write_tiny_mvdream
from tests.whole_flows import settings, settings_of, words, write_inputs

VIEW_FIT = {"steps": 60, "fit.resolutions": [9, 17], "fit.n_samples": 48}
AFTER_A_FIELD = ("mesh_extraction", "texture_baking", "evaluation")
CHECKED = ("coarse_nerf", "rgb_refinement", "image_nerf", "view_distillation")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Priors and inputs."""
    place = tmp_path_factory.mktemp("given")
    write_inputs(place)
    draw_on_black(write_tiny_mvdream(place / "mvdream"))  # farthest from the posed ball's colours, by a rounding
    return place


@pytest.mark.parametrize("method", [name for name in METHODS if name != "quick"])
def test_what_the_slow_tests_ask_for_can_be_planned(fake, given, method):
    """A setting of a stage that a method no longer has would only be noticed where the slow tests are run."""
    code, out, err = fake.cli("plan", method, *words(given)[method], "--preset", "paper", *settings_of(method))
    assert code == 0, err
    assert set(re.findall(r"^  (\w+) +to make", out, re.MULTILINE)) >= {"evaluation"}


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "quick"])  # which has no paper: test_quick.py
def test_a_method_runs_to_its_report(fake, given, method):
    line = words(given)[method]
    if method in ("scene", "splats"):  # they have no prior that would choose the preset
        line = [*line, "--preset", "paper"]
    code, out, err = fake.cli("run", method, *line, "--name", method, "--device", "cpu", *settings_of(method))
    assert code == 0, f"{err}\n{out[-2000:]}"
    folder = fake.folder(method)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    assert json.loads((folder / "history" / "0001.json").read_text())["preset"] == "paper"
    for stage in set(CHECKED) & set(params):
        assert not params[stage]["check"]["accept"]
        assert 0.005 < load_metrics(folder / stage)["coverage"]["value"] < 0.75
    assert (folder / "evaluation" / "report.html").is_file()


@pytest.mark.slow
def test_sparsefusion_runs_to_its_report_on_a_folder_of_mvdream(fake, given):
    """A prior of views whose weights are public: the given images stand noised among the views that it draws."""
    line = ["--images", str(given / "posed"), "--prior", str(given / "mvdream"), "--prompt", "a red and blue ball"]
    present = {"view_preparation", "view_symmetry", "joint_views", "view_distillation"} | set(AFTER_A_FIELD)
    code, out, err = fake.cli(
        "run", "sparsefusion", *line, "--scorer", "toy-scorer", "--name", "many", "--device", "cpu", *settings(present),
        "--set", "view_distillation.ring.drawn_weight=0.03",
    )  # fmt: skip
    assert code == 0, f"{err}\n{out[-2000:]}"
    folder = fake.folder("many")
    assert json.loads((folder / "history" / "0001.json").read_text())["preset"] == "paper"
    views = load_drawn_views(folder / "joint_views")
    n_drawn = len(views.views.colours) - views.n_given
    assert views.n_given >= 2 and 6 <= n_drawn <= 12  # mirror images are given too; noise may show no object
    assert load_caption(folder / "captioning").known
    assert 0.005 < load_metrics(folder / "view_distillation")["coverage"]["value"] < 0.75
    assert (folder / "evaluation" / "report.html").is_file()


QUICK = {
    "prompt": ({"joint_views"}, ["--prompt", "a red ball"]),
    "image": ({"image_preparation", "joint_views"}, ["--prompt", "a red ball", "--image", "ball.png"]),
    "images": ({"view_preparation", "joint_views"}, ["--prompt", "a red ball", "--images", "posed"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("input_kind", QUICK)
def test_quick_runs_to_its_report_on_a_folder_of_mvdream(fake, given, input_kind):
    """From words the ring alone; given images stand noised among twelve views, since what a person names is known."""
    stages, line = QUICK[input_kind]
    line = [str(given / word) if (given / word).exists() else word for word in line]
    scorer = [] if input_kind == "prompt" else ["--scorer", "toy-scorer"]
    code, out, err = fake.cli(
        "run", "quick", *line, "--prior", str(given / "mvdream"), *scorer, "--name", input_kind, "--device", "cpu",
        *settings(stages | set(AFTER_A_FIELD)),
        *(word for key, value in VIEW_FIT.items() for word in ("--set", f"view_fit.{key}={value}")),
    )  # fmt: skip
    assert code == 0, f"{err}\n{out[-2000:]}"
    folder = fake.folder(input_kind)
    assert json.loads((folder / "history" / "0001.json").read_text())["preset"] == "paper"
    views = load_drawn_views(folder / "joint_views")
    n_drawn = 4 if input_kind == "prompt" else 12
    assert n_drawn / 2 <= len(views.views.colours) - views.n_given <= n_drawn  # noise may show no object
    assert (views.n_given > 0) == (input_kind != "prompt")
    assert (folder / "evaluation" / "report.html").is_file()
