"""view_preparation: what it makes of a few posed images, and what it says of bad ones."""

import json

import numpy as np
import pytest
import torch
import yaml

from prior3d.captures.choice import choose_inputs, held_out, spread_frames
from prior3d.captures.co3d_objects import read_co3d
from prior3d.errors import Prior3dError
from prior3d.images.files import write_png
from stages.artifacts.base import load_metrics
from stages.artifacts.capture import load_posed_images
from stages.contract.entry import execute
from tests.posed_ball import ball_cameras, ball_pictures, write_ball
from tests.scenes import rewrite
from tests.tiny_co3d import write_category


def prepare(folder, capsys, **params):
    (folder / "params.yaml").write_text(yaml.safe_dump({"view_preparation": {"size": 32} | params}))
    code = execute("stages.view_preparation", ["--images", "images"], folder)
    return code, capsys.readouterr().err.strip()


def prepared(folder):
    views = load_posed_images(folder / "view_preparation")
    about = json.loads((folder / "view_preparation/transforms.json").read_text())["prior3d"]
    return views, about, load_metrics(folder / "view_preparation")


def test_pictures_that_are_framed_like_the_priors_stay_as_they_are(tmp_path, capsys):
    write_ball(tmp_path / "images", 4)
    assert prepare(tmp_path, capsys) == (0, "")
    views, about, metrics = prepared(tmp_path)
    assert views.views == 4 and views.mask_meaning == "object" and about["scaled_by"] == "cameras"
    torch.testing.assert_close(views.cameras.c2w, ball_cameras(4, 32).c2w, atol=1e-3, rtol=0)
    truth = ball_pictures(ball_cameras(4, 32))
    assert np.abs(views.mask(1).numpy() - truth[1, ..., 3]).mean() < 0.04
    assert metrics["scale"]["value"] == pytest.approx(1, abs=1e-3) and metrics["held_out"]["value"] == 0
    assert not (tmp_path / "view_preparation/held_out").exists()


def test_a_capture_in_its_own_units_is_brought_home_and_told_how(tmp_path, capsys):
    write_ball(tmp_path / "images", 4, moved=(5.0, -2.0, 1.0), scale=2.5)
    assert prepare(tmp_path, capsys) == (0, "")
    views, about, _ = prepared(tmp_path)
    assert about["placement"]["scale"] == pytest.approx(0.4, rel=1e-3)
    assert about["placement"]["centre"] == pytest.approx([5, -2, 1], abs=1e-2)
    torch.testing.assert_close(views.cameras.c2w, ball_cameras(4, 32).c2w, atol=2e-3, rtol=0)


@pytest.mark.parametrize("masks", ["files", "none"])
def test_masks_come_from_files_or_from_a_border_of_one_colour(tmp_path, capsys, masks):
    write_ball(tmp_path / "images", 3, masks=masks, background=0.5)
    assert prepare(tmp_path, capsys) == (0, "")
    views, _, metrics = prepared(tmp_path)
    assert metrics["masked"]["value"] == 1
    truth = ball_pictures(ball_cameras(3, 32))[2]
    assert np.abs(views.mask(2).numpy() - truth[..., 3]).mean() < 0.05
    middle = views.image(2)[:, 16, 16]
    assert torch.allclose(middle, torch.from_numpy(truth[16, 16, :3]), atol=0.15)


def test_pictures_of_everything_have_no_mask_but_know_their_border(tmp_path, capsys):
    write_ball(tmp_path / "images", 3)
    noise = np.random.default_rng(0)
    for view in range(3):
        write_png(tmp_path / f"images/images/{view}.png", noise.random((32, 32, 3)))
    assert prepare(tmp_path, capsys) == (0, "")
    views, _, metrics = prepared(tmp_path)
    assert views.mask_meaning == "ignore" and metrics["masked"]["value"] == 0 and views.mask(0).mean() > 0.9


