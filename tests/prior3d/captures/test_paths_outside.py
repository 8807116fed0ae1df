"""A capture names files: only those inside it are read, so that a run has a copy of each and notices its changes."""

import gzip
import json
import struct
import zlib
from functools import partial

import pytest
from PIL import Image

from prior3d.captures import co3d, read_capture
from prior3d.captures.capture import image_size
from prior3d.captures.co3d import read_co3d_sequence
from prior3d.captures.colmap_files import check_model_files
from prior3d.errors import Prior3dError
from prior3d.images.photographs import read_image
from prior3d.limits import unpack_gzip
from stages.artifacts.capture import load_posed_images, save_posed_cameras
from tests.posed_ball import ball_cameras
from tests.scenes import rewrite, write_capture
from tests.tiny_co3d import write_annotations, write_category

OUTSIDE = ["../outside.png", "images/../../outside.png", "ABSOLUTE", "linked/outside.png"]


@pytest.fixture
def outside(tmp_path):
    """An image beside the capture, and a folder in the capture that is a link to where it lies."""
    Image.new("RGB", (16, 12)).save(tmp_path / "outside.png")
    return tmp_path / "outside.png"


def named(path, outside, capture):
    if not (capture / "linked").exists():
        (capture / "linked").symlink_to(outside.parent)
    return path.replace("ABSOLUTE", str(outside))


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("key", ["file_path", "mask_path"])
def test_transforms(tmp_path, outside, path, key):
    content = write_capture(tmp_path / "capture")
    content["frames"][2][key] = named(path, outside, tmp_path / "capture")
    rewrite(tmp_path / "capture", content)
    with pytest.raises(Prior3dError, match="does not lie in .* put the file into the capture"):
        read_capture(tmp_path / "capture")


@pytest.mark.parametrize("path", ["../outside.json", "/etc/hostname"])
def test_another_transforms_file(tmp_path, path):
    write_capture(tmp_path / "capture")
    (tmp_path / "outside.json").write_text("{}")
    with pytest.raises(Prior3dError, match="the parameter transforms names .* does not lie in"):
        read_capture(tmp_path / "capture", path)


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("kind", ["image", "mask"])
def test_co3d(tmp_path, outside, path, kind):
    folder = write_category(tmp_path / "ball")
    frames = json.loads(gzip.decompress((folder / "frame_annotations.jgz").read_bytes()))
    frames[1][kind]["path"] = named(path, outside, folder)
    write_annotations(folder, frames)
    with pytest.raises(Prior3dError, match="does not lie in"):
        read_co3d_sequence(folder)


@pytest.mark.parametrize("path", OUTSIDE)
def test_images_that_a_stage_made(tmp_path, outside, path):
    cameras = ball_cameras(2, 8)
    (tmp_path / "made").mkdir()
    save_posed_cameras(tmp_path / "made", [f"{i:05d}" for i in range(cameras.views)], cameras, "none")
    content = json.loads((tmp_path / "made" / "transforms.json").read_text())
    content["frames"][0]["file_path"] = named(path, outside, tmp_path / "made")
    rewrite(tmp_path / "made", content)
    with pytest.raises(Prior3dError, match="does not lie in"):
        load_posed_images(tmp_path / "made")


def test_what_lies_inside_is_read_by_any_name(tmp_path):
    content = write_capture(tmp_path / "capture")
    content["frames"][0]["file_path"] = str(tmp_path / "capture" / "images" / "view_0.png")
    content["frames"][1]["file_path"] = "./images/../images/view_1"
    (tmp_path / "capture" / "images" / "view_2.png").rename(tmp_path / "kept.png")  # as DVC links to its cache
    (tmp_path / "capture" / "images" / "view_2.png").symlink_to(tmp_path / "kept.png")
    rewrite(tmp_path / "capture", content)
    assert len(read_capture(tmp_path / "capture").frames) == 6


@pytest.mark.parametrize("path", ["a" * 5000, "images/\0.png", "images/" + "b" * 300])
def test_names_that_no_file_can_have(tmp_path, path):
    content = write_capture(tmp_path)
    content["frames"][0]["file_path"] = path
    rewrite(tmp_path, content)
    with pytest.raises(Prior3dError, match="which is no path|is no path|is named there but missing") as error:
        read_capture(tmp_path)
    assert len(str(error.value)) < 1000


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(side, further=b""):
    """A PNG of side x side pixels by its header, with almost nothing in it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + further + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_001, 12_000, 60_000, 2**31 - 1])
def test_an_image_of_too_many_pixels(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png(side))
    with pytest.raises(Prior3dError, match=r"a.png: .*64,000,000"):
        image_size(tmp_path / "a.png", "here")


def test_a_text_in_an_image_that_unpacks_to_much(tmp_path):
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 200_000_000, 9))
    (tmp_path / "a.png").write_bytes(png(16, bomb))
    with pytest.raises(Prior3dError, match=r"a.png: cannot be read as an image to its end"):
        read_image(tmp_path / "a.png")


def test_a_format_that_runs_programs_is_not_opened(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(Prior3dError, match="cannot be read as an image"):
        image_size(tmp_path / "a.png", "here")


def test_annotations_that_unpack_to_much(tmp_path, monkeypatch):
    folder = write_category(tmp_path / "ball")
    (folder / "frame_annotations.jgz").write_bytes(gzip.compress(b"[" + b" " * 20_000_000 + b"]", 9))
    monkeypatch.setattr(co3d, "unpack_gzip", partial(unpack_gzip, most=10_000_000))
    with pytest.raises(Prior3dError, match="unpacked it has more than 10 MB"):
        read_co3d_sequence(folder)


MODEL = {  # one of each in COLMAP's binary layout
    "cameras.bin": struct.pack("<QIiQQ3d", 1, 1, 0, 16, 12, 20, 8, 6),
    "images.bin": struct.pack("<QI7dI", 1, 1, 1, 0, 0, 0, 0, 0, 4, 1) + b"a.png\0" + struct.pack("<QddQ", 1, 1, 2, 9),
    "points3D.bin": struct.pack("<QQ3d3BdQII", 1, 9, 0, 0, 0, 1, 2, 3, 0.5, 1, 1, 0),
    "rigs.bin": struct.pack("<QIIII", 1, 1, 1, 0, 1),
    "frames.bin": struct.pack("<QII7dIiIQ", 1, 1, 1, 1, 0, 0, 0, 0, 0, 4, 1, 0, 1, 1),
}


@pytest.mark.parametrize("name", MODEL)
def test_counts_of_a_colmap_file_that_are_not_true(tmp_path, name):
    for file, content in MODEL.items():
        (tmp_path / file).write_bytes(content)
    check_model_files(tmp_path)
    for damaged in (b"\xff" * 8 + MODEL[name][8:], MODEL[name][:-1], b"", struct.pack("<Q", 2) + MODEL[name][8:]):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(Prior3dError, match=f"{name}: shorter than its counts say"):
            check_model_files(tmp_path)
