"""Captures in the usual layouts, and everything that can be wrong with them."""

import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prior3d.cameras import orbit_cameras, ring
from prior3d.captures import read_capture
from prior3d.captures.capture import checked_pose, natural_order
from prior3d.captures.colmap import colmap_model, colmap_models, intrinsics_of
from prior3d.errors import Prior3dError
from tests.scenes import colmap_poses, rewrite, write_capture

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def test_shared_intrinsics_and_poses(tmp_path):
    content = write_capture(tmp_path, k1=0.1, p2=-0.01)
    capture = read_capture(tmp_path)
    assert capture.layout == "transforms" and len(capture.frames) == 6
    intrinsics = capture.frames[0].intrinsics
    assert (intrinsics.width, intrinsics.height, intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy) == (
        16,
        12,
        20,
        20,
        8,
        6,
    )
    assert intrinsics.radial == (0.1, 0, 0) and intrinsics.tangential == (0, -0.01)
    assert torch.allclose(
        capture.c2w[2], torch.tensor(content["frames"][2]["transform_matrix"], dtype=torch.float64), atol=1e-6
    )


def test_intrinsics_of_a_frame_win_and_a_smaller_copy_is_understood(tmp_path):
    content = write_capture(tmp_path, w=32, h=24, cx=16, cy=12, fl_x=40.0, fl_y=None, camera_angle_x=0.5)
    content["frames"][1]["fl_x"] = 80.0
    rewrite(tmp_path, content)
    first, second = (frame.intrinsics for frame in read_capture(tmp_path).frames[:2])
    assert (first.fx, first.fy, first.cx, first.width) == (20, 20, 8, 16)  # half of what is said for 32 x 24
    assert second.fx == 40


def test_blender_layout(tmp_path):
    (tmp_path / "train").mkdir()
    angle = 2 * math.atan(0.5)
    frames = []
    for index in (10, 2):
        Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(tmp_path / "train" / f"r_{index}.png")
        pose = orbit_cameras(ring(1, 10.0 * index), 8, 8).c2w[0].tolist()
        frames.append({"file_path": f"./train/r_{index}", "transform_matrix": pose})
    (tmp_path / "transforms_train.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames}))
    capture = read_capture(tmp_path)
    assert capture.layout == "blender"
    assert [frame.image.name for frame in capture.frames] == ["r_2.png", "r_10.png"]
    assert capture.frames[0].intrinsics.fx == pytest.approx(8)  # 0.5 * 8 / tan(angle / 2) = 4 / 0.5
    assert capture.frames[0].intrinsics.is_centred_pinhole


def test_natural_order():
    assert sorted(["r_10", "r_2", "a", "r_2b"], key=natural_order) == ["a", "r_2", "r_2b", "r_10"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fl_x": None, "fl_y": None}, "there are no intrinsics, neither fl_x nor camera_angle_x"),
        ({"fl_x": "wide"}, "an intrinsic is no number"),
        ({"fl_x": -3.0}, "is not possible"),
        ({"fl_x": float("nan")}, "is not possible"),
        ({"camera_model": "OPENCV_FISHEYE"}, "camera_model OPENCV_FISHEYE is not a perspective lens"),
        ({"k4": 0.2}, "k4 is not a perspective lens"),
        ({"w": 20, "h": 20}, "the image has 16x12 pixels, its intrinsics are for 20x20"),
    ],
)
def test_bad_intrinsics(tmp_path, changed, said):
    write_capture(tmp_path, **changed)
    with pytest.raises(Prior3dError, match=said) as error:
        read_capture(tmp_path)
    assert "view_0.png" in str(error.value) and "\n" not in str(error.value)


def test_bad_frames(tmp_path):
    content = write_capture(tmp_path)
    (tmp_path / "images" / "view_3.png").write_bytes(b"not a picture")
    with pytest.raises(Prior3dError, match=r"view_3.png: cannot be read as an image"):
        read_capture(tmp_path)
    (tmp_path / "images" / "view_3.png").unlink()
    with pytest.raises(Prior3dError, match=r"view_3.png is named there but missing; restore it"):
        read_capture(tmp_path)
    del content["frames"][0]["transform_matrix"]
    rewrite(tmp_path, content)
    with pytest.raises(Prior3dError, match="transform_matrix is missing"):
        read_capture(tmp_path)
    rewrite(tmp_path, content | {"frames": [{"transform_matrix": 1}]})
    with pytest.raises(Prior3dError, match="a frame has no file_path"):
        read_capture(tmp_path)
    rewrite(tmp_path, content | {"frames": []})
    with pytest.raises(Prior3dError, match="'frames' is missing or empty"):
        read_capture(tmp_path)
    (tmp_path / "transforms.json").write_text("{")
    with pytest.raises(Prior3dError, match="cannot be read as JSON"):
        read_capture(tmp_path)
    (tmp_path / "transforms.json").unlink()
    with pytest.raises(Prior3dError, match=r"no transforms.json or transforms_train.json and no COLMAP model"):
        read_capture(tmp_path)


