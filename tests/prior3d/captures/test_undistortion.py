import pytest
import torch

from prior3d.captures import Intrinsics, pinhole_focal, target_size, undistort
from prior3d.captures.undistortion import distort
from prior3d.errors import Prior3dError


def test_opencv_distortion_by_hand():
    intrinsics = Intrinsics(10, 10, 5, 5, 5, 5, radial=(0.1, 0.01, 0.001), tangential=(0.02, 0.03))
    x, y = distort(torch.tensor(1.0), torch.tensor(2.0), intrinsics)
    # r^2 = 5: radial 1 + 0.5 + 0.25 + 0.125 = 1.875; x: 1.875 + 2*0.02*2 + 0.03*(5 + 2) ; y: 3.75 + 0.02*(5+8) + 0.12
    assert x.item() == pytest.approx(1.875 + 0.08 + 0.21)
    assert y.item() == pytest.approx(3.75 + 0.26 + 0.12)


def test_a_centred_pinhole_passes_unchanged():
    intrinsics = Intrinsics(6, 4, 5, 5, 3, 2)
    picture = torch.rand(3, 4, 6)
    assert pinhole_focal(intrinsics, 4, 6) == 5
    assert torch.equal(undistort(picture, intrinsics, 5, 4, 6), picture)


def test_an_offset_principal_point_is_moved_to_the_middle():
    """The point is half a pixel right of the middle of 8: the view that fits is 7 pixels wide, stretched to 8."""
    intrinsics = Intrinsics(8, 8, 10, 10, 4.5, 4)
    focal = pinhole_focal(intrinsics, 8, 8)
    assert focal == pytest.approx(10 * 3.5 / 3, rel=1e-6)  # the right edge's pixel centre: 7.5 - 4.5 = 3, was 3.5
    ramp = (torch.arange(8.0) / 8).expand(1, 8, 8)
    made = undistort(ramp, intrinsics, focal, 8, 8)
    # pixel 7 looks at 4.5 + 10 * 3.5 / focal = 7.5: the last pixel's own value
    assert made[0, 4, 7].item() == pytest.approx(7 / 8, abs=1e-3)
    # pixel 3 looks at 4.5 - 10 * 0.5 / focal = 4.0714: 3.5714 / 8 of the ramp
    assert made[0, 4, 3].item() == pytest.approx(3.5714 / 8, abs=4e-3)  # torch's cubic is not exact on ramps


def test_what_is_cut_out_lies_inside_whatever_the_distortion():
    for k1 in (-0.3, -0.1, 0.1, 0.3):
        intrinsics = Intrinsics(40, 30, 35, 35, 20, 15, radial=(k1, 0.0, 0.0))
        focal = pinhole_focal(intrinsics, 30, 40)
        made = undistort(torch.ones(1, 30, 40), intrinsics, focal, 30, 40)
        assert made.min() > 0.999
        assert (focal > 35) == (k1 > 0)


def test_undoing_a_known_distortion():
    """A smooth scene seen through a lens and undistorted is what a pinhole sees of it."""
    intrinsics = Intrinsics(80, 60, 70, 70, 41, 29, radial=(-0.15, 0.02, 0.0), tangential=(0.001, -0.002))
    focal = pinhole_focal(intrinsics, 60, 80)

    def scene(x, y):
        return 0.5 + 0.25 * torch.sin(4 * x) + 0.25 * torch.cos(5 * y)

    columns, rows = torch.meshgrid(torch.arange(80) + 0.5, torch.arange(60) + 0.5, indexing="xy")
    wanted_x, wanted_y = (columns - intrinsics.cx) / intrinsics.fx, (rows - intrinsics.cy) / intrinsics.fy
    x, y = wanted_x.clone(), wanted_y.clone()
    for _ in range(60):  # invert the distortion by fixed-point iteration
        moved_x, moved_y = distort(x, y, intrinsics)
        x, y = x + wanted_x - moved_x, y + wanted_y - moved_y
    taken = scene(x, y)[None].float()
    expected = scene((columns - 40) / focal, (rows - 30) / focal)
    assert (undistort(taken, intrinsics, focal, 60, 80)[0] - expected).abs().max() < 2e-3


def test_impossible_lenses():
    with pytest.raises(Prior3dError, match=r"a.jpg: its distortion or principal point \(-40.0"):
        pinhole_focal(Intrinsics(40, 30, 35, 35, -40, 15), 30, 40, "a.jpg")


def test_sizes():
    assert target_size(Intrinsics(400, 200, 1, 1, 1, 1), 100) == (50, 100)
    assert target_size(Intrinsics(40, 20, 1, 1, 1, 1), 100) == (20, 40)
    assert target_size(Intrinsics(40, 20, 1, 1, 1, 1), 0) == (20, 40)
