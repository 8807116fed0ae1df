"""image_nerf and textual_inversion beside drawn views, from a field that is fitted to them or is a completion."""

import json

import pytest
import torch
from safetensors.torch import load_file

from prior3d.cameras import orbit_cameras, ring
from prior3d.fields import DenseGrids, FieldConfig, ObjectField
from prior3d.reconstruction.input_views import InputViews
from prior3d.rendering import render_without_gradient
from prior3d.seeds import Seeds
from prior3d.settings.completion import CompletionSettings
from stages.artifacts.completions import load_completion, save_completion
from stages.artifacts.drawn_views import ViewsOfObject, save_drawn_views
from stages.artifacts.fields import load_field, save_field
from stages.contract.entry import execute
from tests.stages.test_realfusion_stages import INVERTED, make_run
from tests.tiny_prior import write_tiny_prior


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p")


def with_drawn_views(folder, colour, completed=False):
    """Views of a ball of one colour beside the run's image, and a field that begins as a body of another colour."""
    cameras = orbit_cameras(ring(4), 16, 16)
    masks = torch.zeros(4, 16, 16)
    masks[:, 4:12, 4:12] = 1
    views = InputViews(masks[:, None] * torch.tensor(colour)[:, None, None], masks, torch.ones(4, 16, 16), cameras)
    for name in ("joint_views", "view_fit"):
        (folder / name).mkdir()
    save_drawn_views(folder / "joint_views", ViewsOfObject(views, 0))
    config = FieldConfig(encoding=DenseGrids((5, 9)), head="rgb", channels=3)
    save_field(folder / "view_fit", ObjectField(config, Seeds(1).generator("field")))
    if completed:
        save_completion(folder / "view_fit", CompletionSettings(view_size=32))
    return [*INVERTED, "--drawn", "joint_views", "--start", "view_fit"]


def test_a_field_that_is_given_is_the_start_and_drawn_views_colour_the_sides(tmp_path, prior):
    greens = {}
    for name, weight in (("drawn", 1.0), ("not counted", 0.0)):
        nerf = {
            "reference.unseen.steps": 0,
            "reference.unseen.refreshing_steps": 40,
            "refreshing.weight": 0.0,
            "reference.unseen.weight": weight,
            "sds.weight": 0.0,
        }
        folder = make_run(tmp_path / name, prior, nerf=nerf)
        words = with_drawn_views(folder, (0.1, 0.9, 0.1))
        assert execute("stages.image_nerf", words, folder) == 0
        field = load_field(folder / "image_nerf")
        assert [len(grid) for grid in field.encoding.grids] == [5, 9]  # the start's, not those of the parameters
        back = orbit_cameras(ring(4), 16, 16)[slice(2, 3)]
        greens[name] = render_without_gradient(field, back, 24, torch.zeros(3))[0][0, 8, 8, 1].item()
        losses = json.loads((folder / "losses" / "image_nerf.json").read_text())
        assert max(entry["step"] for entry in losses) <= 40  # neither `steps` nor `refreshing.steps`
    assert greens["drawn"] > greens["not counted"] + 0.2


def test_a_start_that_is_the_images_completion_stays_as_it_is(tmp_path, prior, monkeypatch):
    monkeypatch.setattr("stages.contract.object_check.SMALLEST_COVERAGE", 0.0)
    folder = make_run(tmp_path / "run", prior)
    assert execute("stages.image_nerf", with_drawn_views(folder, (0.1, 0.9, 0.1), completed=True), folder) == 0
    made, start = (load_file(folder / name / "field.safetensors") for name in ("image_nerf", "view_fit"))
    assert made.keys() == start.keys() and all(torch.equal(made[key], start[key]) for key in made)
    assert load_completion(folder / "image_nerf") == CompletionSettings(view_size=32)


@pytest.mark.parametrize("completed", [True, False])
def test_no_word_is_learnt_for_a_thing_whose_field_no_prior_judges(tmp_path, prior, completed):
    folder = make_run(tmp_path / "run", prior, {"steps": 3})
    with_drawn_views(folder, (0.1, 0.9, 0.1), completed)
    assert execute("stages.textual_inversion", [*INVERTED, "--start", "view_fit"], folder) == 0
    curve = folder / "losses" / "textual_inversion.json"
    assert len(json.loads(curve.read_text())) == (0 if completed else 3)
