import numpy as np
import pytest

from prior3d.errors import Prior3dError
from prior3d.images.files import contact_sheet, from_bytes, png_bytes, resize, to_uint8, write_video
from prior3d.metrics import mask_iou, psnr_db


def test_png_round_trip_to_half_a_step():
    picture = np.random.default_rng(0).random((5, 7, 3))
    assert abs(from_bytes(png_bytes(picture)) - picture).max() <= 0.5 / 255 + 1e-6


def test_values_outside_are_clipped_and_rounded():
    assert to_uint8(np.array([-1.0, 0.5, 2.0])).tolist() == [0, 128, 255]


def test_what_is_not_finite_is_refused():
    with pytest.raises(Prior3dError, match="not finite"):
        to_uint8(np.array([np.nan]))


def test_what_is_no_picture_is_refused():
    with pytest.raises(Prior3dError, match="image of 3 bytes: cannot be read as an image"):
        from_bytes(b"abc")


def test_a_contact_sheet_by_hand():
    black, grey = np.zeros((2, 3, 3)), np.full((2, 3, 3), 0.5)
    sheet = contact_sheet([[black, grey], [grey]], gap=1)
    assert sheet.shape == (2 * 3 + 1, 2 * 4 + 1, 3)
    assert sheet[0, 0, 0] == 1 and sheet[1, 1, 0] == 0 and sheet[1, 5, 0] == 0.5
    assert sheet[4, 1, 0] == 0.5 and sheet[4, 5, 0] == 1  # a gap, where a row is short


def test_resizing_keeps_a_flat_picture():
    assert abs(resize(np.full((8, 8, 3), 0.4), 4, 6) - 0.4).max() < 0.01
    assert resize(np.zeros((8, 8, 3)), 4, 6).shape == (4, 6, 3)


def test_a_video_holds_its_frames(tmp_path):
    import imageio_ffmpeg

    frames = [np.full((32, 48, 3), level) for level in (0.0, 0.5, 1.0)]
    write_video(tmp_path / "v.mp4", frames, (32, 48), frames_per_second=10)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "v.mp4"))
    meta = next(reader)
    means = [np.frombuffer(frame, np.uint8).mean() for frame in reader]
    assert meta["size"] == (48, 32) and meta["codec"] == "h264"
    assert np.allclose(means, [0, 128, 255], atol=4)


def test_odd_videos_are_refused(tmp_path):
    with pytest.raises(Prior3dError, match="even sides"):
        write_video(tmp_path / "v.mp4", [], (33, 48))


def test_psnr_by_hand():
    assert psnr_db(np.zeros(4), np.full(4, 0.1)) == pytest.approx(20)
    assert psnr_db(np.ones(4), np.ones(4)) == 100


def test_mask_iou_by_hand():
    assert mask_iou(np.array([1.0, 1, 0, 0]), np.array([0.9, 0.2, 0.7, 0])) == pytest.approx(1 / 3)
    assert mask_iou(np.zeros(3), np.zeros(3)) == 1
