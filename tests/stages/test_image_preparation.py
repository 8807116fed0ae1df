"""image_preparation: every kind of image a person may give, framing without squashing, each error message."""

import json
import struct
import sys
import types
import zlib

import numpy as np
import pytest
import yaml
from PIL import Image

from stages.artifacts.images import load_object_image
from stages.contract.entry import execute

RED = np.array([200, 30, 40], np.uint8)


def disc(height=48, width=64, radius=14, centre=(20, 36)):
    """A mask with a disc off the middle."""
    y, x = np.mgrid[:height, :width] + 0.5
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def rgb_with(mask, background=255):
    pixels = np.full((*mask.shape, 3), background, np.uint8)
    pixels[mask] = RED
    return pixels


def rgba_of(mask):
    return Image.fromarray(np.concatenate([rgb_with(mask), (mask * 255).astype(np.uint8)[..., None]], -1), "RGBA")


@pytest.fixture
def prepare(tmp_path, capfd):
    """Run the stage on images; the artifact and `image.json`, or the one line of its error."""
    inputs = tmp_path / "inputs"
    inputs.mkdir()

    def call(image, params=None, camera=None, save=None, **others):
        arguments = []
        for name, given in {"image": image, **others}.items():
            path = given
            if isinstance(given, Image.Image):
                path = inputs / f"{name}.png"
                given.save(path, **(save or {}))
            arguments += [f"--{name}", str(path)]
        if camera is not None:
            (inputs / "camera.txt").write_text(camera + "\n")
            arguments += ["--camera", "inputs/camera.txt"]
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({"image_preparation": params or {}}))
        code = execute("stages.image_preparation", arguments, tmp_path)
        said = capfd.readouterr().err
        if code:
            assert code == 2 and len(said.splitlines()) == 1, said
            return said
        folder = tmp_path / "image_preparation"
        return load_object_image(folder), json.loads((folder / "image.json").read_text())

    return call


def test_alpha_is_used_and_the_object_centred_without_squashing(prepare):
    picture, facts = prepare(rgba_of(disc()))
    assert facts["mask_from"] == "the picture's alpha" and facts["framing"] == "the object in the middle"
    assert picture.size == round(28 / 0.75)
    rows, columns = (np.flatnonzero((picture.mask > 0.5).any(axis)) for axis in (1, 0))
    assert abs(len(rows) - len(columns)) <= 1 and abs(len(rows) - 28) <= 1
    assert abs((rows[0] + rows[-1] + 1) / 2 - picture.size / 2) <= 1
    assert abs(picture.rgba[picture.mask > 0.9][:, :3] * 255 - RED).max() < 1
    assert facts["camera"]["radius"] == pytest.approx(3.2, abs=1e-3) and facts["camera"]["elevation_deg"] == 15


def test_with_a_camera_the_picture_is_only_padded_and_the_field_of_view_follows(prepare):
    picture, facts = prepare(rgba_of(disc()), camera="-30,20,30")
    assert picture.size == 64 and facts["camera"]["azimuth_deg"] == 330
    expected = np.degrees(2 * np.arctan(np.tan(np.radians(15)) * 64 / 48))
    assert facts["camera"]["fov_deg"] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(picture.mask[8:56] > 0.5, disc()) and not picture.mask[:8].any()


def test_a_mask_comes_before_alpha(prepare):
    mask = disc(radius=10)
    picture, facts = prepare(rgba_of(disc()), mask=Image.fromarray((mask * 255).astype(np.uint8)), camera="0,0,40")
    assert facts["mask_from"] == "the mask file" and abs((picture.mask > 0.5).sum() - mask.sum()) < 1


