"""scene_preparation: what it makes of captures, and what it says of bad ones."""

import dataclasses
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from prior3d.capture_files import capture_files
from prior3d.captures.capture import CapturePoints
from prior3d.captures.reading import read_capture
from prior3d.errors import Prior3dError
from stages.artifacts.base import load_metrics
from stages.artifacts.capture import load_points, load_posed_images
from stages.contract.entry import execute
from stages.scene_preparation import stage
from tests.scenes import rewrite, write_capture


def prepare(folder, capsys, **params):
    (folder / "params.yaml").write_text(yaml.safe_dump({"scene_preparation": params}))
    code = execute("stages.scene_preparation", ["--scene", "inputs/scene"], folder)
    return code, capsys.readouterr().err.strip()


def test_what_is_made(tmp_path, capsys):
    write_capture(tmp_path / "inputs" / "scene", n=5, size=(32, 24), k1=0.05)
    assert prepare(tmp_path, capsys, longest_side=16) == (0, "")
    views = load_posed_images(tmp_path / "scene_preparation")
    assert views.views == 5 and (views.cameras.width, views.cameras.height) == (16, 12)
    assert views.mask_meaning == "none" and not views.masks
    assert views.image(3).mean().item() == pytest.approx(120 / 255, abs=1e-3)
    assert views.cameras.positions.norm(dim=-1).std() < 1e-3
    metrics = load_metrics(tmp_path / "scene_preparation")
    assert metrics["images"]["value"] == 5 and metrics["undistortion_zoom"]["value"] > 1
    said = json.loads((tmp_path / "scene_preparation" / "transforms.json").read_text())["prior3d"]
    assert said["layout"] == "transforms" and said["common_look_at"]


def test_points_of_a_capture_move_with_its_cameras(tmp_path, capsys, monkeypatch):
    """A point that a camera sees in the middle of its image is seen there afterwards."""
    write_capture(tmp_path / "inputs" / "scene", n=5, size=(32, 24))
    read = stage.read_capture
    ahead = []

    def with_points(folder, transforms):
        capture = read(folder, transforms)
        ahead[:] = capture.c2w[:, :3, 3] - 1.5 * capture.c2w[:, :3, 2]
        return dataclasses.replace(capture, points=CapturePoints(torch.stack(list(ahead)), torch.rand(5, 3)))

    assert prepare(tmp_path, capsys) == (0, "") and load_points(tmp_path / "scene_preparation") is None
    monkeypatch.setattr(stage, "read_capture", with_points)
    assert prepare(tmp_path, capsys) == (0, "")
    places, colours = load_points(tmp_path / "scene_preparation")
    cameras = load_posed_images(tmp_path / "scene_preparation").cameras
    toward = torch.nn.functional.normalize(places - cameras.positions, dim=-1)
    assert torch.allclose(toward, -cameras.c2w[:, :3, 2], atol=1e-4) and colours.shape == (5, 3)
    (tmp_path / "scene_preparation" / "points.safetensors").write_bytes(b"damaged")
    with pytest.raises(Prior3dError, match="points.safetensors"):
        load_points(tmp_path / "scene_preparation")


HEADER = """ply
format ascii 1.0
element vertex 3
property float x
property float y
property float z
property uint8 red
property uint8 green
property uint8 blue
end_header
"""
ROWS = ["1 0 0.5 255 0 51", "nan 0 0 9 9 9", "0 1 0 0 102 255"]


def with_points(folder, text, name="sparse_pc.ply"):
    """A capture by nerfstudio's ns-process-data; `text` is of the file that it names."""
    content = write_capture(folder / "inputs" / "scene", n=5, size=(32, 24))
    rewrite(folder / "inputs" / "scene", content | {"ply_file_path": name})
    if text is not None:
        (folder / "inputs" / "scene" / "sparse_pc.ply").write_text(text)
    return read_capture(folder / "inputs" / "scene")


def test_points_that_nerfstudio_names_are_read(tmp_path, capsys):
    points = with_points(tmp_path, HEADER + "\n".join(ROWS) + "\n").points
    assert points.places.tolist() == [[1, 0, 0.5], [0, 1, 0]]
    assert torch.allclose(points.colours, torch.tensor([[1, 0, 0.2], [0, 0.4, 1]]))
    assert Path("sparse_pc.ply") in capture_files(tmp_path / "inputs" / "scene")  # a run copies it
    assert prepare(tmp_path, capsys) == (0, "")
    cameras = load_posed_images(tmp_path / "scene_preparation").cameras
    places, _ = load_points(tmp_path / "scene_preparation")
    before = read_capture(tmp_path / "inputs" / "scene").c2w[:, :3, 3].float()
    ratio = torch.cdist(places, cameras.positions) / torch.cdist(points.places.float(), before)
    assert ratio.shape == (2, 5) and ratio.std() < 1e-4 * ratio.mean()  # but for the scale, as far away as before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "\n".join(ROWS[:2]) + "\n", "it is cut off: 2 of 3 points are there"),
        ("solid", r"no PLY of points \("),
        (HEADER.replace("vertex 3", "vertex 9000000"), "9,000,000 points in 0 MB; at most 5,000,000"),
    ],
)
def test_bad_points_get_one_line(tmp_path, text, message):
    with pytest.raises(Prior3dError, match=message) as told:
        with_points(tmp_path, text)
    assert "\n" not in str(told.value) and "sparse_pc.ply" in str(told.value)


