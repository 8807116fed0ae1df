"""What of a given folder comes into a run: of a capture what it names, whole or not at all, and only if it changed."""

import gzip
import json
import os
import shutil
import types

import pytest

from flows.engine import input_files
from flows.engine.input_files import copy_folder, folder_files
from prior3d.capture_files import capture_files
from prior3d.errors import Prior3dError
from tests.scenes import write_capture

STOP = ("--device", "cpu", "--plain", "--stop-after", "scene_preparation")


def names(folder, **asked):
    return sorted(file.as_posix() for file in capture_files(folder, **asked))


def test_only_what_a_capture_names_is_its(tmp_path):
    content = write_capture(tmp_path, n=3, mask=True)
    (tmp_path / "images" / "unnamed.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    expected = [f"images/{kind}_{k}.png" for kind in ("mask", "view") for k in range(3)]
    assert names(tmp_path) == [*expected, "transforms.json"]
    content["frames"][0]["file_path"] = "images\\view_0.png"
    content["frames"][1]["file_path"] = "images/view_1"
    content["frames"][2]["file_path"] = "../elsewhere.png"
    (tmp_path / "other.json").write_text(json.dumps(content), encoding="utf-16")
    assert names(tmp_path, transforms="other.json") == [*expected[:-1], "other.json"]
    with pytest.raises(Prior3dError, match=r"no transforms.json or transforms_train.json and no COLMAP model"):
        capture_files(tmp_path / "images")
    with pytest.raises(Prior3dError, match=r"no missing.json is in it"):
        capture_files(tmp_path, "missing.json")


def test_all_models_of_colmap_and_their_images(tmp_path):
    for number in "01":
        (tmp_path / "sparse" / number).mkdir(parents=True)
        for name in ("cameras.bin", "images.bin", "points3D.bin"):
            (tmp_path / "sparse" / number / name).write_bytes(b"")
    for name in ("images/a/1.jpg", "images/2.PNG", "images/notes.txt", "images_2/1.jpg", "dense/fused.ply"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = names(tmp_path)
    assert found[:2] == ["images/2.PNG", "images/a/1.jpg"] and len(found) == 2 + 6


def test_one_sequence_of_co3d(tmp_path):
    frames = []
    for sequence in ("one", "two"):
        for kind in ("images", "masks"):
            (tmp_path / sequence / kind).mkdir(parents=True)
            (tmp_path / sequence / kind / "0.png").write_bytes(b"")
        paths = {"image": {"path": f"apple/{sequence}/images/0.png"}, "mask": {"path": f"{sequence}/masks/0.png"}}
        frames.append({"sequence_name": sequence} | paths)
    for name, content in (("frame", frames), ("sequence", [{"sequence_name": "one"}])):
        (tmp_path / f"{name}_annotations.jgz").write_bytes(gzip.compress(json.dumps(content).encode()))
    both = ["frame_annotations.jgz", "sequence_annotations.jgz"]
    assert names(tmp_path, sequence="two") == [*both, "two/images/0.png", "two/masks/0.png"]
    assert len(names(tmp_path)) == 6


def test_odd_things_in_a_folder_are_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "dangling").symlink_to("/nowhere/at/all")
    (tmp_path / "self").symlink_to(".")
    os.mkfifo(tmp_path / "pipe")
    assert [file.as_posix() for file in folder_files(tmp_path)] == ["a.txt"]


def test_a_copy_is_made_once_and_again_when_something_changed(tmp_path):
    source, target = tmp_path / "source", tmp_path / "run" / "copy"
    (source / "deep").mkdir(parents=True)
    target.parent.mkdir()
    (source / "a.txt").write_text("a")
    (source / "deep" / "b.txt").write_text("b")
    copy_folder(source, target, folder_files(source), print)
    first = (target / "a.txt").stat().st_ino
    copy_folder(source, target, folder_files(source), print)
    assert (target / "a.txt").stat().st_ino == first and (target / "deep" / "b.txt").read_text() == "b"
    (source / "a.txt").write_text("new")
    (source / "deep" / "b.txt").unlink()
    copy_folder(source, target, folder_files(source), print)
    assert (target / "a.txt").read_text() == "new" and [f.name for f in target.iterdir()] == ["a.txt"]


def test_a_full_disk_is_said_before_anything_is_copied_and_large_copies_are_told(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    (source / "a.bin").write_bytes(bytes(3_000_000))
    monkeypatch.setattr(input_files, "WORTH_A_WORD", 1_000_000)
    monkeypatch.setattr(input_files, "STEP", 1_000_000)
    said = []
    copy_folder(source, target, folder_files(source), said.append)
    assert said == ["copying 1 files of source, 3.0 MB", "copied 3.0 MB of 3.0 MB"]
    shutil.rmtree(target)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: types.SimpleNamespace(free=52_000_000))
    with pytest.raises(Prior3dError, match="needs 3.0 MB for its copy in the run, and 52 MB are left, of which 50 MB"):
        copy_folder(source, target, folder_files(source), said.append)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("kind", ["dangling", "pipe", "loop", "dvcignore", "not UTF-8", "the project itself"])
def test_captures_with_odd_things_in_them_run(fake, tmp_path, kind):
    folder = fake.project if kind == "the project itself" else tmp_path / "capture"
    write_capture(folder)
    if kind == "dangling":
        (folder / "images_8").symlink_to("/nowhere/images_8")
    if kind == "pipe":
        os.mkfifo(folder / "control")
    if kind == "loop":
        (folder / "self").symlink_to(".")
    if kind == "dvcignore":
        (folder / ".dvcignore").write_text("*.tmp\n")
    if kind == "not UTF-8":
        shutil.copy(folder / "images" / "view_0.png", os.fsencode(folder / "images") + b"/caf\xe9.png")
    code, out, err = fake.cli("run", "scene", "--scene", str(folder), "--name", "odd", *STOP)
    assert code == 0, err
    copied = fake.project / "data" / "runs" / "odd" / "inputs" / "scene"
    assert len(folder_files(copied)) == 7


def test_a_folder_that_is_no_capture_is_refused_before_anything_is_written(fake, tmp_path):
    (tmp_path / "folder").mkdir()
    code, out, err = fake.cli("run", "scene", "--scene", str(tmp_path / "folder"), "--name", "a", *STOP)
    assert code == 2 and "no COLMAP model in sparse is in it" in err and len(err.splitlines()) == 1
    assert not (fake.project / "data" / "runs" / "a").exists()


def test_files_by_links_without_an_ending_and_of_names_that_are_no_utf8(fake, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "5f1c").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n")
    (tmp_path / "shape.obj").symlink_to("store/5f1c")
    odd = os.fsencode(tmp_path) + b"/caf\xe9.obj"
    shutil.copy(tmp_path / "store" / "5f1c", odd)
    for name, path in (("link", str(tmp_path / "shape.obj")), ("odd", os.fsdecode(odd))):
        words = ("--prompt", "a chair", "--mesh", path, "--name", name, "--device", "cpu", "--plain")
        code, out, err = fake.cli("run", "latent-paint", *words, "--stop-after", "mesh_preparation")
        assert code == 0, err
        assert (fake.project / "data" / "runs" / name / "inputs" / "mesh.obj").is_file()
    assert "caf\ufffd.obj" in (fake.project / "data" / "runs" / "odd" / "method.yaml").read_text()