def test_large_pictures_become_smaller_and_depth_and_normals_follow(prepare):
    mask = disc(480, 640, 140, (200, 360))
    depth = Image.fromarray(np.full(mask.shape, 51, np.uint8))
    normal = Image.fromarray(np.full((*mask.shape, 3), (255, 0, 128), np.uint8))
    picture, _ = prepare(rgba_of(mask), {"size": 64}, depth=depth, normal=normal)
    assert picture.size == 64 and picture.depth.shape == (64, 64) and picture.normal.shape == (64, 64, 3)
    assert picture.depth[32, 32] == pytest.approx(0.2, abs=1e-3)
    nearer, _ = prepare(rgba_of(mask), {"size": 64, "depth_kind": "disparity"}, depth=depth)
    assert nearer.depth[32, 32] == pytest.approx(0.8, abs=1e-3)
    assert "Give a depth picture of the same shape" in prepare(rgba_of(mask), depth=depth.resize((50, 50)))


@pytest.mark.parametrize("background", [255, 0, 128])
def test_a_flat_border_tells_the_object(prepare, background):
    mask = disc()
    picture, facts = prepare(Image.fromarray(rgb_with(mask, background)), camera="0,0,40")
    assert facts["mask_from"] == "the border's colours" and "--mask" in facts["notes"][0]
    found = picture.mask[8:56] > 0.5
    assert (found & mask).sum() / (found | mask).sum() > 0.93


def test_a_border_of_several_colours_tells_the_object_by_a_graph_cut(prepare):
    rng, mask = np.random.default_rng(0), disc(96, 96, 24, (50, 46))
    pixels = np.zeros((96, 96, 3))
    pixels[:60], pixels[60:] = (120, 160, 210), (90, 120, 60)  # a sky over a meadow
    pixels[mask] = (220, 40, 40)
    picture = Image.fromarray((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8))
    made, facts = prepare(picture, camera="0,0,40")
    found = made.mask > 0.5
    assert "graph cut" in facts["notes"][0] and (found & mask).sum() / (found | mask).sum() > 0.9


def test_no_object_to_be_found(prepare):
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 3)).astype(np.uint8)
    for picture in (Image.fromarray(np.full((48, 48, 3), 200, np.uint8)), Image.fromarray(noise)):
        said = prepare(picture)
        assert "no alpha" in said and "--mask" in said and "rembg" in said


def test_rembg_is_asked_for_and_never_silent(prepare, monkeypatch):
    mask, choice = disc(), {"background_removal": "rembg"}
    picture = Image.fromarray(rgb_with(mask))
    monkeypatch.setitem(sys.modules, "rembg", None)
    assert "prior3d[background]" in prepare(picture, choice)
    fake = types.ModuleType("rembg")
    fake.remove = lambda image, only_mask: Image.fromarray((mask * 255).astype(np.uint8))
    monkeypatch.setitem(sys.modules, "rembg", fake)
    _, facts = prepare(picture, choice)
    assert facts["mask_from"] == "rembg" and "rembg" in facts["notes"][0]


@pytest.mark.parametrize(
    ("value", "said"), [(0, "the mask is empty"), (255, "covers 100% of the image"), (None, "give a mask of the")]
)
def test_wrong_masks(prepare, value, said):
    size = (48, 64) if value is not None else (64, 48)
    found = prepare(rgba_of(disc()), mask=Image.fromarray(np.full(size, value or 0, np.uint8)))
    assert said in found.lower()


def test_an_empty_alpha(prepare):
    assert "the mask is empty" in prepare(rgba_of(np.zeros((32, 32), bool)))


