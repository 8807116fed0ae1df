"""scene_fit.kind=splats and the stages behind it, on a small object, and on a place."""

import json
import types

import pytest
import torch
import yaml

import stages.contract.job
from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.splats.render import render_splats
from stages.artifacts.base import load_metrics
from stages.artifacts.capture import save_points, save_posed_cameras, save_posed_image
from stages.artifacts.fields import check_field, load_drawn, load_scene_field
from stages.contract.entry import execute
from stages.contract.parameters import check_params
from stages.scene_fit import Params, starting
from tests.gaussian_splats import some_splats
from tests.nested import nested

FIT = ["--images", "scene_preparation"]
FIELD = ["--field", "scene_fit"]
PARAMS = {
    "scene_fit": {
        "kind": "splats", "splats.start": "random", "splats.counts": [100, 150], "splats.steps": [50, 90],
        "splats.image_fractions": [0.5, 1.0], "splats.density_control.every": 10,
        "splats.density_control.min_opacity": 0.1, "held_out_every": 5,
        "n_measured_views": 2,
    },
    "capture_path": {"frames": 3, "longest_side": 32, "sheet_frames": 2},
    "mesh_extraction": {"resolution": 32, "min_part_fraction": 0.1, "smoothing_steps": 2},
    "texture_baking": {"resolution": 64},
    "evaluation": {"n_azimuths": 2, "size": 32, "video_frames": 2, "video_size": 32},
}  # fmt: skip


def make_run(folder, meaning="object", **changed):
    """A run with a prepared capture of a heap of Gaussians."""
    folder.mkdir(parents=True)
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu"}))
    params = {stage: nested(values | changed.get(stage, {})) for stage, values in PARAMS.items()}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    rings = [orbit_cameras(ring(10, elevation_deg), 40, 40) for elevation_deg in (-10.0, 40.0)]
    cameras = type(rings[0])(torch.cat([r.c2w for r in rings]), torch.cat([r.fov_deg for r in rings]), 40, 40)
    truth, names = some_splats(n=40, degree=0, size=0.25), [f"{view:05d}" for view in range(20)]
    for view, name in enumerate(names):
        with torch.no_grad():
            seen = render_splats(truth, cameras[view], torch.full((3,), 0.8))
        image = seen.colours.clamp(0, 1).movedim(-1, 0)
        mask = None if meaning == "none" else (seen.opacity > 0.05).float()
        save_posed_image(folder / "scene_preparation", name, image, mask)
    save_posed_cameras(folder / "scene_preparation", names, cameras, meaning)
    return folder


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("splats") / "run")
    assert execute("stages.scene_fit", FIT, folder) == 0
    return folder


def test_splats_are_fitted(fitted):
    metrics = load_metrics(fitted / "scene_fit")
    assert metrics["held_out_psnr"]["value"] > 20 and metrics["splats"]["value"] == 150
    drawn = load_drawn(fitted / "scene_fit")
    assert drawn.config.n_splats == 150 and drawn.config.is_object and drawn.cameras.views == 16


@pytest.mark.parametrize("step", [33, 120], ids=["first phase", "second phase"])
def test_a_fit_that_is_broken_off_ends_in_the_same_bits(fitted, tmp_path, monkeypatch, step):
    folder = make_run(tmp_path / "run")
    report = stages.contract.job.Job.progress

    def progress(self, at, total, **others):
        if at == step and others.get("loss") is not None:
            raise RuntimeError("broken off")
        report(self, at, total, **others)

    with monkeypatch.context() as patch:
        patch.setattr(stages.contract.job.Job, "progress", progress)
        patch.setattr(stages.contract.job.Job, "checkpoint_due", lambda self: self._last_progress >= 0)
        assert execute("stages.scene_fit", FIT, folder) == 1
    assert execute("stages.scene_fit", FIT, folder) == 0
    for name in ("field.safetensors", "field.json"):
        assert (folder / "scene_fit" / name).read_bytes() == (fitted / "scene_fit" / name).read_bytes()


def test_splats_begin_on_the_surfaces_of_a_coarse_grid(tmp_path, monkeypatch):
    """Broken off while the grid is fitted, and while the splats are, the bits are the same."""
    changed = {"splats.start": "grid", "splats.grid_steps": 40, "resolutions": [9], "steps": [1],
               "rendering.n_bins": 12, "rendering.rays_per_step": 256}  # fmt: skip
    whole = make_run(tmp_path / "whole", scene_fit=changed)
    assert execute("stages.scene_fit", FIT, whole) == 0
    assert load_metrics(whole / "scene_fit")["held_out_psnr"]["value"] > 15
    folder, report, broken = make_run(tmp_path / "run", scene_fit=changed), stages.contract.job.Job.progress, [25, 10]

    def progress(self, at, total, **others):
        if broken and at == broken[0] and total == (40 if len(broken) == 2 else 140) and "loss" in others:
            broken.pop(0)
            raise RuntimeError("broken off")
        report(self, at, total, **others)

    monkeypatch.setattr(stages.contract.job.Job, "progress", progress)
    monkeypatch.setattr(stages.contract.job.Job, "checkpoint_due", lambda self: self._last_progress >= 0)
    assert [execute("stages.scene_fit", FIT, folder) for _ in range(3)] == [1, 1, 0] and not broken
    for name in ("field.safetensors", "field.json"):
        assert (folder / "scene_fit" / name).read_bytes() == (whole / "scene_fit" / name).read_bytes()


