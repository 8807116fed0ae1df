"""Which views are held out, and how the others' field is compared with them."""

import numpy as np
import pytest
import torch
from PIL import Image

from prior3d.cameras import orbit_cameras, ring
from prior3d.captures.held_out import evenly_chosen, render_and_photo, split_views
from prior3d.captures.photographs import decoded
from prior3d.captures.posed import PosedViews
from prior3d.errors import Prior3dError
from prior3d.fields.scene_field import EMPTY_LOGIT, SceneField, SceneFieldConfig


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
    with pytest.raises(Prior3dError, match=r"a.png: the image is damaged or cut off .* take its frame out"):
        decoded(tmp_path / "a.png", "RGB")
