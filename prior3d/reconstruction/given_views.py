"""Images that a person gives, as a joint-view prior takes them: at its size, from cameras that it knows."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras, Orbit
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.images.object_image import ObjectImage
from prior3d.reconstruction.drawn_views import GivenViews, joined, mirrored
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.mirrored_image import LEAST_APART_DEG, LEFT_AND_RIGHT
from prior3d.reconstruction.symmetry import outlines_covered
from prior3d.settings.joint_views import GivenSettings

BALL_RADIUS = 1.0  # of the object's place


def given_image(prior: JointViewsPrior, image: ObjectImage, counted: GivenSettings) -> GivenViews:
    """One image, and its mirror image where another side would show in it.

    Objects face along +x, and most are alike on both sides.
    """
    size, view = prior.image_size, image.viewpoint
    colours, mask = image.premultiplied(size)
    own = GivenViews(
        colours.movedim(-1, 0)[None],
        mask[None],
        prior.orbit(torch.tensor([view.azimuth_deg]), torch.tensor([view.elevation_deg])),
        view.cameras(size),
        torch.tensor([counted.weight]),
    )
    return with_mirror_images(own, counted.mirror_weight)


def given_posed_images(prior: JointViewsPrior, views: InputViews, counted: GivenSettings) -> GivenViews:
    """Posed images with masks, from the directions of their cameras; the prior sees them as from its own distance."""
    small = views.resized(prior.image_size)
    if small.masks is None:
        raise ValueError("posed images without masks cannot be given to a joint-view prior")
    back = small.cameras.c2w[:, :3, 2]
    azimuth_deg = torch.rad2deg(torch.atan2(back[:, 1], back[:, 0])) % 360
    elevation_deg = torch.rad2deg(torch.asin(back[:, 2].clamp(-1, 1)))
    weights = torch.full((len(small.colours),), counted.posed_weight)
    return GivenViews(small.colours, small.masks, prior.orbit(azimuth_deg, elevation_deg), small.cameras, weights)


def with_mirror_images(given: GivenViews, weight: float) -> GivenViews:
    """Images and, behind them, the mirror images of those that show one side more than the other.

    Args:
        given: the images.
        weight: of a mirror image in the fit; 0: there is none.
    """
    apart = _apart_deg(given.orbit) >= LEAST_APART_DEG
    if weight == 0 or not apart.any():
        return given
    cameras = LEFT_AND_RIGHT.mirrored(given.cameras)[apart]
    return GivenViews(
        torch.cat([given.colours, given.colours[apart].flip(-1)]),
        torch.cat([given.masks, given.masks[apart].flip(-1)]),
        joined(given.orbit, mirrored(given.orbit)[apart]),
        Cameras(
            torch.cat([given.cameras.c2w, cameras.c2w]),
            torch.cat([given.cameras.fov_deg, cameras.fov_deg]),
            cameras.height,
            cameras.width,
        ),
        torch.cat([given.weights, torch.full((int(apart.sum()),), weight)]),
    )


def with_agreeing_mirror_images(given: GivenViews, counted: GivenSettings) -> tuple[GivenViews, float]:
    """Posed images and, behind them, their mirror images, which only the fit sees, if the outlines agree with them.

    The prior gains nothing from them: it knows already what is alike on both sides.

    Args:
        given: two or more posed images; of one the outline agrees with many planes.
        counted: the weight of mirror images, and how much of the outlines must agree.

    Returns:
        the images, and the share of the outlines that agrees; 0 where it was not looked at.
    """
    n = len(given.colours)
    if n < 2 or counted.posed_mirror_weight == 0:
        return given, 0.0
    agree = outlines_covered(given.masks, given.cameras, LEFT_AND_RIGHT, BALL_RADIUS)
    if agree < counted.mirror_coverage:
        return given, agree
    return replace(with_mirror_images(given, counted.posed_mirror_weight), n_shown=n), agree


def _apart_deg(orbit: Orbit) -> Float[Tensor, "views"]:
    """Angle between each camera and its mirror image, as seen from the origin."""
    azimuth, elevation = torch.deg2rad(orbit.azimuth_deg), torch.deg2rad(orbit.elevation_deg)
    sideways = elevation.cos() * azimuth.sin()  # the part of a direction that a mirror image turns round
    return torch.rad2deg(2 * torch.asin(sideways.abs().clamp(max=1)))
