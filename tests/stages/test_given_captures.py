"""scene_preparation and view_preparation on captures as people have them: masks, alpha, EXIF, bits, sizes."""

import struct
import zlib

import numpy as np
import pytest
import yaml
from PIL import Image

from stages.artifacts.capture import load_posed_images
from stages.contract.entry import execute
from tests.scenes import write_capture

SIZE = (16, 12)  # width, height
HALF = np.zeros(SIZE[::-1], np.uint8)
HALF[:, :8] = 1
GREEN = (0, 255, 0)


@pytest.fixture
def prepare(tmp_path, capsys):
    """Write a capture whose images and masks `change` replaces, and run a stage on it: views, or the error's line."""

    def call(change=None, stage="scene_preparation", params=None, **capture):
        folder = tmp_path / "inputs" / "given"
        content = write_capture(folder, n=4, size=SIZE, **capture)
        for index, frame in enumerate(content["frames"]):
            if change is not None:
                change(index, folder / frame["file_path"], folder / frame.get("mask_path", "none"))
        (tmp_path / "params.yaml").write_text(yaml.safe_dump({stage: params or {}}))
        option = "--scene" if stage == "scene_preparation" else "--images"
        code = execute(f"stages.{stage}", [option, "inputs/given"], tmp_path)
        said = capsys.readouterr()
        if code:
            assert code == 2 and len(said.err.splitlines()) == 1, said.err
            return said.err, said.out
        return load_posed_images(tmp_path / stage), said.out

    return call


@pytest.mark.parametrize("white", [1, 255])
def test_a_mask_is_what_is_not_black(prepare, white):
    views, _ = prepare(lambda index, image, mask: Image.fromarray(HALF * white).save(mask), mask=True)
    assert views.mask_meaning == "ignore" and np.array_equal(views.mask(0).numpy(), HALF)


def test_masks_that_leave_no_pixel_are_an_error(prepare):
    said, _ = prepare(lambda index, image, mask: Image.fromarray(HALF * 0).save(mask), mask=True)
    assert "the masks of all 4 images are black everywhere, so no pixel counts" in said


def test_labels_are_asked_about(prepare):
    said, _ = prepare(lambda index, image, mask: Image.fromarray(HALF * 3 + 2).save(mask), mask=True)
    assert "mask_0.png: a mask of the values 2, 5 of 255: if they are labels" in said


def test_alpha_that_is_opaque_everywhere_is_no_mask(prepare):
    views, _ = prepare(lambda index, image, mask: Image.fromarray(np.full((12, 16, 4), 255, np.uint8)).save(image))
    assert views.mask_meaning == "none" and not views.masks


@pytest.mark.parametrize("kind", ["palette", "key colour"])
def test_transparency_of_palettes_and_key_colours_counts(prepare, kind):
    """Its hidden green must not become the background."""
    pixels = np.where(HALF[..., None], np.uint8([200, 30, 40]), np.uint8(GREEN))

    def save(index, image, mask):
        if kind == "key colour":
            Image.fromarray(pixels).save(image, transparency=GREEN)
        else:
            indexed = Image.fromarray(pixels).quantize(2)
            indexed.save(image, transparency=indexed.getpixel((15, 0)))

    views, _ = prepare(save)
    assert views.mask_meaning == "object" and np.array_equal(views.mask(0).numpy(), HALF)
    assert views.over(0, 1.0)[:, 0, 15].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("bare", "named"), [({0}, "view_0.png"), ({1, 3}, "view_1.png, view_3.png")])
def test_some_images_with_alpha_and_some_without_are_refused_by_name(prepare, bare, named):
    def save(index, image, mask):
        rgba = np.concatenate([np.full((12, 16, 3), 90, np.uint8), HALF[..., None] * 255], -1)
        Image.fromarray(rgba[..., :3] if index in bare else rgba).save(image)

    said, _ = prepare(save)
    assert f"{len(bare)} of 4 images have no alpha ({named}), but others have it" in said


