"""Views of a capture that are held out from a fit: which they are, and how a field is compared with their photos."""

import numpy as np
from jaxtyping import Float32

from prior3d.captures.posed import PosedViews
from prior3d.errors import Prior3dError
from prior3d.fields.scene_field import SceneField
from prior3d.rendering.scene import occupied_cells, render_scene_view


def split_views(n_views: int, held_out_every: int) -> tuple[list[int], list[int]]:
    """Split a capture's views, in their order, into held-out ones and ones to fit to.

    Args:
        n_views: of the capture.
        held_out_every: one view of so many is held out, beginning with the first; 0 holds out none.

    Returns:
        Indices of the held-out views, and of the others; both rise.

    Raises:
        Prior3dError: no view is left to fit to.
    """
    held_out = [view for view in range(n_views) if held_out_every and view % held_out_every == 0]
    training = [view for view in range(n_views) if view not in set(held_out)]
    if not training:
        raise Prior3dError(
            f"held_out_every: {held_out_every} leaves none of {n_views} views to fit to; set it to 0 or larger"
        )
    return held_out, training


def evenly_chosen(indices: list[int], most: int) -> list[int]:
    """At most `most` of the indices, evenly spread; all of them if they are no more."""
    return [indices[k * len(indices) // most] for k in range(most)] if len(indices) > most else indices


def counting_views(views: PosedViews, chosen: list[int]) -> list[int]:
    """Those of some views of which a pixel counts.

    Raises:
        Prior3dError: there are views, but none of them counts.
    """
    counting = [view for view in chosen if views.counts(view)]
    if chosen and not counting:
        raise Prior3dError(
            f"the masks of all {len(chosen)} images that are measured are black everywhere, so there is nothing to "
            "compare; give masks that are white where the images are to be used, or change held_out_every"
        )
    return counting


def render_and_photo(
    views: PosedViews, field: SceneField, view: int, n_bins: int, background: float = 1.0
) -> tuple[Float32[np.ndarray, "height width 3"], Float32[np.ndarray, "height width 3"]]:
    """What the field shows of a view, and the photo.

    Args:
        views: the capture.
        field: fitted to it.
        view: index in the capture.
        n_bins: coarse intervals of a ray.
        background: grey level behind an object that masks cut out. Pixels that masks exclude are the render's in both.
    """
    cameras = views.cameras[view].to(field.rows.device)
    rendered, _, _ = render_scene_view(field, cameras, n_bins, occupied_cells(field), background)
    photo = views.over(view, background)
    if views.mask_meaning == "ignore":
        mask = views.mask(view)
        photo = photo * mask + rendered[0].cpu().movedim(-1, 0) * (1 - mask)
    return rendered[0].clamp(0, 1).cpu().numpy(), photo.movedim(0, -1).numpy()