def test_a_mask_of_another_size(tmp_path):
    write_capture(tmp_path, mask=True)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "images" / "mask_2.png")
    with pytest.raises(Prior3dError, match="its mask images/mask_2.png has another size"):
        read_capture(tmp_path)


def changed_pose(row, column, value):
    pose = torch.eye(4, dtype=torch.float64)
    pose[row, column] = value
    return pose


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (changed_pose(0, 3, float("nan")), "not finite"),
        (changed_pose(0, 0, -1.0), "left-handed"),
        (torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])), "its axes have lengths 2, 2, 2, not 1"),
        (changed_pose(0, 1, 0.1), "not at right angles"),
        (torch.eye(3), r"is \(3, 3\)"),
        ([["a"] * 4] * 4, "no matrix of numbers"),
    ],
)
def test_bad_matrices(matrix, said):
    with pytest.raises(Prior3dError, match=f"frame 7: .*{said}"):
        checked_pose(matrix, "frame 7")


def test_a_rotation_written_with_few_digits_is_made_one():
    pose = checked_pose([[1, 0.001, 0, 5], [0, 1.001, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]], "frame")
    assert torch.allclose(pose[:3, :3].T @ pose[:3, :3], torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert pose[:3, 3].tolist() == [5, 6, 7]


def test_colmap_is_asked_for_when_it_is_missing(tmp_path, monkeypatch):
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    (tmp_path / "sparse" / "0" / "cameras.txt").write_text("")
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(Prior3dError, match=r"pycolmap, which is not installed; install prior3d\[colmap\]"):
        read_capture(tmp_path)


def test_colmap_by_a_stand_in_of_its_classes(tmp_path, monkeypatch):
    """The classes of pycolmap that are used, by hand: this environment does not have it."""
    cameras = orbit_cameras(ring(2, 30.0), 12, 16)
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    (tmp_path / "sparse" / "0" / "cameras.bin").write_bytes(bytes(8))
    (tmp_path / "images").mkdir()
    images = {}
    for index in range(2):
        Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "images" / f"{index}.jpg")
        c2w = cameras.c2w[index].double() * torch.tensor([1.0, -1, -1, 1], dtype=torch.float64)
        w2c = torch.linalg.inv(c2w)[:3]
        rigid = types.SimpleNamespace(matrix=lambda w2c=w2c: w2c.numpy())
        images[index] = types.SimpleNamespace(name=f"{index}.jpg", camera_id=1, cam_from_world=rigid)
    model = types.SimpleNamespace(name="SIMPLE_RADIAL")
    camera = types.SimpleNamespace(model=model, params=[20.0, 8.5, 6.0, 0.1], width=16, height=12)
    long, short = (types.SimpleNamespace(length=lambda n=n: n) for n in (3, 2))
    points = {
        9: types.SimpleNamespace(xyz=np.array([1.0, 2, 3]), color=np.array([255, 0, 51], np.uint8), track=long),
        4: types.SimpleNamespace(xyz=np.array([4.0, 5, 6]), color=np.array([0, 0, 0], np.uint8), track=long),
        5: types.SimpleNamespace(xyz=np.array([7.0, 8, 9]), color=np.array([0, 0, 0], np.uint8), track=short),
        6: types.SimpleNamespace(xyz=np.array([np.nan, 8, 9]), color=np.array([0, 0, 0], np.uint8), track=long),
    }
    reconstruction = types.SimpleNamespace(images=images, cameras={1: camera}, points3D=points)
    monkeypatch.setitem(sys.modules, "pycolmap", types.SimpleNamespace(Reconstruction=lambda path: reconstruction))
    capture = read_capture(tmp_path)
    assert capture.layout == "colmap"
    assert torch.allclose(capture.c2w, cameras.c2w.double(), atol=1e-6)
    assert capture.points.places.tolist() == [[4, 5, 6], [1, 2, 3]]  # whole ones that three photos agree on
    assert torch.allclose(capture.points.colours[1], torch.tensor([1, 0, 0.2]))
    intrinsics = capture.frames[0].intrinsics
    assert (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy, intrinsics.radial) == (
        20,
        20,
        8.5,
        6,
        (0.1, 0, 0),
    )