def opaque_in(filled):
    def save(index, image, mask):
        alpha = HALF * 0 + 255 if index in filled else HALF * 255
        Image.fromarray(np.dstack([np.full((12, 16, 3), 90, np.uint8), alpha])).save(image)

    return save


def test_opaque_alpha_of_many_images_is_no_outline(prepare):
    said, _ = prepare(opaque_in({1, 3}))
    assert "the alpha of 2 of 4 images is opaque everywhere, but others have a background cut out" in said


def test_an_image_that_the_object_fills_belongs_to_a_capture_with_alpha(prepare):
    views, out = prepare(opaque_in({2}))
    assert "1 of 4 images: its alpha is opaque everywhere: the object is taken to fill it" in out
    assert views.mask_meaning == "object" and views.mask(2).min() == 1 and views.mask(1).min() == 0


def test_masks_that_are_asked_for_must_be_there(prepare):
    said, _ = prepare(params={"masks": "object"})
    assert "scene_preparation.masks is object, but no image of given has a mask_path or alpha" in said


def turned(orientation, upright):
    """Save an image as a phone does: stored on its side, with the orientation that turns it upright."""

    def save(index, image, mask):
        exif = Image.Exif()
        exif[0x0112] = orientation
        angle = {3: 180, 6: 90, 8: 270}[orientation]
        Image.fromarray(upright).rotate(angle, expand=True).save(image, exif=exif)

    return save


LEFT_IS_LIGHT = np.repeat((HALF * 200)[..., None], 3, -1)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("sizes", [{}, {"w": None, "h": None}])
def test_photos_that_exif_turns_are_turned_upright(prepare, orientation, sizes):
    views, _ = prepare(turned(orientation, LEFT_IS_LIGHT), **sizes)
    assert (views.cameras.width, views.cameras.height) == SIZE
    assert views.image(0)[0, 6, 2] > 0.7 and views.image(0)[0, 6, 13] < 0.1


def test_stored_pixels_are_used_where_the_intrinsics_are_for_their_shape(prepare):
    upright = np.rot90(LEFT_IS_LIGHT)  # 12 x 16, stored as 16 x 12: left is light again
    views, _ = prepare(turned(6, np.ascontiguousarray(np.rot90(upright, 2))))
    assert (views.cameras.width, views.cameras.height) == SIZE
    assert views.image(0)[0, 6, 2] > 0.7 and views.image(0)[0, 6, 13] < 0.1


@pytest.mark.parametrize("stage", ["scene_preparation", "view_preparation"])
def test_sixteen_bits_stay_grey(prepare, stage):
    grey = np.where(HALF, 13107, 52428).astype(np.uint16)
    views, _ = prepare(lambda index, image, mask: Image.fromarray(grey).save(image), stage)
    shown = views.image(0)[:, views.mask(0) > 0.99]
    assert shown.min() < 0.35 and shown.max() < 0.85


@pytest.mark.parametrize("stage", ["scene_preparation", "view_preparation"])
def test_an_image_that_is_too_large_is_refused_before_it_is_decoded(prepare, stage):
    def save(index, image, mask):
        def chunk(name, content):
            return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

        header = struct.pack(">IIBBBBB", 16_000, 12_000, 8, 0, 0, 0, 0)
        if index == 1:
            image.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))

    said, _ = prepare(save, stage)
    assert "view_1.png" in said and "more than 64,000,000" in said


def test_notes_about_images_are_said_once(prepare):
    def save(index, image, mask):
        Image.fromarray(np.full((12, 16, 3), 90, np.uint8)).save(image, icc_profile=b"none")

    _, out = prepare(save)
    assert out.count("its colours are taken for sRGB") == 1 and "4 of 4 images" in out


def test_a_mask_of_a_turned_photo_is_the_upright_ones(prepare):
    def save(index, image, mask):
        turned(6, LEFT_IS_LIGHT)(index, image, mask)
        Image.fromarray(HALF).save(mask)

    views, _ = prepare(save, mask=True)
    assert np.array_equal(views.mask(0).numpy(), HALF)
