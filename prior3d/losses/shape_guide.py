"""A rough shape that a radiance field is drawn towards (Metzer et al. 2023, section 3.3, Sketch-Shape).

Inside or outside, and the distance to the surface, are computed once into a grid (`prior3d.meshes.winding`) and looked
up in every step.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.fields.trilinear import sample_grid

CERTAIN = 0.99  # the shape's occupancy is taken as 0.01 outside and 0.99 inside, so that its logarithm is finite
STEP = 0.2  # world units of a ray whose opacity is compared with the occupancy, as in the released code


@dataclass(frozen=True)
class ShapeGuide:
    """A shape on a grid whose corner nodes lie on the corners of [-bound, bound]^3.

    Attributes:
        grid: [z, y, x, 2] winding number and distance to the surface in world units, float32.
        bound: half the side of the box, in world units.
    """

    grid: Float[Tensor, "z y x 2"]
    bound: float

    def look_up(self, points: Float[Tensor, "points 3"]) -> tuple[Bool[Tensor, "points"], Float[Tensor, "points"]]:
        """Whether points [n, 3] are inside [n] (bool), and their distances to the surface [n]; no gradient."""
        with torch.no_grad():
            found = sample_grid(self.grid, points.detach() / self.bound)
        return found[:, 0] > 0.5, found[:, 1]

    def to(self, device: torch.device | str) -> "ShapeGuide":
        """The same guide on `device`."""
        return ShapeGuide(self.grid.to(device), self.bound)


def shape_loss(
    density: Float[Tensor, "points"],
    points: Float[Tensor, "points 3"],
    guide: ShapeGuide,
    proximal_surface: float,
    shares: Float[Tensor, "points"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over points of the cross-entropy between the field's occupancy and the shape's, less near its surface.

    The occupancy is p = 1 - exp(-0.2 density), the shape's is q = 0.99 inside and 0.01 outside; as q is constant, the
    term -p ln q - (1 - p) ln(1 - q) is linear in p with slope -4.595 inside and +4.595 outside. Its weight
    1 - exp(-d^2 / (2 s^2)) is 0 on the surface, which is left free. The paper sums where this takes the mean.

    Args:
        density: [n] in 1 / world unit; the gradient goes here, wherever the points are.
        points: [n, 3] world.
        guide: the shape.
        proximal_surface: s, in world units; 0 gives every point the weight 1.
        shares: [n] of what the points stand for (`ray_shares`), where they do not stand for the same; at most 1 in all.
    """
    inside, distance = guide.look_up(points)
    occupancy = 1 - torch.exp(-STEP * density)
    q = torch.where(inside, CERTAIN, 1 - CERTAIN)
    cross_entropy = -occupancy * q.log() - (1 - occupancy) * (1 - q).log()
    if proximal_surface > 0:
        cross_entropy = cross_entropy * -torch.expm1(-(distance**2) / (2 * proximal_surface**2))
    return cross_entropy.mean() if shares is None else (cross_entropy * shares).sum()
