"""dataset_update of Gaussian splats, and the stages behind it, on a small object, a place, and a tiny random prior."""

import json
import shutil

import pytest
import torch
import yaml
from PIL import Image

from flows.engine.parameters import resolve
from flows.methods import find_method
from prior3d.dataset_update.edit_views import ViewEditor
from prior3d.errors import Prior3dError
from prior3d.splats.model import NAMES
from stages.artifacts.base import load_metrics
from stages.artifacts.capture import load_posed_images
from stages.artifacts.fields import load_drawn
from stages.contract.entry import execute
from stages.dataset_update.splats import Target
from tests.breaking_off import kill_at
from tests.nested import nested
from tests.stages import test_scene_stages, test_splat_stages
from tests.tiny_prior import write_tiny_prior

EDIT = test_scene_stages.EDIT
FIT = test_splat_stages.FIT
CHANGED = {
    "splats.steps": 12, "splats.edit_all_every": 6, "held_out_every": 5, "edit.num_inference_steps": 2,
    "preview_scales": [[1.5], [5.0]],
}  # fmt: skip
PAPERS_LOOP = {"consensus.enabled": False, "splats.edit_all_every": 0, "edit_every": 2}
MOVING = {"until": 1.0, "every": 3, "min_opacity": 0.3}


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p", in_channels=8)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Runs with a fitted object, and with a fitted place of which masks leave out a part."""
    found = {}
    for meaning in ("object", "ignore"):
        found[meaning] = test_splat_stages.make_run(tmp_path_factory.mktemp("splats") / meaning, meaning)
        assert execute("stages.scene_fit", FIT, found[meaning]) == 0
    return found


def another(fitted, folder, prior, meaning="object", **changed):
    """A run with the fitted splats, for an edit of them."""
    shutil.copytree(fitted[meaning], folder)
    (folder / "inputs").mkdir()
    (folder / "inputs" / "instruction.txt").write_text("a red ball\n")
    (folder / "inputs" / "prior.json").write_text(json.dumps({"name": "tiny", "digest": "0"}))
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": {"tiny": str(prior)}}))
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["dataset_update"] = nested(CHANGED | changed)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return folder


@pytest.mark.parametrize(
    ("meaning", "changed", "edits"),
    [
        ("object", {}, 32),  # all 16 at steps 0 and 6
        ("object", {"relevance.threshold": 0.3, "edit.previous_weight": 0.5}, 32),
        ("object", PAPERS_LOOP | {"splats.density_control": MOVING}, 6),  # at steps 0, 2, 4, 6, 8, 10
        ("ignore", {"splats.density_control": MOVING | {"opacity_weight": 0.01}}, 32),
    ],
)
def test_an_edit_broken_off_ends_in_the_same_bits(fitted, tmp_path, prior, monkeypatch, meaning, changed, edits):
    whole = another(fitted, tmp_path / "whole", prior, meaning, **changed)
    assert execute("stages.dataset_update", EDIT, whole) == 0
    resumed = another(fitted, tmp_path / "resumed", prior, meaning, **changed)
    test_scene_stages.broken_off(monkeypatch, "dataset_update", EDIT, resumed, 7)
    names = ["field.safetensors", "field.json", *(f"edited/{view:05d}.png" for view in range(16))]
    for name in names:
        assert (whole / "dataset_update" / name).read_bytes() == (resumed / "dataset_update" / name).read_bytes()
    metrics = load_metrics(whole / "dataset_update")
    assert metrics["edits"]["value"] == edits and metrics["splats"]["value"] == 150
    before, after = (load_drawn(whole / stage) for stage in ("scene_fit", "dataset_update"))
    assert not torch.equal(before.splats.sh0, after.splats.sh0)
    assert after.cameras.views == before.cameras.views == 16


def test_kill_9_then_resume(fitted, tmp_path, prior):
    """While Gaussians move, right after the images were edited for a second time."""
    changed = {"splats.density_control": MOVING}
    whole, killed = (another(fitted, tmp_path / name, prior, **changed) for name in ("whole", "killed"))
    assert execute("stages.dataset_update", EDIT, whole) == 0
    kill_at("stages.dataset_update", EDIT, killed, 7)
    assert execute("stages.dataset_update", EDIT, killed) == 0
    names = [f"dataset_update/{name}" for name in ("field.safetensors", "field.json", "edited/00003.png")]
    assert [(killed / name).read_bytes() for name in names] == [(whole / name).read_bytes() for name in names]


@pytest.mark.parametrize("changed", [{"consensus.enabled": False}, {"consensus.one_step_predictions": 0}])
def test_splats_become_what_the_edits_say(fitted, tmp_path, prior, monkeypatch, changed):
    """Every edit is the photo with two channels exchanged: so are the splats, also from where nobody edited."""
    monkeypatch.setattr(ViewEditor, "edit", lambda self, view, original, *_: original.flip(1))
    changed |= {"splats.steps": 200, "splats.edit_all_every": 200, "consensus.relative_threshold": 0.0}
    folder = another(fitted, tmp_path / "run", prior, **changed)
    assert execute("stages.dataset_update", EDIT, folder) == 0
    views, held_out = load_posed_images(folder / "scene_preparation"), [0, 5, 10, 15]
    wanted = torch.stack([views.over(view, 1.0).flip(0).movedim(0, -1) for view in held_out])
    off = [
        (load_drawn(folder / stage).render_views(views.cameras[torch.tensor(held_out)], torch.ones(3))[0] - wanted)
        for stage in ("scene_fit", "dataset_update")
    ]
    assert off[1].abs().mean() < 0.6 * off[0].abs().mean()


