"""Images and masks as people have them: each kind of file comes out with the colours and the outline it shows."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from prior3d.errors import Prior3dError
from prior3d.images.masks import decoded_mask
from prior3d.images.photographs import read_header, read_image

HEIGHT, WIDTH = 6, 8
INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[1:4, 2:7] = True
RED, GREEN = (200, 30, 40), (0, 255, 0)
COLOURS = np.where(INSIDE[..., None], np.uint8(RED), np.uint8(GREEN)).astype(np.uint8)
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.3127, 0.3290))


def near(found, wanted, within=1.5 / 255):
    return float(np.abs(np.asarray(found) - np.asarray(wanted, np.float32) / 255).max()) <= within


def test_exif_turns_an_image_unless_its_stored_pixels_are_wanted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(COLOURS).rotate(90, expand=True)
    stored.save(tmp_path / "turned.png", exif=exif)
    header = read_header(tmp_path / "turned.png")
    assert (header.width, header.height, header.turned) == (WIDTH, HEIGHT, True)
    assert near(read_image(tmp_path / "turned.png").rgb, COLOURS)
    assert near(read_image(tmp_path / "turned.png", upright=False).rgb, np.asarray(stored))


def test_sixteen_bits_are_not_cut_off_and_a_key_colour_is_transparent(tmp_path):
    grey = np.where(INSIDE, 13107, 52428).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert near(read_image(tmp_path / "grey.png").rgb, np.where(INSIDE, 51, 204)[..., None])
    Image.fromarray(COLOURS).save(tmp_path / "key.png", transparency=GREEN)
    image = read_image(tmp_path / "key.png")
    assert np.array_equal(image.alpha > 0.5, INSIDE) and image.alpha_channel
    assert near(image.over(1.0)[~INSIDE], 255) and near(image.over(1.0)[INSIDE], RED)
    Image.fromarray(COLOURS).quantize(2).save(tmp_path / "palette.png", transparency=bytes([255, 0]))
    assert read_image(tmp_path / "palette.png").alpha is not None


def test_opaque_alpha_is_no_outline_but_the_channel_is_known(tmp_path):
    opaque = np.concatenate([COLOURS, np.full((HEIGHT, WIDTH, 1), 255, np.uint8)], -1)
    Image.fromarray(opaque).save(tmp_path / "opaque.png")
    image = read_image(tmp_path / "opaque.png")
    assert image.alpha is None and image.alpha_channel and read_header(tmp_path / "opaque.png").alpha_channel
    Image.fromarray(COLOURS).save(tmp_path / "rgb.png")
    assert not read_image(tmp_path / "rgb.png").alpha_channel


def matrix_profile(primaries):
    """The bytes of an ICC profile with sRGB's curve and other primaries (x, y of red, green, blue and white)."""
    red, green, blue, white = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in primaries)
    columns = np.stack([red, green, blue], 1)
    to_xyz = columns * np.linalg.solve(columns, white)
    d50 = np.array([0.96422, 1.0, 0.82521])
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])  # Bradford
    adapted = np.linalg.inv(cone) @ np.diag((cone @ d50) / (cone @ white)) @ cone @ to_xyz
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for tag, column in ((b"rXYZ", 0), (b"gXYZ", 1), (b"bXYZ", 2)):
        place = content.index(tag) + 4
        offset = int.from_bytes(content[place : place + 4], "big") + 8
        numbers = (adapted[:, column] * 65536).round().astype(">i4").tobytes()
        content[offset : offset + 12] = numbers
    return bytes(content)


def test_a_colour_profile_counts_and_srgb_by_name_changes_no_bit(tmp_path):
    profile = matrix_profile(DISPLAY_P3)
    Image.fromarray(np.uint8([[(182, 51, 36), (128, 128, 128)]])).save(tmp_path / "p3.png", icc_profile=profile)
    image = read_image(tmp_path / "p3.png")
    assert near(image.rgb[0, 0], (199, 32, 23), 4 / 255) and near(image.rgb[0, 1], (128,) * 3)
    assert any("converted to sRGB" in note for note in image.notes)
    alpha = np.uint8([[(182, 51, 36, 90), (182, 51, 36, 255)]])
    Image.fromarray(alpha).save(tmp_path / "p3a.png", icc_profile=profile)
    image = read_image(tmp_path / "p3a.png")
    assert near(image.alpha, [[90, 255]]) and near(image.rgb[0, 0], (199, 32, 23), 4 / 255)
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(COLOURS).save(tmp_path / "srgb.png", icc_profile=plain)
    image = read_image(tmp_path / "srgb.png")
    assert np.array_equal((image.rgb * 255).round(), COLOURS) and not image.notes
    Image.fromarray(COLOURS).save(tmp_path / "broken.png", icc_profile=b"no profile at all")
    image = read_image(tmp_path / "broken.png")
    assert near(image.rgb, COLOURS) and "taken for sRGB" in image.notes[0]


def test_a_phone_photo_that_is_not_read_is_called_by_its_name(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(Prior3dError, match="a HEIC photo, which is not read here; save it as JPEG or PNG"):
        read_image(tmp_path / "photo.jpg")


def masks_as_people_write_them():
    level = INSIDE.astype(np.uint8)
    soft = np.where(INSIDE, 255, 0).astype(np.uint8)
    soft[1, 2:7] = 128
    cut = np.concatenate([COLOURS, (level * 255)[..., None]], -1)
    black_cut = np.concatenate([COLOURS * 0, (level * 255)[..., None]], -1)
    palette = Image.fromarray(level, "P")
    palette.putpalette([0, 0, 0, 128, 0, 0])  # DAVIS: the first object is dark red
    return {
        "0 and 255": Image.fromarray(level * 255),
        "0 and 1": Image.fromarray(level),
        "0 and 100": Image.fromarray(level * 100),
        "one bit": Image.fromarray(INSIDE),
        "sixteen bits": Image.fromarray(level.astype(np.uint16) * 65535),
        "sixteen bits, 0 and 1": Image.fromarray(level.astype(np.uint16)),
        "soft": Image.fromarray(soft),
        "RGB": Image.fromarray(np.repeat(level[..., None] * 255, 3, -1)),
        "red on black": Image.fromarray(level[..., None] * np.uint8([255, 0, 0])),
        "palette of labels": palette,
        "cut out": Image.fromarray(cut),
        "black, cut out": Image.fromarray(black_cut),
    }


@pytest.mark.parametrize("kind", masks_as_people_write_them())
def test_masks_in_every_way_to_write_them(tmp_path, kind):
    masks_as_people_write_them()[kind].save(tmp_path / "mask.png")
    mask = decoded_mask(tmp_path / "mask.png")
    assert mask.min() >= 0 and mask.max() == 1 and np.array_equal(mask > 0.5, INSIDE)


@pytest.mark.parametrize(
    "values", [[0, 1, 2], [0, 5, 7, 12], [1, 2], [0, 1, 15, 255], [0, 40, 120, 150], [7], [3, 90, 91, 92]]
)
def test_masks_of_labels_are_asked_about_and_not_guessed(tmp_path, values):
    pixels = np.resize(np.uint8(values), (HEIGHT, WIDTH))
    Image.fromarray(pixels).save(tmp_path / "labels.png")
    with pytest.raises(Prior3dError, match=f"the values {', '.join(map(str, values))} of 255: if they are labels"):
        decoded_mask(tmp_path / "labels.png")


def test_masks_of_several_colours_are_asked_about(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "colours.png")
    with pytest.raises(Prior3dError, match=r"a mask of 2 colours \(#00ff00, #c81e28\); which of them"):
        decoded_mask(tmp_path / "colours.png")