def test_sixteen_bits(prepare, tmp_path):
    mask = disc()
    grey = np.where(mask, 13107, 65535).astype(np.uint16)  # 0.2 on white
    picture, _ = prepare(Image.fromarray(grey), camera="0,0,40")
    assert picture.rgba[28, 36, :3] == pytest.approx([0.2] * 3, abs=0.01)
    rows = b"".join(
        b"\0" + np.stack([row, row // 2, row * 0, a], -1).astype(">u2").tobytes()
        for row, a in zip(grey, mask * np.uint16(65535), strict=True)
    )  # RGBA of 16 bits, which Pillow reads but does not write
    path = tmp_path / "rgba16.png"
    path.write_bytes(png((64, 48), 16, 6, rows))
    picture, facts = prepare(path, camera="0,0,40")
    assert facts["mask_from"] == "the picture's alpha"
    assert picture.rgba[28, 36] == pytest.approx([0.2, 0.1, 0, 1], abs=0.01)


def png(size, depth, colour_type, rows):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", *size, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_cmyk_palette_exif_and_animated(prepare, tmp_path):
    mask = disc()
    plain = Image.fromarray(rgb_with(mask))
    (tmp_path / "files").mkdir()
    cmyk = tmp_path / "files" / "cmyk.jpg"
    plain.convert("CMYK").save(cmyk, quality=95)
    picture, _ = prepare(cmyk, camera="0,0,40")
    assert abs(picture.rgba[28, 36, :3] * 255 - RED).max() < 12

    palette = tmp_path / "files" / "palette.png"
    indexed = plain.convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    indexed.save(palette, transparency=indexed.getpixel((0, 0)))
    picture, facts = prepare(palette, camera="0,0,40")
    assert facts["mask_from"] == "the picture's alpha" and np.array_equal(picture.mask[8:56] > 0.5, mask)

    turned = tmp_path / "files" / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying; to be turned clockwise for viewing
    rgba_of(mask).rotate(90, expand=True).save(turned, exif=exif)
    picture, facts = prepare(turned, camera="0,0,40")
    assert facts["given_size"] == [64, 48] and np.array_equal(picture.mask[8:56] > 0.5, mask)

    animated = tmp_path / "files" / "animated.gif"
    plain.save(animated, save_all=True, append_images=[Image.fromarray(rgb_with(~mask))])
    picture, facts = prepare(animated, camera="0,0,40")
    assert "2 frames; the first is used" in facts["notes"][0]
    assert abs(picture.rgba[28, 36, :3] * 255 - RED).max() < 6


def test_too_small_too_large_damaged_and_no_picture(prepare, tmp_path):
    assert "the object is only 6 pixels large" in prepare(rgba_of(disc(radius=3)))
    huge = tmp_path / "huge.png"
    huge.write_bytes(png((20_000, 20_000), 8, 0, b""))
    assert "more than 64,000,000 pixels" in prepare(huge)
    large = tmp_path / "large.png"
    large.write_bytes(png((9_000, 9_000), 8, 0, b""))
    assert "9,000x9,000 pixels" in prepare(large)
    cut = tmp_path / "cut.png"
    rgba_of(disc()).save(cut)
    cut.write_bytes(cut.read_bytes()[:150])
    assert "cannot be read as an image to its end" in prepare(cut)
    for name, content, said in (
        ("text.png", b"hello", "cannot be read as an image"),
        ("empty.png", b"", "the file is empty"),
    ):
        (tmp_path / name).write_bytes(content)
        assert said in prepare(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    assert "this is a folder" in prepare(tmp_path / "folder.png")


def white_pixel():
    return Image.fromarray(np.full((1, 1), 255, np.uint8))


def test_one_pixel(prepare):
    assert "covers 100%" in prepare(Image.fromarray(np.array([[[9, 9, 9, 255]]], np.uint8)), mask=white_pixel())
    assert "no object can be told" in prepare(Image.fromarray(np.array([[[9, 9, 9]]], np.uint8)))


@pytest.mark.parametrize("text", ["1,2", "a,b,c", "0,100,40", "0,0,170", "nan,0,40"])
def test_a_camera_that_is_none(prepare, text):
    assert "azimuth,elevation,fov" in prepare(rgba_of(disc()), camera=text)


def test_a_damaged_artifact_says_so(prepare, tmp_path):
    from prior3d.errors import Prior3dError

    prepare(rgba_of(disc()))
    folder = tmp_path / "image_preparation"
    whole = (folder / "image.json").read_text()
    for name, content, said in (
        ("image.json", "{}", "its camera cannot be read"),
        ("rgba.png", "no", "rgba.png: cannot be read as an image"),
        ("image.json", "[", "not JSON"),
    ):
        (folder / "image.json").write_text(whole)
        (folder / name).write_text(content)
        with pytest.raises(Prior3dError, match=said):
            load_object_image(folder)
