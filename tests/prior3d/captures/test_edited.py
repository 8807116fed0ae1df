import numpy as np
import pytest
import torch
from PIL import Image

from prior3d.cameras import orbit_cameras, ring
from prior3d.captures.pixels import PixelSampler
from prior3d.captures.posed import PosedViews
from prior3d.dataset_update.edited_images import EditedViews, prior_size, resized, transferred
from prior3d.rendering.rays import rays


@pytest.fixture
def views(tmp_path):
    """Three images of 6 x 4 pixels, whose red is the number of the pixel and whose green that of the view."""
    files = []
    for view in range(3):
        pixels = np.zeros((4, 6, 3), np.uint8)
        pixels[..., 0], pixels[..., 1] = np.arange(24).reshape(4, 6), view
        files.append(tmp_path / f"{view}.png")
        Image.fromarray(pixels).save(files[-1])
    return PosedViews(orbit_cameras(ring(3, 20.0), 4, 6), tuple(files), (), "none")


def test_pixels_are_drawn_with_their_own_rays(views, tmp_path):
    store = PixelSampler(views, [0, 2], tmp_path / "pixels.npy")
    origins, directions, colours, masks, places = store.draw(200, torch.Generator().manual_seed(0))
    pixel, view = (colours[:, 0] * 255).round().long(), (colours[:, 1] * 255).round().long()
    assert set(view.tolist()) == {0, 2} and (masks == 1).all()
    assert torch.equal(places % 24, pixel)
    all_origins, all_directions = (part.reshape(3, 24, 3) for part in rays(views.cameras))
    assert torch.allclose(origins, all_origins[view, pixel])
    assert torch.allclose(directions, all_directions[view, pixel], atol=1e-6)
    store.remove()
    assert not (tmp_path / "pixels.npy").exists()


def test_pictures_are_replaced_beside_the_originals(views):
    edited = EditedViews(views, [0, 2], 1.0)
    edited.put(1, torch.full((1, 3, 4, 6), 0.5))
    assert edited.now(1).mean().item() == pytest.approx(128 / 255)
    assert torch.equal(edited.original(1)[0], views.image(2))
    assert torch.equal(edited.now(0), edited.original(0))
    assert edited.n_edits.item() == 1 and "pixels" in edited.state_dict() and "originals" not in edited.state_dict()


def test_sizes_shown_to_a_prior():
    assert prior_size(200, 200, 64, 16) == (64, 64)
    assert prior_size(480, 270, 64, 16) == (112, 64)  # 480 * 64 / 270 = 113.8
    assert prior_size(480, 270, 256, 16) == (448, 256)  # 455.1 is nearest to 28.4 * 16
    assert resized(torch.rand(1, 3, 8, 8), (4, 6)).shape == (1, 3, 4, 6)


def test_a_change_is_transferred_and_noise_is_not():
    original = torch.full((1, 3, 8, 8), 0.5)
    unedited = torch.full((1, 3, 8, 8), 0.45)  # what the autoencoder makes of it
    edited = unedited.clone()
    edited[:, 0] += 0.3  # the red of all pixels
    assert transferred(original, edited, unedited, 0.1)[0, :, 4, 4].tolist() == pytest.approx([0.8, 0.5, 0.5])
    assert transferred(original, unedited + 0.04, unedited, 0.1)[0, :, 4, 4].tolist() == pytest.approx([0.5] * 3)
    # at exactly the least change, half of it counts
    assert transferred(original, unedited + 0.1, unedited, 0.1)[0, :, 4, 4].tolist() == pytest.approx([0.55] * 3)
    assert transferred(original, unedited + 0.04, unedited, 0.0)[0, 0, 4, 4].item() == pytest.approx(0.54)
    large = transferred(torch.full((1, 3, 16, 16), 0.5), edited, unedited, 0.1)
    assert large.shape == (1, 3, 16, 16) and large[0, 0, 8, 8].item() == pytest.approx(0.8)