def test_chosen_frames_and_the_rest(tmp_path, capsys):
    write_ball(tmp_path / "images", 12)
    assert prepare(tmp_path, capsys, frames=[4, 0], n_held_out=5) == (0, "")
    _, about, metrics = prepared(tmp_path)
    assert about["frames"] == [4, 0] and metrics["held_out"]["value"] == 5
    rest = json.loads((tmp_path / "view_preparation/held_out/transforms.json").read_text())["prior3d"]
    assert not set(rest["frames"]) & {4, 0} and rest["placement"] == about["placement"]


def test_inputs_do_not_change_with_what_is_held_out(tmp_path, capsys):
    """Neither pixels nor placement of an input may know the held-out images or their cameras."""
    for name in ("one", "two"):
        folder = tmp_path / name
        content = write_ball(folder / "images", 6)
        if name == "two":
            for frame in content["frames"][3:]:
                frame["transform_matrix"][0][3] += 0.5
                write_png(folder / "images" / frame["file_path"], np.zeros((32, 32, 4)))
            rewrite(folder / "images", content)
        assert prepare(folder, capsys, frames=[0, 1, 2]) == (0, "")
    for file in ("transforms.json", "images/00001.png", "masks/00002.png"):
        assert (tmp_path / f"one/view_preparation/{file}").read_bytes() == (
            tmp_path / f"two/view_preparation/{file}"
        ).read_bytes()


def test_one_picture_is_enough(tmp_path, capsys):
    write_ball(tmp_path / "images", 1)
    assert prepare(tmp_path, capsys) == (0, "")
    views, _, _ = prepared(tmp_path)
    assert views.views == 1 and views.cameras.positions.norm() == pytest.approx(3.2, abs=1e-3)


def test_a_small_object_beside_the_middle_is_framed_by_its_masks(tmp_path, capsys):
    write_ball(tmp_path / "images", 4)
    for view, picture in enumerate(ball_pictures(ball_cameras(4, 32), radius=0.3)):
        write_png(tmp_path / f"images/images/{view}.png", picture)
    assert prepare(tmp_path, capsys) == (0, "")
    views, about, _ = prepared(tmp_path)
    assert about["scaled_by"] == "masks" and about["placement"]["scale"] > 1.8
    assert views.mask(0).mean() > 0.2


def test_a_person_says_how_small_an_object_fits_where_the_cameras_put_it(tmp_path, capsys):
    write_ball(tmp_path / "images", 4)
    for view, picture in enumerate(ball_pictures(ball_cameras(4, 32), radius=0.3)):
        write_png(tmp_path / f"images/images/{view}.png", picture)
    assert prepare(tmp_path, capsys, fitting_radii=[0.2, 1.35]) == (0, "")
    assert prepared(tmp_path)[1]["scaled_by"] == "cameras"


def test_a_co3d_sequence(tmp_path, capsys):
    write_category(tmp_path / "images")
    assert prepare(tmp_path, capsys, frames=[0, 2]) == (0, "")
    views, about, metrics = prepared(tmp_path)
    assert about["layout"] == "co3d" and metrics["held_out"]["value"] == 3 and views.mask_meaning == "object"
    assert views.mask(0)[16, 16] > 0.9 and views.image(0)[:, 16, 16].tolist() == pytest.approx([0, 0, 0.8], abs=0.05)
    code, err = prepare(tmp_path, capsys, sequence="two")
    assert code == 2 and "which sequence?" in err and "one" in err


def test_a_training_reads_a_sequence_as_inference_does(tmp_path, capsys):
    """The same placement, cameras and pixels, so that a prior sees at inference what it was trained on."""
    category = write_category(tmp_path / "images")
    assert prepare(tmp_path, capsys, scale_by="masks") == (0, "")
    views, _, _ = prepared(tmp_path)
    (trained_on,) = read_co3d(category, 32)
    torch.testing.assert_close(trained_on.cameras.c2w, views.cameras.c2w, atol=1e-5, rtol=0)
    torch.testing.assert_close(trained_on.cameras.fov_deg, views.cameras.fov_deg, atol=1e-4, rtol=0)
    for view in range(views.views):
        rgba = torch.from_numpy(trained_on.rgba[view]).float() / 255
        assert (rgba[..., 3] - views.mask(view)).abs().max() < 1.01 / 255
        premultiplied = views.image(view).movedim(0, -1) * views.mask(view)[..., None]
        assert (rgba[..., :3] - premultiplied).abs().max() < 2.01 / 255