def test_colmap_by_the_package_itself(tmp_path):
    """A model in COLMAP's documented text format, and the binary that pycolmap makes of it."""
    pycolmap = pytest.importorskip("pycolmap", reason="the optional extra prior3d[colmap] is not installed")
    cameras = orbit_cameras(ring(3, 30.0), 12, 16)
    model = tmp_path / "sparse" / "0"
    model.mkdir(parents=True)
    (tmp_path / "images").mkdir()
    (model / "cameras.txt").write_text("1 OPENCV 16 12 20 21 8.5 6 0.1 -0.02 0.003 0.004\n")
    (model / "points3D.txt").write_text("1 0.1 0.2 0.3 255 0 51 0.5 1 0 2 0 3 0\n")
    lines = []
    for index, (quaternion, translation) in enumerate(zip(*colmap_poses(cameras), strict=True)):
        Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "images" / f"{index}.jpg")
        numbers = " ".join(f"{value:.17g}" for value in (*quaternion.tolist(), *translation.tolist()))
        lines += [f"{index + 1} {numbers} 1 {index}.jpg", "4.0 5.0 1"]
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    for ending in ("txt", "bin"):
        capture = read_capture(tmp_path)
        assert torch.allclose(capture.c2w, cameras.c2w.double(), atol=1e-6), ending
        assert capture.points.places[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
        intrinsics = capture.frames[2].intrinsics
        assert (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy) == (20, 21, 8.5, 6)
        assert intrinsics.radial == (0.1, -0.02, 0) and intrinsics.tangential == (0.003, 0.004)
        pycolmap.Reconstruction(str(model)).write_binary(str(model))
        for file in model.glob("*.txt"):
            file.unlink()
    (model / "images.bin").write_bytes(b"\x05")
    with pytest.raises(Prior3dError, match="images.bin: shorter than its counts say; it is damaged: run COLMAP again"):
        read_capture(tmp_path)


def test_the_largest_of_several_colmap_models_is_read(tmp_path):
    """COLMAP splits what it cannot join, in whatever order; both of its formats say how many images they have."""
    for number, n in (("0", 4), ("1", 12), ("10", 11)):
        model = tmp_path / "sparse" / number
        model.mkdir(parents=True)
        (model / "cameras.txt").write_text("")
        lines = [line for k in range(n) for line in (f"{k + 1} 1 0 0 0 0 0 0 1 {k}.jpg", "")]
        (model / "images.txt").write_text("\n".join(["# a remark", *lines]) + "\n")
    assert colmap_model(tmp_path) == tmp_path / "sparse" / "1"
    (tmp_path / "sparse" / "10" / "images.bin").write_bytes((13).to_bytes(8, "little") + bytes(40))
    assert colmap_models(tmp_path) == {tmp_path / "sparse" / "0": 4, tmp_path / "sparse" / "1": 12,
                                       tmp_path / "sparse" / "10": 13}  # fmt: skip
    assert colmap_model(tmp_path) == tmp_path / "sparse" / "10"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-8"])
def test_transforms_json_from_windows(tmp_path, encoding):
    content = write_capture(tmp_path, mask=True)
    for frame in content["frames"]:
        for key in ("file_path", "mask_path"):
            frame[key] = frame[key].replace("/", "\\")
    (tmp_path / "transforms.json").write_text(json.dumps(content), encoding=encoding)
    frames = read_capture(tmp_path).frames
    assert frames[1].image == tmp_path / "images" / "view_1.png" and frames[1].mask.name == "mask_1.png"


def test_lenses_of_colmap():
    intrinsics = intrinsics_of("OPENCV", [1, 2, 3, 4, 0.1, 0.2, 0.3, 0.4], (10, 10), "x")
    assert (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy) == (1, 2, 3, 4)
    assert intrinsics.radial == (0.1, 0.2, 0) and intrinsics.tangential == (0.3, 0.4)
    with pytest.raises(Prior3dError, match="camera model FOV is not known; use SIMPLE_PINHOLE"):
        intrinsics_of("FOV", [1.0] * 5, (10, 10), "x")


@pytest.mark.skipif(not (DATA / "fox").is_dir(), reason=f"the fox capture is not at {DATA / 'fox'}")
def test_fox():
    capture = read_capture(DATA / "fox")
    assert len(capture.frames) == 50 and capture.frames[0].intrinsics.radial[0] == pytest.approx(0.0578421)
    assert not capture.frames[0].intrinsics.is_centred_pinhole


@pytest.mark.skipif(not (DATA / "lego").is_dir(), reason=f"the lego capture is not at {DATA / 'lego'}")
def test_lego():
    capture = read_capture(DATA / "lego")
    assert capture.layout == "blender" and len(capture.frames) == 80
    assert capture.frames[0].intrinsics.fx == pytest.approx(277.78, abs=0.01)
