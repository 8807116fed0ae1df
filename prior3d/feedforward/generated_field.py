"""A field whose grid a network has made: the gradient of its renders reaches the network."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.fields.grids import DenseGrids
from prior3d.fields.object_field import FieldConfig, ObjectField
from prior3d.fields.trilinear import sample_grid


class GivenGrid(nn.Module):
    """An encoding that looks up a grid it is given, and owns no parameter."""

    def __init__(self, grid: Float[Tensor, "z y x channels"]) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points channels"]:
        """[n, 3] points in [-1, 1] to [n, channels], differentiable to the grid."""
        return sample_grid(self.grid, points)


def generated_config(nodes: int) -> FieldConfig:
    """What a generated field is made of: one grid in colour, and a blob of density that training begins with."""
    return FieldConfig(
        encoding=DenseGrids((nodes,)), head="rgb", channels=3, density_bias=-2.0, blob_density=4.0, blob_radius=0.4
    )


class GeneratedField(ObjectField):
    """An `ObjectField` on a given grid."""

    def __init__(self, grid: Float[Tensor, "nodes nodes nodes 4"]) -> None:
        """Take the grid as it is: density's logarithm, then logits of red, green and blue."""
        nn.Module.__init__(self)  # ObjectField would make a grid of its own
        self.config, self.network, self.occupancy = generated_config(len(grid)), nn.Identity(), None
        self.encoding = GivenGrid(grid)  # type: ignore[assignment]


@torch.no_grad()
def kept_field(grid: Float[Tensor, "nodes nodes nodes 4"]) -> ObjectField:
    """The same field with its grid as a parameter, which can be saved, fitted further and meshed."""
    field = ObjectField(generated_config(len(grid)))
    next(field.encoding.parameters()).copy_(grid)
    return field
