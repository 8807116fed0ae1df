"""Outlines of a body's other sides as a joint-view prior draws them, for things that a person names.

The body was completed from one image of something that the prior does not know. Renders of it are taken to a noise
level and denoised with the person's words (SDEdit, Meng et al. 2022). Only the outlines are kept: the prior's colours
are its own world's.
"""

import torch
import torch.nn.functional as functional

from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.fields import RadianceField
from prior3d.reconstruction.body import OtherOutlines
from prior3d.reconstruction.drawn_views import Artist, GivenViews, background_for_images, cut_out, directions
from prior3d.rendering.background import render_images
from prior3d.settings.joint_views import DrawingSettings, OutlineSettings

AROUND_DEG = tuple((45.0 * i, (10.0, 25.0)[i % 2]) for i in range(1, 8))  # from the image's camera
WIDENED = 3  # pixels across which an outline is widened, so that it trims less than it shows


def redrawn_outlines(
    prior: JointViewsPrior,
    text: str,
    given: GivenViews,
    body: RadianceField,
    settings: OutlineSettings,
    n_samples: int,
    generator: torch.Generator,
) -> OtherOutlines:
    """Outlines from seven sides.

    Args:
        prior: the joint-view prior; it must take given views.
        text: what a person calls the thing.
        given: the image.
        body: what was completed from it.
        settings: of the drawing.
        n_samples: samples along a ray of the body's renders.
        generator: draws the noise.
    """
    behind, first_deg = background_for_images(given), float(given.orbit.azimuth_deg[0])
    wanted = directions(prior, [(first_deg + azimuth_deg, height_deg) for azimuth_deg, height_deg in AROUND_DEG])
    cameras = prior.cameras(wanted)
    artist = Artist(prior, text, behind, DrawingSettings(num_inference_steps=settings.num_inference_steps), generator)
    start = render_images(body, cameras, n_samples, behind.level)[0]
    images = artist.draw(wanted, given.over(behind.level), given.orbit, settings.n_sets, start, settings.strength)
    sets = [cut_out(part, cameras, behind).masks for part in images.chunk(settings.n_sets)]
    masks = torch.stack([mask for mask in sets if mask is not None])
    generous = (masks.amax(0) + masks.mean(0)) / 2
    return OtherOutlines(functional.max_pool2d(generous[:, None], WIDENED, 1, WIDENED // 2)[:, 0], cameras)
