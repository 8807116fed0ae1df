"""Symmetric completion: one image of a thing that no prior knows becomes a whole body, and a field that starts as it.

The outline is blown up to a body of round cross-sections that stays inside the image's cone of sight. The image's
colours lie on its front, and what its outer parts show goes on round its back (`back_colours`). A short fit to the
image and to the body's own renders ends it.
"""

import math
from dataclasses import dataclass

import torch

from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.errors import Prior3dError
from prior3d.fields import DenseGrids, FieldConfig, ObjectField
from prior3d.fields.grids import DenseEncoding
from prior3d.images.object_image import ObjectImage, Viewpoint
from prior3d.reconstruction.body import Body, OtherOutlines
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.sparse_fit import SparseFit
from prior3d.reconstruction.view_targets import ViewTargets
from prior3d.rendering.background import render_images
from prior3d.seeds import Seeds
from prior3d.settings.completion import CompletionSettings

FRAME_WIDTH = 2.3294  # world units that the image's square shows at the object's distance, where no camera is known
SOLID_LOGIT, EMPTY_LOGIT = 6.5, -4.0  # of the density inside and outside
N_RING, RADIUS, FOV_DEG = 12, 3.2, 40.0  # views of the body for the fit: a ring at two heights, and four others
RING_ELEVATIONS_DEG = (5.0, 30.0)
OTHER_VIEWS_DEG = ((0.0, 65.0), (180.0, 65.0), (90.0, -20.0), (270.0, -20.0))  # azimuth, elevation


@dataclass(frozen=True)
class Completion:
    """A body, and what a field is fitted to.

    Attributes:
        body: the solid.
        field: starts as the body.
        views: the image, then renders of the body; colours are premultiplied, weights say how much each view counts.
    """

    body: Body
    field: ObjectField
    views: InputViews


def unknown_camera(settings: CompletionSettings, azimuth_deg: float = 0.0) -> Viewpoint:
    """The camera that an image is taken to have if nothing is known of it: far away, a little above."""
    radius = FRAME_WIDTH / 2 / math.tan(math.radians(settings.fov_deg) / 2)
    return Viewpoint(azimuth_deg, settings.elevation_deg, settings.fov_deg, radius)


def complete(
    image: ObjectImage, settings: CompletionSettings, seeds: Seeds, others: OtherOutlines | None = None
) -> Completion:
    """Make a whole body of one image, a field that starts as it, and the views that the field is to be fitted to.

    Args:
        image: cut out, with its camera; `unknown_camera` gives one where none is known.
        settings: of body, colours and views.
        seeds: "field" is drawn here.
        others: outlines from other sides that trim the body.

    Raises:
        Prior3dError: the thing reaches out of the box [-1, 1]^3 that a field fills.

    Example:
        >>> completion = complete(replace(image, viewpoint=unknown_camera(settings)), settings, seeds)
        >>> fit = completion_fit(completion, settings, seeds)
        >>> fit.run(settings.steps, checkpoint, monitor)
    """
    body = Body(image, settings, others)
    field = body_field(body, settings.fit.resolutions, seeds)
    cameras = round_cameras(image.viewpoint.azimuth_deg, settings.view_size)
    colours, masks = render_images(field, cameras, settings.fit.n_samples, None)
    own_colours, own_mask = image.premultiplied(settings.view_size)
    own = image.viewpoint.cameras(settings.view_size)
    weights = torch.cat([torch.tensor([settings.image_weight]), torch.ones(cameras.views)])
    views = InputViews(
        torch.cat([own_colours.movedim(-1, 0)[None], colours]),
        torch.cat([own_mask[None], masks]),
        weights[:, None, None].expand(-1, settings.view_size, settings.view_size),
        Cameras(torch.cat([own.c2w, cameras.c2w]), torch.cat([own.fov_deg, cameras.fov_deg]), own.height, own.width),
    )
    return Completion(body, field, views)


def completion_fit(
    completion: Completion, settings: CompletionSettings, seeds: Seeds, device: torch.device | str = "cpu"
) -> SparseFit:
    """The fit that ends a completion.

    `run(settings.steps, checkpoint, monitor)` carries it out and goes on at its checkpoint; then `field` is the result.

    Args:
        completion: where it begins, and its views.
        settings: of the fit.
        seeds: "rays", "samples", "behind" and "neighbours" are drawn here.
        device: where the field is to be fitted.
    """
    views = completion.views
    targets = ViewTargets(views.cameras.to(device), masked=True)
    targets.put(slice(None), views.colours, views.masks, views.weights)
    return SparseFit(completion.field.to(device), targets, settings.fit, seeds)


@torch.no_grad()
def body_field(body: Body, resolutions: tuple[int, ...], seeds: Seeds) -> ObjectField:
    """A field of dense grids that begins as a body: its finest grid holds it, the others are empty."""
    config = FieldConfig(
        encoding=DenseGrids(resolutions), head="rgb", channels=3, density_bias=-2.0, blob_density=0.0, ball_radius=1.75
    )
    field = ObjectField(config, seeds.generator("field"))
    write_body(field, body)
    return field


@torch.no_grad()
def write_body(field: ObjectField, body: Body) -> None:
    """Make a field of dense grids, without a network, show a body."""
    config, encoding = field.config, field.encoding
    if not isinstance(encoding, DenseEncoding) or config.hidden or config.head != "rgb":
        raise Prior3dError(
            "completion: a body can be written into dense grids that hold colours, without a network, only; "
            "set encoding=dense and hidden=0"
        )
    nodes = encoding.finest
    occupied, colours = body.on_grid(nodes)
    axis = torch.linspace(-config.bound, config.bound, nodes)
    squared = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    start = config.density_bias + config.blob_density * torch.exp(-squared / (2 * config.blob_radius**2))
    logit = EMPTY_LOGIT + (SOLID_LOGIT - EMPTY_LOGIT) * (occupied * 14 / 10.5).clamp(0, 1)
    for grid in encoding.grids:
        grid.zero_()
    finest = next(grid for grid in encoding.grids if len(grid) == nodes)
    finest[..., 0] = (logit - start).to(finest)
    finest[..., 1:] = colours.clamp(0.02, 0.98).logit().to(finest)


def round_cameras(azimuth_deg: float, size: int) -> Cameras:
    """The views of a body that a field is fitted to, counted from the image's azimuth."""
    ring = [(360.0 / N_RING * i, RING_ELEVATIONS_DEG[i % 2]) for i in range(N_RING)]
    azimuths, elevations = torch.tensor([*ring, *OTHER_VIEWS_DEG]).unbind(-1)
    fill = torch.ones_like(azimuths)
    return orbit_cameras(Orbit((azimuths + azimuth_deg) % 360, elevations, RADIUS * fill, FOV_DEG * fill), size, size)
