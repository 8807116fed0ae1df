"""Real objects: fetching, reading, naming, captioning and rendering, on a library that the test writes itself."""

import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from prior3d.cameras import orbit_cameras
from prior3d.errors import Prior3dError
from prior3d.realobjects import chosen, fetching
from prior3d.realobjects.captions import caption, colour_shares, leading
from prior3d.realobjects.catalogue import CATALOGUE, read_library, refused_by_name
from prior3d.realobjects.chosen import Opened, choose, credits, splits
from prior3d.realobjects.fetching import fetch_objects, need_objects
from prior3d.realobjects.models import plain_main, recoloured, refused_by_shape, reshaped
from prior3d.realobjects.names import kind_of, noun
from prior3d.realobjects.renders import render_model
from prior3d.toyworld.renders import toy_orbit
from stages.training.datasets.real_objects import AS_IT_IS, TOY_LIGHT, Variation, draw_entry, draw_real, spoken

pytest.importorskip("numba")
BOX = "".join(f"v {x} {y} {z}\n" for x in (0, 2) for y in (0, 1) for z in (0, 1)) + "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
SIDES = ((1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4))
MTL = "newmtl red\nKd 0.8 0.05 0.05\nd 1\nnewmtl print\nmap_Kd print.png\n"


def obj(materials):
    faces = "".join(
        f"usemtl {m}\nf " + " ".join(f"{v}/{i + 1}" for i, v in enumerate(side)) + "\n"
        for m, side in zip(materials, SIDES, strict=True)
    )
    return f"mtllib box.mtl\n{BOX}{faces}"


