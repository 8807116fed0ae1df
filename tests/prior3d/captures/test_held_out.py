"""Which views are held out, and how the others' field is compared with them."""

import numpy as np
import pytest
import torch
from PIL import Image

from prior3d.cameras import orbit_cameras, ring
from prior3d.captures.capture import Frame, Intrinsics
from prior3d.captures.held_out import counting_views, evenly_chosen, render_and_photo, split_views
from prior3d.captures.photographs import frame_image
from prior3d.captures.pixels import PixelSampler
from prior3d.captures.posed import PosedViews
from prior3d.errors import Prior3dError
from prior3d.fields.scene_field import EMPTY_LOGIT, SceneField, SceneFieldConfig
from prior3d.metrics import psnr_db
from tests.scenes import identity_pose


def test_every_so_many_views_are_held_out():
    assert split_views(7, 3) == ([0, 3, 6], [1, 2, 4, 5])
    assert split_views(3, 0) == ([], [0, 1, 2])
    with pytest.raises(Prior3dError, match="held_out_every: 1 leaves none of 3 views"):
        split_views(3, 1)


def test_some_of_many_are_spread_evenly():
    assert evenly_chosen([3, 5, 8, 9, 11], 2) == [3, 8]
    assert evenly_chosen([3, 5], 2) == [3, 5] and evenly_chosen([], 1) == []


@pytest.mark.parametrize(("meaning", "right_half"), [("object", 0.25), ("ignore", 1.0), ("none", 0.5)])
def test_what_masks_leave_out_is_the_background_or_the_render(tmp_path, meaning, right_half):
    """A grey photo (0.5) whose right half is masked away, beside an empty field over a background of a quarter."""
    Image.fromarray(np.full((4, 6, 3), 127.5).round().astype(np.uint8)).save(tmp_path / "photo.png")
    mask = np.zeros((4, 6), np.uint8)
    mask[:, :3] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    views = PosedViews(
        orbit_cameras(ring(1, 20.0), 4, 6),
        (tmp_path / "photo.png",),
        () if meaning == "none" else (tmp_path / "mask.png",),
        meaning,
    )
    field = SceneField(SceneFieldConfig(resolution=5, sh_degree=0))
    with torch.no_grad():
        field.density_logits[1:] = 5 * EMPTY_LOGIT
    background = 1.0 if meaning == "ignore" else 0.25
    rendered, photo = render_and_photo(views, field, 0, 8, background)
    assert rendered.shape == photo.shape == (4, 6, 3)
    assert np.allclose(rendered, background, atol=1e-3)
    assert np.allclose(photo[:, :3], 0.5, atol=0.01) and np.allclose(photo[:, 3:], right_half, atol=0.01)


def test_a_photo_that_is_cut_off_is_named(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    frame = Frame(tmp_path / "a.png", identity_pose(), Intrinsics(40, 40, 40.0, 40.0, 20.0, 20.0))
    with pytest.raises(Prior3dError, match=r"a.png: cannot be read as an image to its end .* take its frame out"):
        frame_image(frame)


def test_nothing_is_fitted_or_measured_over_no_pixel(tmp_path):
    """Black masks weigh every ray with 0: a fit learns nothing, and a score of it would be a perfect one."""
    Image.fromarray(np.full((4, 6, 3), 99, np.uint8)).save(tmp_path / "photo.png")
    for name, level in (("black", 0), ("white", 255)):
        Image.fromarray(np.full((4, 6), level, np.uint8)).save(tmp_path / f"{name}.png")
    photos, masks = (tmp_path / "photo.png",) * 2, (tmp_path / "black.png", tmp_path / "white.png")
    views = PosedViews(orbit_cameras(ring(2, 20.0), 4, 6), photos, masks, "ignore")
    assert counting_views(views, [0, 1]) == [1] and counting_views(views, []) == []
    with pytest.raises(Prior3dError, match="there is nothing to compare"):
        counting_views(views, [0])
    PixelSampler(views, [0, 1], tmp_path / "some.npy").remove()
    with pytest.raises(Prior3dError, match="no pixel counts"):
        PixelSampler(views, [0], tmp_path / "none.npy")
    with pytest.raises(Prior3dError, match="no pixel to compare"):
        psnr_db(np.zeros((0, 3)), np.zeros((0, 3)))
