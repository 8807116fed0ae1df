"""A text inside GLB, OBJ, MTL, PLY, PNG and MP4: others still read the file; taking it out gives the bytes back."""

import io
import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flows.provenance.containers import CONTAINERS, NoPlace, put, take
from prior3d.images.files import png_bytes, write_video
from prior3d.meshes.files import check_glb, load_glb, load_ply, save_glb, save_obj, save_ply
from prior3d.meshes.mesh import Mesh, TexturedMesh
from prior3d.meshes.reading import read_mesh

TEXT = json.dumps({"run": "mug", "prompt": 'a "mug" \u2603', "pad": "x" * 300}, separators=(",", ":"))
XMP = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>\u2603</x:xmpmeta>"


def files(folder):
    """One file of each format, by its name."""
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    texture = np.linspace(0, 1, 8 * 8 * 3, dtype=np.float32).reshape(8, 8, 3)
    mesh = TexturedMesh(vertices, faces, np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]), texture)
    save_glb(folder / "mesh.glb", mesh)
    save_obj(folder, mesh)
    save_ply(folder / "mesh.ply", Mesh(vertices, faces))
    write_video(folder / "turntable.mp4", [np.full((16, 16, 3), level) for level in (0.0, 0.5, 1.0)], (16, 16))
    names = ("mesh.glb", "mesh.obj", "mesh.mtl", "mesh.png", "mesh.ply", "turntable.mp4")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def of_each(tmp_path_factory):
    return files(tmp_path_factory.mktemp("files"))


def test_every_format_is_tried(of_each):
    assert {f".{name.partition('.')[2]}" for name in of_each} == set(CONTAINERS)


def test_what_is_put_in_is_taken_out_to_the_byte(of_each):
    for name, content in of_each.items():
        carrying = put(name, content, TEXT, XMP)
        assert carrying != content and carrying == put(name, content, TEXT, XMP)
        assert take(carrying) == (content, TEXT), name
        assert take(content) == (content, None), name


def test_other_readers_read_the_same(of_each, tmp_path):
    for name, content in of_each.items():
        (tmp_path / name).write_bytes(content)
    before = load_glb(tmp_path / "mesh.glb"), read_mesh(tmp_path / "mesh.obj"), load_ply(tmp_path / "mesh.ply")
    frames = video_frames(tmp_path / "turntable.mp4")
    for name, content in of_each.items():
        (tmp_path / name).write_bytes(put(name, content, TEXT, XMP))
    after = load_glb(tmp_path / "mesh.glb"), read_mesh(tmp_path / "mesh.obj"), load_ply(tmp_path / "mesh.ply")
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old.vertices, new.vertices) and np.array_equal(old.faces, new.faces)
    assert np.array_equal(before[0].texture, after[0].texture)
    assert np.array_equal(frames, video_frames(tmp_path / "turntable.mp4")) and len(frames) == 3
    assert trimesh.load(tmp_path / "mesh.obj", force="mesh").visual.material.image is not None  # through the MTL
    image = Image.open(io.BytesIO((tmp_path / "mesh.png").read_bytes()))
    image.load()
    assert image.info["prior3d"] == TEXT and image.info["XML:com.adobe.xmp"] == XMP
    assert check_glb(tmp_path / "mesh.glb")["asset"]["extras"]["prior3d"] == json.loads(TEXT)


def video_frames(path):
    import imageio.v3 as imageio

    return np.stack(list(imageio.imiter(path, plugin="FFMPEG")))


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=30), st.text(max_size=200) | st.integers() | st.floats(allow_nan=False)))
def test_any_text_comes_back(values):
    text = json.dumps(values, separators=(",", ":"))
    glb_json = b'{"scenes":[{"nodes":[0]}],"asset": {"version":"2.0"},"x":"}{\\""} '
    glb_json += b" " * (-len(glb_json) % 4)
    glb = struct.pack("<4sIII4s", b"glTF", 2, 20 + len(glb_json), len(glb_json), b"JSON") + glb_json
    ply = b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n"
    png = png_bytes(np.zeros((2, 2, 3)))
    for name, content in (("a.glb", glb), ("a.ply", ply), ("a.png", png), ("a.obj", b"v 0 0 0\n"), ("a.txt", b"x")):
        carrying = put(name, content, text, XMP)
        assert take(carrying) == (content, None if name == "a.txt" else text)


def test_a_glb_that_another_program_wrote_again_still_says_it(of_each):
    carrying = put("mesh.glb", of_each["mesh.glb"], TEXT, XMP)
    length = int.from_bytes(carrying[12:16], "little")
    document = json.dumps(json.loads(carrying[20 : 20 + length]), indent=1).encode()
    document += b" " * (-len(document) % 4)
    rest = carrying[20 + length :]
    again = (
        struct.pack("<4sIII4s", b"glTF", 2, 20 + len(document) + len(rest), len(document), b"JSON") + document + rest
    )
    assert take(again) == (again, TEXT)


def test_a_png_keeps_the_xmp_that_it_has(of_each):
    foreign = put("a.png", of_each["mesh.png"], "{}", "<mine/>").replace(b"prior3d\0", b"another\0")
    carrying = put("a.png", foreign, TEXT, XMP)
    assert carrying.count(b"XML:com.adobe.xmp") == 1 and b"<mine/>" in carrying and take(carrying)[1] == TEXT


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.glb", b""),
        ("a.glb", b"glTF\2\0\0\0" + b"\0" * 20),
        ("a.glb", struct.pack("<4sIII4s", b"glTF", 2, 24, 4, b"JSON") + b"[1] "),
        ("a.png", b"\x89PNG\r\n\x1a\n"),
        ("a.ply", b"ply\ncomment x\n"),
        ("a.mp4", b"\0\0\0\0ftypisom"),
    ],
)
def test_a_broken_file_is_refused(name, content):
    with pytest.raises(NoPlace):
        put(name, content, TEXT, XMP)
