from dataclasses import replace

import torch

from prior3d.images.augmentation import augment
from prior3d.settings.textual_inversion import AugmentationSettings

STILL = AugmentationSettings(rotation_deg=0, scale=(1, 1), mirrored=0, jitter=0, grey=0, blurred=0)


def picture():
    mask = torch.zeros(16, 16)
    mask[4:12, 2:8] = 1
    return mask[..., None] * torch.tensor([0.8, 0.4, 0.2]), mask


def versions(how, n=4):
    return augment(*picture(), n, how, torch.Generator().manual_seed(0))


def test_without_changes_the_picture_comes_back():
    colours, mask = picture()
    images, masks, mirror = versions(STILL)
    assert torch.allclose(images, colours.movedim(-1, 0).expand(4, -1, -1, -1), atol=1e-5)
    assert torch.allclose(masks, mask.expand(4, -1, -1), atol=1e-5) and not mirror.any()


def test_mirror_images_say_so():
    _, mask = picture()
    _, masks, mirror = versions(replace(STILL, mirrored=1))
    assert mirror.all() and torch.allclose(masks, mask.flip(-1).expand(4, -1, -1), atol=1e-5)


def test_turning_and_enlarging_by_area():
    _, mask = picture()
    turned = versions(replace(STILL, rotation_deg=10, rotated=1))
    assert torch.allclose(turned[1].sum((1, 2)), mask.sum().expand(4), rtol=0.05)
    larger = versions(replace(STILL, scale=(1.2, 1.2)))
    assert torch.allclose(larger[1].sum((1, 2)), 1.44 * mask.sum().expand(4), rtol=0.06)


def test_grey_jitter_and_blur():
    grey = versions(replace(STILL, grey=1))[0]
    assert torch.allclose(grey[:, 0], grey[:, 2])
    jittered = versions(replace(STILL, jitter=0.1, jittered=1))[0]
    ratio = jittered[:, :, 8, 5] / torch.tensor([0.8, 0.4, 0.2])
    assert (ratio - 1).abs().max() <= 0.1 + 1e-4 and ratio.std() > 0
    how = replace(STILL, blurred=1, blur_pixels=2)
    images, masks, _ = versions(how)
    assert ((masks > 0.05) & (masks < 0.95)).any() and (images <= masks[:, None] + 1e-6).all()
