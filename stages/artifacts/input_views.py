"""Posed images in memory: all of a PosedImages folder at once, for methods that take a few."""

from pathlib import Path

import torch

from prior3d.reconstruction.input_views import InputViews
from stages.artifacts.capture import load_posed_images


def load_input_views(folder: Path, device: torch.device | str = "cpu") -> InputViews:
    """Read all images of a PosedImages folder; a Prior3dError says what is wrong with it."""
    views = load_posed_images(folder)
    images = torch.stack([views.image(view) for view in range(views.views)]).to(device)
    masks = torch.stack([views.mask(view) for view in range(views.views)]).to(device)
    cameras = views.cameras.to(device)
    if views.mask_meaning == "object":
        return InputViews(images * masks[:, None], masks, torch.ones_like(masks), cameras)
    return InputViews(images, None, masks, cameras)
