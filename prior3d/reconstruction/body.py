"""A solid with colours from one image: round cross-sections inside the image's cone of sight."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.errors import Prior3dError
from prior3d.images.object_image import ObjectImage
from prior3d.reconstruction.back_colours import RoundColours, sampled
from prior3d.reconstruction.outline import outline_of
from prior3d.settings.completion import CompletionSettings

THINNEST = 0.3  # pixels: what is thinner is nothing
POINTS_AT_ONCE = 2**17


@dataclass(frozen=True)
class OtherOutlines:
    """Outlines from other sides that trim a body, as a prior draws them when a person names the thing.

    Attributes:
        masks: in [0, 1].
        cameras: of the masks.
    """

    masks: Float[Tensor, "views h w"]
    cameras: Cameras


class Body:
    """A solid with colours, from one image.

    Args:
        image: cut out, with its camera.
        settings: of shape, colours.
        others: outlines of other views that trim it, but for a core; None: the image's alone.

    Raises:
        Prior3dError: the thing reaches out of the box [-1, 1]^3 that a field fills.
    """

    def __init__(self, image: ObjectImage, settings: CompletionSettings, others: OtherOutlines | None = None) -> None:
        size = settings.body.size
        colours, mask = square_of(image, size)
        self.viewpoint, self.others, self.core = image.viewpoint, others, settings.body.core
        self.camera = image.viewpoint.cameras(size)
        self.pixel = 2 * image.viewpoint.radius * math.tan(math.radians(image.viewpoint.fov_deg) / 2) / size
        check_fits(mask, self.pixel)
        outline = outline_of(mask.numpy() > 0.5, settings.body)
        self.mask, self.half = mask, torch.from_numpy(outline.half_depth).float()
        self.colours = RoundColours(colours, mask, outline, settings.back)
        azimuth = math.radians(image.viewpoint.azimuth_deg)
        self.ahead = torch.tensor([math.cos(azimuth), math.sin(azimuth), 0.0])

    def __call__(self, points: Float[Tensor, "points 3"]) -> tuple[Float[Tensor, "points"], Float[Tensor, "points 3"]]:
        """Occupancy in [0, 1] and colours of points; the occupancy falls over two pixels at the surface."""
        depth = points @ self.ahead
        seen, flat = places(self.camera, points), places(self.camera, points - depth[:, None] * self.ahead)
        depth = depth / self.pixel
        half = sampled(self.half[None], flat)[:, 0]
        solid = (half > THINNEST).float()

        def within(reach: Float[Tensor, "points"]) -> Float[Tensor, "points"]:
            return ((reach - depth.abs()).clamp(-1, 1) * 0.5 + 0.5) * solid

        occupied = torch.minimum(within(half), sampled(self.mask[None], seen)[:, 0])
        if self.others is not None:
            hull = torch.maximum(hull_of(self.others, points), within(self.core * half))
            occupied = torch.minimum(occupied, hull)
        deep = depth / half.clamp_min(THINNEST)
        front = ((deep + 0.25) / 0.7).clamp(0, 1)[:, None]
        return occupied, self.colours(flat + front * (seen - flat), deep)

    @torch.no_grad()
    def on_grid(self, nodes: int) -> tuple[Float[Tensor, "z y x"], Float[Tensor, "z y x 3"]]:
        """Occupancy and colours at the nodes of a grid over [-1, 1]^3."""
        axis = torch.linspace(-1, 1, nodes)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        pieces = [self(piece) for piece in torch.stack([x, y, z], -1).view(-1, 3).split(POINTS_AT_ONCE)]
        occupied, colours = (torch.cat(parts) for parts in zip(*pieces, strict=True))
        return occupied.view(nodes, nodes, nodes), colours.view(nodes, nodes, nodes, 3)


def square_of(image: ObjectImage, size: int) -> tuple[Float[Tensor, "3 size size"], Float[Tensor, "size size"]]:
    """Colours, not multiplied by the mask, and mask of an image at another size."""
    colours, mask = image.premultiplied(size)
    return (colours / mask[..., None].clamp_min(1e-3)).clamp(0, 1).movedim(-1, 0), mask


def check_fits(mask: Float[Tensor, "h w"], pixel: float) -> None:
    """Hold that an outline lies inside the box that a field fills (raises Prior3dError)."""
    rows, columns = torch.nonzero(mask > 0.5).unbind(-1)
    middle = (len(mask) - 1) / 2
    farthest = float(torch.cat([(rows - middle).abs(), (columns - middle).abs()]).max()) * pixel
    if farthest > 1:
        raise Prior3dError(
            f"completion: the thing in the image reaches {farthest:.2f} world units from the middle, the field ends at "
            "1. Give an image with a wider margin, or leave out --camera, so that the object is put in the middle."
        )


def places(camera: Cameras, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 2"]:
    """Column and row of points in one camera's image, in pixels; whole numbers are centres of pixels."""
    local = (points - camera.c2w[0, :3, 3]) @ camera.c2w[0, :3, :3]
    across = torch.stack([local[:, 0], -local[:, 1]], -1) / -local[:, 2:].clamp_max(-1e-3)
    return across * camera.focal_pixels[0] + torch.tensor([camera.width, camera.height]) / 2 - 0.5


def hull_of(others: OtherOutlines, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
    """The least mask of other views at points."""
    seen = [
        sampled(mask[None], places(others.cameras[view].resized(*mask.shape), points))[:, 0]
        for view, mask in enumerate(others.masks)
    ]
    return torch.stack(seen).amin(0)
