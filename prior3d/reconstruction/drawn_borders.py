"""Masks of drawings whose background the prior chose itself, as MVDream does: told from each drawing's own border."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.images.colours import estimate_alpha
from prior3d.images.segmentation import border_of, foreground_mask
from prior3d.reconstruction.input_views import InputViews

LEAST_TOLD = 0.5  # of the drawings: with fewer, there is no object to fit to
OUTSIDE = 0.5  # mask below which a pixel of the border is background


def cut_out_by_borders(images: Float[Tensor, "views 3 height width"], cameras: Cameras) -> InputViews:
    """Drawings as images with masks, premultiplied, all of weight 1; without those whose object cannot be told.

    Args:
        images: in [0, 1].
        cameras: a view each.

    Raises:
        Prior3dError: in more than half of them no object can be told from the background.
    """
    found: dict[int, tuple[Tensor, Tensor]] = {}
    reason = ""
    for view, image in enumerate(images):
        pixels = image.movedim(0, -1).float().cpu().numpy()
        try:
            mask = foreground_mask(pixels)[0].astype(np.float32)
        except Prior3dError as error:
            reason = str(error).partition(". ")[0]
            continue
        outside = border_of(mask[..., None])[:, 0] < OUTSIDE
        behind = np.median(border_of(pixels)[outside], axis=0)
        found[view] = torch.from_numpy(mask), torch.from_numpy(behind)
    if len(found) < LEAST_TOLD * len(images):
        raise Prior3dError(
            f"in {len(images) - len(found)} of {len(images)} drawn views {reason}; use words that the prior knows, "
            "another --seed, or raise joint_views.drawing.num_inference_steps"
        )
    masks, behind = (torch.stack(part).to(images) for part in zip(*found.values(), strict=True))
    kept, level = images[list(found)], behind[:, :, None, None]
    masks = estimate_alpha(kept - level, masks, 0.0)
    alpha = masks[:, None]
    colours = torch.minimum((kept - (1 - alpha) * level).clamp_min(0), alpha)
    return InputViews(colours, masks, torch.ones_like(masks), cameras[torch.tensor(list(found))].to(images.device))