def test_splats_begin_on_the_points_of_the_capture(tmp_path, capsys):
    changed = {"splats.start": "points", "splats.steps": [50, 50], "splats.counts": [100, 100],
               "splats.rates.means": 0.0, "splats.density_control.min_opacity": 0.0}  # fmt: skip
    folder = make_run(tmp_path / "run", scene_fit=changed)
    assert execute("stages.scene_fit", FIT, folder) == 2
    assert "the capture has 0 of them, 100 are needed" in capsys.readouterr().err
    places = torch.rand(100, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    save_points(folder / "scene_preparation", places.double(), places + 0.5)
    assert execute("stages.scene_fit", FIT, folder) == 0
    means = load_drawn(folder / "scene_fit").splats.means
    assert torch.equal(means.sort(0).values, places.sort(0).values)  # they may not move here


def test_by_itself_it_takes_points_then_surfaces_then_chance(tmp_path, monkeypatch):
    places = torch.rand(100, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    found, told = [(places, places + 0.5)], []
    job = types.SimpleNamespace(inputs={"images": tmp_path}, progress=lambda *_, text: told.append(text))
    monkeypatch.setattr(starting, "grid_points", lambda *_: found[0])

    def begun(start):
        params = check_params(Params, {"splats": {"start": start}}, "scene_fit")
        return starting.starting_points(job, params, None, [], 200, None)

    assert begun("auto") is found[0] is begun("grid") and begun("random") is None and told == []
    found[0] = (places[:99], places[:99])
    assert begun("auto") is None and begun("grid") is found[0]
    assert told == ["warning: a short fit of the grid found 99 surface points; the splats begin at random"]
    save_points(tmp_path, places + 1, places + 0.5)
    assert torch.equal(begun("auto")[0], places + 1) and torch.equal(begun("points")[0], places + 1)


def test_colours_may_be_the_same_in_all_directions(tmp_path):
    """Splats without coefficients by direction have an empty tensor, which nothing trains."""
    folder = make_run(tmp_path / "run", scene_fit={"sh_degree": 0, "splats.steps": [20, 30]})
    assert execute("stages.scene_fit", FIT, folder) == 0
    assert load_drawn(folder / "scene_fit").splats.shN.shape == (150, 0, 3)


def test_a_place_without_masks_is_fitted_all_round(tmp_path):
    folder = make_run(tmp_path / "run", meaning="none")
    assert execute("stages.scene_fit", FIT, folder) == 0
    drawn = load_drawn(folder / "scene_fit")
    assert not drawn.config.is_object and drawn.splats.means.norm(dim=-1).max() > 2
    assert load_metrics(folder / "scene_fit")["held_out_psnr"]["value"] > 13  # one flat colour has less


def test_splats_end_in_a_textured_mesh_and_a_report(fitted):
    for stage, inputs in (
        ("capture_path", [*FIELD, *FIT]),
        ("mesh_extraction", FIELD),
        ("texture_baking", [*FIELD, "--mesh", "mesh_extraction"]),
        ("evaluation", [*FIELD, "--mesh", "texture_baking"]),
    ):
        assert execute(f"stages.{stage}", inputs, fitted) == 0, stage
    metrics = load_metrics(fitted / "evaluation")
    assert metrics["mesh_mask_iou"]["value"] > 0.6 and metrics["mesh_psnr"]["value"] > 12
    assert (fitted / "evaluation" / "report.html").is_file() and (fitted / "texture_baking" / "mesh.glb").is_file()


def test_splats_where_a_field_is_needed_are_refused(fitted):
    with pytest.raises(Prior3dError, match="Gaussian splats, a field is needed; set kind=grid"):
        load_scene_field(fitted / "scene_fit")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("cameras"), "damaged, or not that of field.safetensors"),
        (lambda d: d.update(n_splats=10**9), "150 Gaussians, 1000000000 in field.json"),
        (lambda d: d.update(sh_degree="high"), "sh_degree: "),
    ],
)
def test_damaged_splats_get_one_line(fitted, tmp_path, change, message):
    content = json.loads((fitted / "scene_fit" / "field.json").read_text())
    change(content)
    (tmp_path / "field.json").write_text(json.dumps(content))
    (tmp_path / "field.safetensors").write_bytes((fitted / "scene_fit" / "field.safetensors").read_bytes())
    with pytest.raises(Prior3dError, match=message):
        check_field(tmp_path)


def test_phases_of_splats_must_fit(tmp_path, capsys):
    folder = make_run(tmp_path / "run", scene_fit={"splats.counts": [200, 100]})
    assert execute("stages.scene_fit", FIT, folder) == 2
    assert "counts must not fall from phase to phase" in capsys.readouterr().err