def write_library(path, names, materials=("red",) * 6, creator="Ann"):
    rows = []
    for i, name in enumerate(names, 1):
        rows += [f"id#{i}=Maker#{name.replace(' ', '-')}{i}", f"name#{i}={name}", f"category#{i}=Misc"]
        rows += [f"model#{i}=/m/box.obj", f"width#{i}=100", f"height#{i}=50", f"depth#{i}=40", f"creator#{i}={creator}"]
    picture = io.BytesIO()
    Image.new("RGBA", (4, 4), (20, 40, 230, 255)).save(picture, "PNG")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(CATALOGUE, "\n".join(rows))
        archive.writestr("m/box.obj", obj(materials))
        archive.writestr("m/box.mtl", MTL)
        archive.writestr("m/print.png", picture.getvalue())
        archive.writestr("m/licence.txt", 'About "Old crate" Released by Bob under the following Attribution 3.0')
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one library, and no others expected."""
    names = ["Ford Focus", "Wooden bench", "Bench", "Old bench", "Park bench", "Garden bench", "Radiator"]
    path = write_library(tmp_path / "objects.sh3f", names)
    monkeypatch.setattr(fetching, "LIBRARIES", {path.name: hashlib.sha256(path.read_bytes()).hexdigest()})
    monkeypatch.setattr(chosen, "LIBRARIES", fetching.LIBRARIES)
    return tmp_path


def cameras(size=48, n=2):
    return orbit_cameras(toy_orbit(np.linspace(20, 200, n), np.full(n, 20.0)), size, size)


def test_names_say_what_the_model_is():
    assert [kind_of(name) for name in ("Ford Focus", "Old car", "Glass table", "Teak chair", "VW New Beetle")] == [
        "car", "car", "table", "chair", "car",
    ]  # fmt: skip
    assert (noun("Socket"), noun("Boiler"), kind_of("Wood bank")) == ("sock", "kettle", "bench")


def test_only_single_objects_are_chosen_and_credited(folder):
    choice = choose(folder)
    assert [entry.kind for entry in choice.used] == ["car", *["bench"] * 5]
    assert choice.refused == {"fixture": 1}
    lines = list(credits(choice.used))
    assert "| bench | Old crate | Bob | CC-BY-3.0 | objects.sh3f of SweetHome3D | train |" in lines
    sides = splits(choice.used)
    assert list(sides.values()).count("held-out") == 1  # one of five benches, and no car: there is only one
    assert sides == splits(choice.used[::-1])
    assert [refused_by_name(entry) for entry in read_library(folder / "objects.sh3f")][-1] == "fixture"


def test_a_model_has_the_catalogues_size_and_the_toy_sphere(folder):
    with Opened(folder) as opened:
        model = opened.model(read_library(folder / "objects.sh3f")[0])
    extent = np.ptp(model.vertices, axis=0)
    assert extent / extent[1] == pytest.approx([0.4, 1.0, 0.5], abs=1e-4)  # depth, width, height: front along +x
    assert np.linalg.norm(model.vertices, axis=1).max() == pytest.approx(0.95, abs=1e-4)
    assert len(model.faces) == 12 and refused_by_shape(model) is None
    flat = reshaped(model, (1.0, 1.0, 0.01), mirrored=True)
    assert refused_by_shape(flat) == "thin"
    assert np.linalg.norm(flat.vertices, axis=1).max() == pytest.approx(0.95, abs=1e-4)


def test_captions_name_what_is_seen(folder):
    entry = read_library(folder / "objects.sh3f")[0]
    for colour, word in (((0.12, 0.26, 0.86), "blue"), ((0.97, 0.85, 0.10), "yellow"), (None, "red")):
        with Opened(folder) as opened:
            model = opened.model(entry)
        main = plain_main(model)
        if colour:
            model = recoloured(model, main, colour)
        shown, unlit = render_model(model, cameras(), TOY_LIGHT)
        assert shown[..., 3].mean() > 0.05 and (shown[..., :3] <= shown[..., 3:] + 1e-5).all()
        assert caption("car", leading("car", colour_shares(unlit))) == f"a {word} car"
    assert caption("car", leading("snowman", colour_shares(unlit))) == "a car"


def test_a_texture_is_seen_and_is_no_plain_main_material(tmp_path, monkeypatch):
    path = write_library(tmp_path / "t.sh3f", ["Crate"], ("print",) * 6)
    with Opened(tmp_path) as opened:
        model = opened.model(read_library(path)[0])
    assert plain_main(model) is None
    _, unlit = render_model(model, cameras(), TOY_LIGHT)
    assert leading("crate", colour_shares(unlit)) == ("blue",)


def test_the_same_numbers_draw_the_same_set(folder):
    used = choose(folder).used
    one, other = (
        draw_real(np.random.default_rng(3), folder, used[1], cameras(), Variation(1.0, 1.0, 1.0)) for _ in "ab"
    )
    assert np.array_equal(one[0], other[0]) and one[1] == other[1]
    plain, _ = draw_real(np.random.default_rng(3), folder, used[1], cameras(), AS_IT_IS)
    assert not np.array_equal(plain, one[0])
    spoken_of = {spoken(used[1], np.random.default_rng(i)) for i in range(30)}
    assert spoken_of == {"bench", "wooden bench"}
    rng = np.random.default_rng(0)
    kinds = [draw_entry(rng, used).kind for _ in range(1000)]
    assert 0.26 < kinds.count("car") / 1000 < 0.36  # 1 of 1 + sqrt(5), where 1 of 6 would be by objects


def package(path, content):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:xz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(f"./usr/share/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    body = inner.getvalue()
    heads = [f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n" for name, size in
             (("debian-binary", 4), ("data.tar.xz", len(body)))]  # fmt: skip
    path.write_bytes(b"!<arch>\n" + heads[0].encode() + b"2.0\n" + heads[1].encode() + body)
    return path


def test_libraries_come_out_of_the_package_or_a_folder(folder, tmp_path, monkeypatch):
    library = (folder / "objects.sh3f").read_bytes()
    deb = package(tmp_path / f"{fetching.PACKAGE}_1.8-1_all.deb", {"objects.sh3f": library, "other": b"x"})
    with pytest.raises(Prior3dError, match="its SHA-256 is .* another version or damaged"):
        fetch_objects(tmp_path / "a", deb)
    monkeypatch.setattr(fetching, "DEB_SHA256", hashlib.sha256(deb.read_bytes()).hexdigest())
    for number, source in enumerate((deb, folder)):
        target = tmp_path / f"target{number}"
        assert "1 libraries from" in fetch_objects(target, source)
        assert [path.name for path in target.iterdir()] == ["objects.sh3f"]
        assert "are here and whole" in fetch_objects(target, tmp_path / "nothing")


def test_what_fails_is_said(folder, tmp_path, monkeypatch):
    with pytest.raises(Prior3dError, match=r"objects.sh3f not here, or damaged; .*priors fetch-objects"):
        need_objects(tmp_path / "empty")
    with pytest.raises(Prior3dError, match="there is no such file or folder"):
        fetch_objects(tmp_path / "a", tmp_path / "nothing.deb")
    (folder / "objects.sh3f").write_bytes(b"damaged")
    with pytest.raises(Prior3dError, match="not there, or not those of"):
        fetch_objects(tmp_path / "a", folder)
    monkeypatch.setattr(fetching.shutil, "which", lambda name: None)
    with pytest.raises(Prior3dError, match=r"no apt-get on this machine; download .*--from FILE.deb"):
        fetch_objects(tmp_path / "a")