def test_points_that_are_not_there_or_without_colours_are_told(tmp_path):
    capture = with_points(tmp_path / "a", None)
    assert capture.points is None and "sparse_pc.ply, which ply_file_path names, is not there" in capture.notes[0]
    header = "".join(line + "\n" for line in HEADER.splitlines() if "uint8" not in line)
    capture = with_points(tmp_path / "b", header + "1 0 0\n0 1 0\n0 0 1\n")
    assert len(capture.points.places) == 3 and (capture.points.colours == 0.5).all()
    assert capture.notes == ("the points of sparse_pc.ply have no colours",)
    with pytest.raises(Prior3dError, match="put the file into the capture"):
        with_points(tmp_path / "c", None, name="../elsewhere.ply")


def test_alpha_is_an_object_and_a_mask_file_is_not(tmp_path, capsys):
    content = write_capture(tmp_path / "a" / "inputs" / "scene", n=3, alpha=True)
    pixels = np.zeros((12, 16, 4), np.uint8)
    pixels[:, :8] = 255
    Image.fromarray(pixels).save(tmp_path / "a" / "inputs" / "scene" / content["frames"][0]["file_path"])
    assert prepare(tmp_path / "a", capsys) == (0, "")
    views = load_posed_images(tmp_path / "a" / "scene_preparation")
    assert views.mask_meaning == "object"
    assert views.mask(0)[0].tolist() == [1.0] * 8 + [0.0] * 8
    assert views.over(0, 0.25)[:, 0, 0].tolist() == [1, 1, 1] and views.over(0, 0.25)[:, 0, 12].tolist() == [0.25] * 3
    write_capture(tmp_path / "b" / "inputs" / "scene", n=3, mask=True)
    assert prepare(tmp_path / "b", capsys) == (0, "")
    assert load_posed_images(tmp_path / "b" / "scene_preparation").mask_meaning == "ignore"
    assert prepare(tmp_path / "b", capsys, masks="object") == (0, "")
    assert load_posed_images(tmp_path / "b" / "scene_preparation").mask_meaning == "object"


def test_one_image(tmp_path, capsys):
    write_capture(tmp_path / "inputs" / "scene", n=1)
    code, said = prepare(tmp_path, capsys)
    assert code == 2 and "1 image; a scene needs 3 or more" in said and len(said.splitlines()) == 1


def test_many_images_are_thinned_out_along_the_path(tmp_path, capsys):
    write_capture(tmp_path / "inputs" / "scene", n=12)
    assert prepare(tmp_path, capsys, max_images=4) == (0, "")
    views = load_posed_images(tmp_path / "scene_preparation")
    assert [round(views.image(i).mean().item() * 255) for i in range(4)] == [0, 120, 0, 120]  # of 0, 3, 6, 9


def test_pictures_are_decoded_one_at_a_time(tmp_path, capsys, monkeypatch):
    """Five thousand images need the memory of one: none is kept when the next is opened."""
    import gc
    import weakref

    import stages.scene_preparation.stage as module

    kept, read = [], module.frame_image

    def watched(frame):
        gc.collect()
        assert not any(reference() is not None for reference in kept[:-1])
        image = read(frame)
        kept.append(weakref.ref(image))
        return image

    monkeypatch.setattr(module, "frame_image", watched)
    write_capture(tmp_path / "inputs" / "scene", n=6)
    assert prepare(tmp_path, capsys) == (0, "")
    assert len(kept) == 6


def test_different_sizes_of_one_shape_are_taken_and_different_shapes_are_not(tmp_path, capsys):
    folder = tmp_path / "inputs" / "scene"
    content = write_capture(folder)
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "images" / "view_1.png")
    assert prepare(tmp_path, capsys) == (0, "")
    Image.fromarray(np.zeros((20, 12, 3), np.uint8)).save(folder / "images" / "view_2.png")
    content["frames"][2] |= {"w": 12, "h": 20, "cx": 6, "cy": 10}
    rewrite(folder, content)
    code, said = prepare(tmp_path, capsys)
    assert code == 2 and "view_2.png: 12x20 pixels, but view_0.png has 16x12: images of different shapes" in said


def test_a_picture_that_is_cut_off(tmp_path, capsys):
    folder = tmp_path / "inputs" / "scene"
    write_capture(folder)
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    Image.fromarray(noise).save(folder / "images" / "view_4.png")
    whole = (folder / "images" / "view_4.png").read_bytes()
    (folder / "images" / "view_4.png").write_bytes(whole[: len(whole) // 2])
    code, said = prepare(tmp_path, capsys)
    assert code == 2 and "view_4.png: cannot be read as an image to its end" in said


def test_some_frames_without_a_mask(tmp_path, capsys):
    content = write_capture(tmp_path / "inputs" / "scene", mask=True)
    del content["frames"][1]["mask_path"]
    rewrite(tmp_path / "inputs" / "scene", content)
    code, said = prepare(tmp_path, capsys)
    assert code == 2 and "5 of 6 frames have a mask_path; give all or none" in said


def test_a_capture_that_nobody_may_write_to(tmp_path, capsys):
    """A read-only capture is read; nothing is written into it. (A run copies it; see the engine's test.)"""
    folder = tmp_path / "inputs" / "scene"
    write_capture(folder)
    before = sorted(p.name for p in folder.rglob("*"))
    for path in (folder, folder / "images"):
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert prepare(tmp_path, capsys) == (0, "")
        assert sorted(p.name for p in folder.rglob("*")) == before
        assert os.access(tmp_path / "scene_preparation", os.W_OK)
    finally:
        for path in (folder, folder / "images"):
            path.chmod(0o755)
