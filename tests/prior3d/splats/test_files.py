"""Files of splats: what is written is read back as it was, other readers agree, and bad files get one line."""

import gzip
import json
import struct
import tracemalloc

import numpy as np
import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.metrics import psnr_db
from prior3d.splats.files import WRITERS, read_splats
from prior3d.splats.frames import Y_DOWN, Y_UP, turned
from prior3d.splats.render import render_splats
from tests.gaussian_splats import some_splats

LEAST_DB = {"ply": 60, "spz": 38, "splat": 40, "glb": 60}


def images(splats):
    cameras = orbit_cameras(ring(4, elevation_deg=20.0), 48, 48)
    with torch.no_grad():
        return np.stack([render_splats(splats, cameras[k], torch.ones(3)).colours.clamp(0, 1) for k in range(4)])


def written(folder, kind, splats):
    path = folder / f"scene.{kind}"
    path.write_bytes(WRITERS[kind](splats))
    return path


@pytest.mark.parametrize("kind", WRITERS)
def test_a_round_trip_shows_the_same(tmp_path, kind):
    splats = some_splats(n=300, degree=0 if kind == "splat" else 2, size=0.06)
    back = read_splats(written(tmp_path, kind, splats))
    assert back.config.sh_degree == splats.config.sh_degree and back.config.n_splats == 300
    db = psnr_db(images(back), images(splats))
    assert db >= LEAST_DB[kind], db


@pytest.mark.parametrize("degree", [0, 1, 3])
def test_every_degree_is_kept(tmp_path, degree):
    splats = some_splats(n=40, degree=degree)
    for kind in ("ply", "glb"):
        back = read_splats(written(tmp_path, kind, splats))
        assert torch.allclose(back.shN, splats.shN, atol=1e-5) and torch.allclose(back.means, splats.means, atol=1e-6)


@pytest.mark.parametrize("axes", [Y_UP, Y_DOWN])
def test_a_turned_scene_seen_by_a_turned_camera_is_the_same(axes):
    splats = some_splats(degree=3)
    camera = orbit_cameras(ring(1, elevation_deg=30.0, start_deg=40.0), 32, 32)
    there = turned(splats, axes)
    rotation = torch.eye(4)
    rotation[:3, :3] = torch.tensor(axes)
    moved = type(camera)(rotation @ camera.c2w, camera.fov_deg, 32, 32)
    first, second = render_splats(splats, camera), render_splats(there, moved)
    assert (first.colours - second.colours).abs().max() < 1e-4 and first.opacity.max() > 0.5
    assert torch.allclose(turned(there, axes, back=True).shN, splats.shN, atol=1e-5)


def test_ply_has_the_columns_of_3dgs(tmp_path):
    splats = some_splats(n=7, degree=1)
    header, _, body = written(tmp_path, "ply", splats).read_bytes().partition(b"end_header\n")
    names = [line.split()[2] for line in header.decode().splitlines() if line.startswith("property float")]
    expected = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *(f"f_rest_{k}" for k in range(9))]
    assert names == [*expected, "opacity", *(f"scale_{k}" for k in range(3)), *(f"rot_{k}" for k in range(4))]
    rows = np.frombuffer(body, "<f4").reshape(7, len(names))
    x, y, z = splats.means.detach().T.numpy()
    assert np.allclose(rows[:, :3], np.stack([y, -z, -x], 1), atol=1e-6)
    assert np.allclose(rows[:, names.index("scale_1")], splats.scales[:, 1].detach())


def test_glb_is_what_the_extension_says(tmp_path):
    import trimesh

    splats = some_splats(n=9, degree=1)
    path = written(tmp_path, "glb", splats)
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    described = json.loads(content[20 : 20 + length])
    primitive = described["meshes"][0]["primitives"][0]
    assert primitive["mode"] == 0 and described["extensionsUsed"] == ["KHR_gaussian_splatting"]
    assert primitive["extensions"]["KHR_gaussian_splatting"]["kernel"] == "ellipse"
    assert {f"KHR_gaussian_splatting:SH_DEGREE_1_COEF_{k}" for k in range(3)} < set(primitive["attributes"])
    points = next(iter(trimesh.load(path).geometry.values()))  # a reader that knows nothing of splats
    x, y, z = splats.means.detach().T.numpy()
    assert np.allclose(points.vertices, np.stack([y, z, x], 1), atol=1e-6)


def five(kind):
    """A whole file of five Gaussians."""
    return WRITERS[kind](some_splats(n=5, degree=1))


def with_nan(content):
    header, end, body = content.partition(b"end_header\n")
    rows = np.frombuffer(body, "<f4").reshape(5, -1).copy()
    rows[3, 0] = np.nan
    return header + end + rows.tobytes()


def spz_header(version, n):
    return gzip.compress(struct.pack("<IIIBBBB", 0x5053474E, version, n, 3, 12, 0, 0))


def ply(old, new):
    return lambda: five("ply").replace(old, new)


BAD = {
    "cut.ply": (lambda: five("ply")[:-9], "cut off: 5 Gaussians take"),
    "nan.ply": (lambda: with_nan(five("ply")), "means of 1 Gaussians is not finite, first of number 3"),
    "rest.ply": (ply(b"property float f_rest_8\n", b""), "8 f_rest_ properties"),
    "lacks.ply": (ply(b"float rot_3", b"float turn"), "lacks the property rot_3"),
    "many.ply": (ply(b"vertex 5", b"vertex 10000000"), "claims 10,000,000 Gaussians.*: leave some out"),
    "four.ply": (ply(b"vertex 5", b"vertex 4000000"), "4,000,000 Gaussians take"),
    "text.ply": (ply(b"binary_little_endian", b"ascii"), "format is ascii"),
    "list.ply": (ply(b"float nx", b"list nx"), "no property of splats"),
    "other.ply": (lambda: b"solid", "does not begin with the header of a PLY"),
    "cut.splat": (lambda: five("splat")[:-3], "no whole number of Gaussians"),
    "none.splat": (lambda: b"", "claims 0 Gaussians"),
    "nan.splat": (lambda: np.full(8, np.nan, "<f4").tobytes(), "not finite"),
    "cut.spz": (lambda: gzip.compress(gzip.decompress(five("spz"))[:-4]), "cut off"),
    "half.spz": (lambda: five("spz")[:100], "no whole SPZ"),
    "many.spz": (lambda: spz_header(2, 10**7), "claims 10,000,000"),
    "new.spz": (lambda: spz_header(9, 1), "no SPZ of version 2"),
    "cut.glb": (lambda: five("glb")[:-8], "cut off"),
    "many.glb": (lambda: five("glb").replace(b'"count":5', b'"count":9'), "cut off|need more"),
    "shape.glb": (lambda: five("glb").replace(b':SCALE":3', b':SCALE":2'), "SCALE has 4 numbers a Gaussian, and 3"),
    "lacks.glb": (lambda: five("glb").replace(b":SCALE", b":SKALE"), "lacks 'KHR_gaussian_splatting:SCALE'"),
    "scene.obj": (lambda: b"v 0 0 0", "splats are read from .ply"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_line_before_it_takes_memory(tmp_path, name):
    make, message = BAD[name]
    path = tmp_path / name
    path.write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(Prior3dError, match=message) as told:
            read_splats(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(told.value) and str(told.value).startswith(str(path))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(Prior3dError, match="cannot be read"):
        read_splats(tmp_path / "none.ply")
