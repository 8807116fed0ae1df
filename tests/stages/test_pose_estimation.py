"""pose_estimation: where photos of a small rendered place were taken from; what it says of photos that do not fit."""

import shutil

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from prior3d.captures import read_capture
from stages.artifacts.base import load_metrics
from stages.contract.entry import execute

pytest.importorskip("pycolmap", reason="the extra colmap is not installed")

HEIGHT, WIDTH, FOCAL = 180, 240, 260.0
QUICK = {"max_features": 1500}


def texture(seed):
    """A square of blots of several sizes, which SIFT finds."""
    random = np.random.default_rng(seed)
    layers = [gaussian_filter(random.normal(size=(512, 512, 3)), (s, s, 0)) * s for s in (1.5, 4, 12)]
    made = sum(layers)
    return np.clip(128 + 55 * made / made.std(), 0, 255)


def look(eye, target=(0.0, 0.0, 0.0)):
    """Rotation (rows: right, down, forward) of a camera that looks at a point, z up."""
    forward = np.array(target) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def photo(eye, textures):
    """A floor (z = -0.4) and a wall (x = -1), each with a texture, as a pinhole camera sees them."""
    rotation = look(eye)
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    rays = (
        np.stack([(u + 0.5 - WIDTH / 2) / FOCAL, (v + 0.5 - HEIGHT / 2) / FOCAL, np.ones_like(u, float)], -1) @ rotation
    )
    depths = np.stack([(-1 - eye[0]) / rays[..., 0], (-0.4 - eye[2]) / rays[..., 2]])
    depths[(depths <= 0) | ~np.isfinite(depths)] = np.inf
    nearest = depths.argmin(0)
    place = eye + np.minimum(depths.min(0), 20.0)[..., None] * rays
    image = np.zeros((HEIGHT, WIDTH, 3))
    for plane, axes in ((0, (1, 2)), (1, (0, 1))):
        mine = nearest == plane
        rows, columns = (((place[mine][:, axis] + 2.5) / 5 * 511).clip(0, 511) for axis in axes)
        for channel in range(3):
            image[mine, channel] = map_coordinates(textures[plane][..., channel], [rows, columns], order=1)
    return image.astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Nine photos on an arc, and their eyes."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    folder.mkdir()
    textures = texture(0), texture(1)
    angles = np.deg2rad(np.linspace(-28, 28, 9))
    eyes = [np.array([2.2 * np.cos(a), 2.2 * np.sin(a), 0.7 + 0.25 * np.sin(5 * a)]) for a in angles]
    for index, eye in enumerate(eyes):
        Image.fromarray(photo(eye, textures)).save(folder / f"a photo {index}.png")
    return folder, np.stack(eyes)


def estimate(folder, capsys, **params):
    (folder / "params.yaml").write_text(yaml.safe_dump({"pose_estimation": {**QUICK, **params}}))
    code = execute("stages.pose_estimation", ["--photos", "inputs/photos"], folder)
    return code, capsys.readouterr()


def aligned_error(found, true):
    """The largest distance of positions [n, 3] after the best similarity, as a share of their spread."""
    a, b = found - found.mean(0), true - true.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * np.diag(sign)).sum() / (a**2).sum()
    return np.linalg.norm(scale * a @ (u @ sign @ vt).T - b, axis=1).max() / np.linalg.norm(b, axis=1).max()


@pytest.mark.parametrize("matching", ["exhaustive", "sequential"])
def test_cameras_of_photos_are_found(photos, tmp_path, capsys, matching):
    shutil.copytree(photos[0], tmp_path / "inputs" / "photos")
    code, said = estimate(tmp_path, capsys, matching=matching, sequential_overlap=4)
    assert code == 0, said.err
    made = tmp_path / "pose_estimation"
    capture = read_capture(made)
    assert capture.layout == "colmap" and len(capture.frames) == 9 and not capture.notes
    assert aligned_error(capture.c2w[:, :3, 3].numpy(), photos[1]) < 0.03
    lens = capture.frames[0].intrinsics
    assert lens.fx == pytest.approx(FOCAL, rel=0.1)
    metrics = load_metrics(made)
    assert metrics["registered"]["value"] == 1 and metrics["reprojection_error"]["value"] < 1
    assert np.asarray(Image.open(made / "preview.png")).std() > 5


def test_the_same_photos_give_the_same_cameras_after_a_stop(photos, tmp_path, capsys, monkeypatch):
    """Features and matches of the first sitting are kept, and the model is the same to the bit."""
    for name in ("whole", "stopped"):
        shutil.copytree(photos[0], tmp_path / name / "inputs" / "photos")
    assert estimate(tmp_path / "whole", capsys)[0] == 0
    from stages.contract.job import Job

    told = []
    progress = Job.progress

    def stop_soon(self, step, total, **words):
        told.append(step)
        self.stopping = step > 35
        progress(self, step, total, **words)

    monkeypatch.setattr(Job, "progress", stop_soon)
    assert estimate(tmp_path / "stopped", capsys)[0] == 143
    monkeypatch.setattr(Job, "progress", progress)
    assert not (tmp_path / "stopped" / "pose_estimation").exists()
    assert estimate(tmp_path / "stopped", capsys)[0] == 0
    for name in ("images.bin", "cameras.bin"):
        model = "pose_estimation/sparse/0"
        whole, stopped = ((tmp_path / run / model / name).read_bytes() for run in ("whole", "stopped"))
        assert whole == stopped


def test_photos_that_do_not_fit_together(tmp_path, capsys):
    folder = tmp_path / "inputs" / "photos"
    folder.mkdir(parents=True)
    for index in range(4):
        Image.fromarray(texture(10 + index)[:HEIGHT, :WIDTH].astype(np.uint8)).save(folder / f"{index}.png")
    code, said = estimate(tmp_path, capsys)
    assert code == 2 and "photos f" in said.err and "take more photos" in said.err and len(said.err.splitlines()) == 1


def test_too_few_photos_and_none(tmp_path, capsys):
    folder = tmp_path / "inputs" / "photos"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("no photo")
    code, said = estimate(tmp_path, capsys)
    assert code == 2 and "0 photos" in said.err and "3 or more that overlap" in said.err


def test_too_many_photos_are_chosen_from_evenly(tmp_path):
    from prior3d.captures.structure_plan import chosen_photos

    for index in range(20):
        (tmp_path / f"{index}.jpg").write_bytes(b"")
    assert [file.stem for file in chosen_photos(tmp_path, 5)] == ["0", "4", "8", "12", "16"]


def test_without_pycolmap_one_line_says_what_to_install(photos, tmp_path, capsys, monkeypatch):
    import sys

    shutil.copytree(photos[0], tmp_path / "inputs" / "photos")
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    code, said = estimate(tmp_path, capsys)
    assert code == 2 and "pycolmap, which is not installed" in said.err and '".[colmap]"' in said.err