@pytest.mark.parametrize(("variant", "edits"), [("one_time", 16), ("per_frame", 16), ("sds", 0)])
def test_variants(fitted, tmp_path, prior, variant, edits):
    changed = {"variant": variant, "splats.steps": 3, "splats.edit_all_every": 1}
    folder = another(fitted, tmp_path / "run", prior, **changed)
    assert execute("stages.dataset_update", EDIT, folder) == 0
    assert load_metrics(folder / "dataset_update")["edits"]["value"] == edits
    before, after = (load_drawn(folder / stage).splats for stage in ("scene_fit", "dataset_update"))
    same = all(torch.equal(getattr(before, name), getattr(after, name)) for name in NAMES)
    assert same == (variant == "per_frame")


def test_nothing_irrelevant_is_edited(fitted, tmp_path, prior, monkeypatch):
    """What the photos show redder than green is meant: Gaussians that only other pixels see keep their bits."""
    monkeypatch.setattr(
        ViewEditor, "relevance", lambda self, view, original, *_: (original[:, :1] > original[:, 1:2]).float()
    )
    changed = {"relevance.threshold": 1.0, "consensus.enabled": False, "splats.steps": 3, "edit.transfer": False}
    folder = another(fitted, tmp_path / "run", prior, **changed)
    assert execute("stages.dataset_update", EDIT, folder) == 0
    share = load_metrics(folder / "dataset_update")["edited_share"]["value"]
    before, after = (load_drawn(folder / stage).splats for stage in ("scene_fit", "dataset_update"))
    same = torch.stack(
        [(getattr(before, n) == getattr(after, n)).flatten(1).all(-1) for n in NAMES if n != "opacities"]
    )
    assert 0 < share < 0.9 and 0.1 < same.all(0).float().mean() < 0.95


def test_what_masks_leave_out_does_not_count(fitted, tmp_path, prior, monkeypatch):
    """Where the masks are black, edits of any colour teach the splats nothing."""
    changed = {"consensus.enabled": False, "splats.steps": 4}
    folder = another(fitted, tmp_path / "run", prior, "ignore", **changed)
    masks = [load_posed_images(folder / "scene_preparation").mask(view) for view in range(20) if view % 5]

    def edit(self, view, original, *_):
        return original * masks[view] + 0.5 * (1 - masks[view])

    monkeypatch.setattr(ViewEditor, "edit", edit)
    drawn = []
    monkeypatch.setattr(Target, "pair", lambda self, pair=Target.pair: drawn.append(pair(self)) or drawn[-1])
    assert execute("stages.dataset_update", EDIT, folder) == 0
    shown, image = drawn[0]
    assert 0 < (shown == image).all(-1).float().mean() < 1


def test_edited_splats_end_in_a_video_a_textured_mesh_and_a_report(fitted, tmp_path, prior):
    folder = another(fitted, tmp_path / "run", prior)
    field = ["--field", "dataset_update"]
    for stage, inputs in (
        ("dataset_update", EDIT),
        ("capture_path", [*field, *FIT, "--before", "scene_fit"]),
        ("mesh_extraction", field),
        ("texture_baking", [*field, "--mesh", "mesh_extraction"]),
        ("evaluation", [*field, "--mesh", "texture_baking", "--prompt", "inputs/instruction.txt"]),
    ):
        assert execute(f"stages.{stage}", inputs, folder) == 0, stage
    with Image.open(folder / "capture_path" / "path.png") as sheet:
        assert sheet.height == 2 * 32 + 3 * 4  # before and after, with gaps of 4
    assert (folder / "evaluation" / "report.html").is_file() and (folder / "texture_baking" / "mesh.glb").is_file()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"splats.edit_all_every": 0}, "consensus needs all of them together; set consensus.enabled=false"),
        (
            {"splats.density_control.until": 0.5, "relevance.threshold": 0.3},
            "Gaussians that take other places cannot be kept out of a region; set it to 0",
        ),
    ],
)
def test_parameters_that_do_not_go_together_are_refused_before_anything_runs(changed, said):
    sets = [f"dataset_update.{name}={json.dumps(value)}" for name, value in changed.items()]
    with pytest.raises(Prior3dError, match=said):
        resolve(find_method("instruct-nerf2nerf"), "toy", None, ["scene_fit.kind=splats", *sets])
    apart = [resolve(find_method("instruct-nerf2nerf"), "toy", None, sets[1:])]
    assert apart[0]["dataset_update"]["splats"]["density_control"]["until"] == 0


def test_the_papers_values_are_those_of_instruct_gs2gs():
    asked = resolve(find_method("instruct-nerf2nerf"), "paper", None, ["scene_fit.kind=splats"])["dataset_update"]
    assert asked["splats"]["edit_all_every"] == 2500 and not asked["consensus"]["enabled"]