def broken(folder, how):
    content = write_ball(folder / "images", 11 if how == "eleven" else 3)
    frames = content["frames"]
    match how:
        case "no poses":
            (folder / "images/transforms.json").unlink()
            return
        case "away":
            frames[1]["transform_matrix"] = np.diag([-1.0, 1, -1, 1]).tolist()
            frames[1]["transform_matrix"][0][3] = 4.0
        case "left-handed":
            for row in frames[0]["transform_matrix"]:
                row[0] = -row[0]
        case "scaled":
            for row in frames[0]["transform_matrix"][:3]:
                row[:3] = [2 * v for v in row[:3]]
        case "nan":
            frames[2]["transform_matrix"][1][3] = float("nan")
        case "missing":
            (folder / "images" / frames[2]["file_path"]).unlink()
        case "another shape":
            write_png(folder / "images" / frames[1]["file_path"], np.zeros((20, 32, 4)))
        case "no mask":
            write_png(folder / "images" / frames[1]["file_path"], np.full((32, 32, 3), 0.5))
        case "empty mask":
            write_png(folder / "images" / frames[1]["file_path"], np.zeros((32, 32, 4)))
        case "fisheye":
            content["camera_model"] = "OPENCV_FISHEYE"
    rewrite(folder / "images", content)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("eleven", "11 images, but a views prior takes 1 to 10; choose some"),
        ("no poses", "no transforms.json"),
        ("away", "looks away from what the others look at"),
        ("left-handed", "left-handed"),
        ("scaled", "is scaled"),
        ("nan", "not finite"),
        ("missing", "is named there but missing"),
        ("another shape", "another shape"),
        ("no mask", "it has no mask, but other inputs have"),
        ("empty mask", "its mask is empty"),
        ("fisheye", "undistort the images first"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, how, said):
    broken(tmp_path, how)
    code, err = prepare(tmp_path, capsys)
    assert code == 2 and said in err and len(err.splitlines()) == 1
    assert not (tmp_path / "view_preparation").exists()


def test_pictures_of_several_sizes_are_cut_out_at_one(tmp_path, capsys):
    content = write_ball(tmp_path / "images", 3)
    write_png(tmp_path / "images" / content["frames"][1]["file_path"], ball_pictures(ball_cameras(3, 64))[1])
    assert prepare(tmp_path, capsys) == (0, "")
    views, _, _ = prepared(tmp_path)
    assert views.image(1).shape == (3, 32, 32) and abs(views.mask(1).mean() - views.mask(2).mean()) < 0.02


def test_distortion_is_taken_out(tmp_path, capsys):
    """A straight look-up through a barrel lens shows the ball smaller at the same pixels."""
    areas = []
    for name, k1 in (("plain", 0.0), ("barrel", -0.3)):
        write_ball(tmp_path / name / "images", 3, k1=k1)
        assert prepare(tmp_path / name, capsys) == (0, "")
        areas.append(float(prepared(tmp_path / name)[0].mask(0).mean()))
    assert areas[1] > areas[0] * 1.02


def test_the_choice_of_inputs():
    angles = torch.deg2rad(torch.tensor([0.0, 10, 20, 180, 190, 90]))
    directions = torch.stack([angles.cos(), angles.sin(), torch.zeros(6)], -1)
    assert spread_frames(directions, 3) == [0, 3, 5]
    assert choose_inputs(6, directions, 0, (), "x") == [0, 1, 2, 3, 4, 5]
    assert held_out(6, [0, 3], 2) == [1, 4]
    for n, frames, said in ((0, (9,), "name frames 0 to 5"), (0, (1, 1), "each once"), (8, (), "6 images, but")):
        with pytest.raises(Prior3dError, match=said):
            choose_inputs(6, directions, n, frames, "x")
