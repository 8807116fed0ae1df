"""Where samples along the rays of one view appear in other pictures, and what stands there."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float, Int
from torch import Tensor

from prior3d.cameras import Cameras


@dataclass(frozen=True)
class RayBundle:
    """Rays of wanted views, with distances along them.

    Attributes:
        origins: in the world.
        directions: unit.
        distances: of the samples from the origins.
        axes: the wanted camera's x, y, z as columns.
        scene: the scene's number.
    """

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    distances: Float[Tensor, "rays samples"]
    axes: Float[Tensor, "rays 3 3"]
    scene: Int[Tensor, "rays"]

    def points(self) -> Float[Tensor, "rays samples 3"]:
        """The samples in the world."""
        return self.origins[:, None] + self.distances[..., None] * self.directions[:, None]

    def depths(self, radius: float) -> Float[Tensor, "rays samples"]:
        """Of the samples, from where the ray comes closest to the ball's centre, in radii: -1 .. 1 within the ball."""
        closest = -(self.origins * self.directions).sum(-1, keepdim=True)
        return (self.distances - closest) / radius

    def lines(self, radius: float) -> Float[Tensor, "rays 6"]:
        """Plücker coordinates of the rays in their camera's axes."""
        return plucker(self.turned(self.origins[:, None]), self.turned(self.directions[:, None]), radius)[:, 0]

    def turned(self, vectors: Float[Tensor, "rays vectors 3"]) -> Float[Tensor, "rays vectors 3"]:
        """World vectors in the axes of each ray's camera."""
        return torch.bmm(vectors, self.axes)


@dataclass(frozen=True)
class LookUp:
    """Where samples of rays appear in the pictures of their scene.

    Attributes:
        places: x, y in 0 .. 1 of a picture's width.
        inside: whether the sample is in the picture.
        lines: Plücker coordinates of the picture's ray through it.
        distance: from the picture's camera, less the distance of the ball's centre, in radii.
        cosine: of the angle between the two rays.
        picture: its number among all scenes' pictures, flat.
    """

    places: Float[Tensor, "rays samples views 2"]
    inside: Bool[Tensor, "rays samples views"]
    lines: Float[Tensor, "rays samples views 6"]
    distance: Float[Tensor, "rays samples views"]
    cosine: Float[Tensor, "rays samples views"]
    picture: Int[Tensor, "rays*samples*views"]


@torch.no_grad()
def look_up(bundle: RayBundle, cameras: Cameras, n_views: int, radius: float) -> LookUp:
    """Project samples into every picture of their scene.

    Args:
        bundle: the rays.
        cameras: of the pictures, scene by scene.
        n_views: pictures of each scene.
        radius: of the ball.
    """
    with torch.autocast(bundle.origins.device.type, enabled=False):  # half of a pixel is lost in lower precision
        return _look_up(bundle, cameras, n_views, radius)


def _look_up(bundle: RayBundle, cameras: Cameras, n_views: int, radius: float) -> LookUp:
    points = bundle.points()
    n_rays, n_samples = points.shape[:2]
    picture = bundle.scene[:, None] * n_views + torch.arange(n_views, device=points.device)  # [rays, views]
    pose, focal = cameras.c2w[picture], (cameras.focal_pixels / cameras.height)[picture][:, None]
    relative = points[:, :, None] - pose[:, None, :, :3, 3]  # [rays, samples, views, 3]
    local = torch.einsum("nsvj,nvji->nsvi", relative, pose[..., :3, :3])
    ahead = -local[..., 2]
    scale = focal / ahead.clamp_min(1e-3 * radius)
    aspect = cameras.height / cameras.width
    places = 0.5 + torch.stack([local[..., 0] * scale * aspect, -local[..., 1] * scale], dim=-1)
    inside = (ahead > 0) & ((places - 0.5).abs() <= 0.5).all(-1)
    length = relative.norm(dim=-1)
    towards = relative / length.clamp_min(1e-6)[..., None]
    turned = bundle.turned(towards.flatten(1, 2))
    lines = plucker(bundle.turned(points)[:, :, None].expand_as(relative).flatten(1, 2), turned, radius)
    return LookUp(
        places=places,
        inside=inside,
        lines=lines.view(n_rays, n_samples, n_views, 6),
        distance=(length - pose[..., :3, 3].norm(dim=-1)[:, None]) / radius,
        cosine=(towards * bundle.directions[:, None, None]).sum(-1),
        picture=picture[:, None].expand(-1, n_samples, -1).flatten(),
    )


def plucker(
    points: Float[Tensor, "*lines 3"], directions: Float[Tensor, "*lines 3"], radius: float
) -> Float[Tensor, "*lines 6"]:
    """Plücker coordinates of lines: unit direction, and moment p x d in radii, the same for every p on it."""
    return torch.cat([directions, torch.linalg.cross(points / radius, directions)], dim=-1)


def waves(values: Float[Tensor, "*batch n"], octaves: int) -> Float[Tensor, "*batch n*(1+2*{octaves})"]:
    """Values with the sines and cosines of 1, 2, 4 ... times pi / 2 of them."""
    angles = values[..., None] * (math.pi / 2 * 2.0 ** torch.arange(octaves, device=values.device))
    return torch.cat([values, angles.sin().flatten(-2), angles.cos().flatten(-2)], dim=-1)


def gather(
    maps: Float[Tensor, "maps channels h w"], places: Float[Tensor, "places 2"], number: Int[Tensor, "places"]
) -> Float[Tensor, "places channels"]:
    """Look up maps bilinearly; beyond the border its values go on. Gradients reach the maps, not the places.

    Args:
        maps: any number.
        places: x, y, 0 .. 1 across the whole width and height.
        number: which map.
    """
    height, width = maps.shape[-2:]
    size = places.new_tensor([width, height])
    corner = places * size - 0.5
    corner = torch.minimum(corner.clamp_min(0), size - 1)
    low = torch.minimum(corner.floor(), (size - 2).clamp_min(0))
    (right, below), (x, y) = (corner - low).unbind(-1), low.long().unbind(-1)
    first = (number * height + y) * width + x
    step_x, step_y = int(width > 1), width * int(height > 1)
    index = torch.stack([first, first + step_x, first + step_y, first + step_y + step_x], dim=-1)
    weights = torch.stack([(1 - right) * (1 - below), right * (1 - below), (1 - right) * below, right * below], dim=-1)
    table = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
    return functional.embedding_bag(index, table, mode="sum", per_sample_weights=weights.to(table.dtype))
