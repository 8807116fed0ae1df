"""The field of a captured scene: values at the nodes of a grid, of which only those near surfaces are kept.

Colour depends on the direction of view by low spherical harmonics (Yu et al. 2022, Plenoxels). An unbounded scene lies
in the contracted cube [-2, 2]^3: what is outside [-1, 1]^3 is drawn in by x -> (2 - 1 / |x|) x / |x| (Barron et al.
2022, mip-NeRF 360, eq. 10, with the largest coordinate as the norm, so that the cube is filled).
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from torch import Tensor, nn

from prior3d.cameras import spherical_harmonics
from prior3d.fields.trilinear import corners, weighted_rows
from prior3d.sending import sent

DENSITY_SCALE = 40.0  # density, in 1 / world unit, of a softplus of 1
EMPTY_LOGIT = -9.0  # of nodes that are not kept: a density of 0.005
START_LOGIT = -5.0


@dataclass(frozen=True)
class SceneFieldConfig:
    """What a scene's field is made of; with the tensors it is the whole field.

    Attributes:
        resolution: nodes along each axis.
        contracted: whether the grid is the contracted space's, of side 4; else the box's.
        sh_degree: of the colour's dependence on the direction, 0 to 2.
        bound: half the side of the box whose content is an object, in world units; 1 if contracted.
        ball_radius: as in FieldConfig; nothing is cut off.
        head: always colours.
    """

    resolution: int
    contracted: bool = False
    sh_degree: int = 1
    bound: float = 1.0
    ball_radius: float = 1e3
    head: Literal["rgb"] = "rgb"
    kind: Literal["scene"] = "scene"

    @property
    def near_plane(self) -> float:
        """Of the box; a contracted scene has its own (`prior3d.rendering.scene`)."""
        return 0.0

    @property
    def n_coefficients(self) -> int:
        """Spherical harmonics a colour channel."""
        return int((self.sh_degree + 1) ** 2)


def contract(points: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points 3"]:
    """Points [..., 3] of all space into [-2, 2]^3; [-1, 1]^3 stays as it is."""
    norm = points.abs().amax(-1, keepdim=True).clamp_min(1.0)
    return points * (2 - 1 / norm) / norm


class SceneField(nn.Module):
    """A scene's field.

    Example:
        >>> field = SceneField(SceneFieldConfig(resolution=9))
        >>> density, colours = field(torch.zeros(1, 3))
        >>> colours.shape
        torch.Size([1, 3])
    """

    rows: Int[Tensor, "nodes"]
    seen: Float[Tensor, "cells"]

    def __init__(self, config: SceneFieldConfig, rows: Int[Tensor, "nodes"] | None = None):
        """Begin with thin grey fog.

        Args:
            config: what it is made of.
            rows: [resolution^3] int64, the row of each node's values, 0 for nodes that are not kept; all are by
                default.
        """
        super().__init__()
        self.config = config
        count = config.resolution**3
        rows = torch.arange(1, count + 1) if rows is None else rows
        n = int(rows.max()) + 1
        self.register_buffer("rows", rows)
        self.density_logits = nn.Parameter(torch.full((n, 1), START_LOGIT))
        self.colours = nn.Parameter(torch.zeros(n, 3 * config.n_coefficients))
        self.sky = nn.Parameter(torch.zeros(3, 9))
        self.register_buffer("seen", torch.zeros((config.resolution - 1) ** 3))
        with torch.no_grad():
            self.density_logits[0] = EMPTY_LOGIT
        for table in (self.density_logits, self.colours):
            table.register_hook(_without_first_row)

    def forward(self, points: Float[Tensor, "points 3"]) -> tuple[Float[Tensor, "points"], Float[Tensor, "points 3"]]:
        """Density [n] (1 / world unit) and the colour [n, 3] that all directions have in common, at points [n, 3]."""
        places = self.lookup(points)
        colours = weighted_rows(self.colours, *places).view(len(points), 3, self.config.n_coefficients)[..., 0]
        return self.densities(places), colours.sigmoid()

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density [n] at points [n, 3]."""
        return self.densities(self.lookup(points))

    def lookup(self, points: Float[Tensor, "points 3"]) -> tuple[Int[Tensor, "points 8"], Float[Tensor, "points 8"]]:
        """The eight rows round each point [n, 3] and their weights, each [n, 8]."""
        nodes, weights = corners(self.grid_coordinates(points), self.config.resolution)
        return self.rows[nodes], weights

    def densities(self, places: tuple[Int[Tensor, "points 8"], Float[Tensor, "points 8"]]) -> Float[Tensor, "points"]:
        """Density [n] at what `lookup` found."""
        return DENSITY_SCALE * functional.softplus(weighted_rows(self.density_logits, *places)[:, 0])

    def seen_colours(
        self, places: tuple[Int[Tensor, "points 8"], Float[Tensor, "points 8"]], directions: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points 3"]:
        """Colours [n, 3] at what `lookup` found, looked at along unit directions [n, 3]."""
        values = weighted_rows(self.colours, *places).view(len(directions), 3, self.config.n_coefficients)
        return (values * spherical_harmonics(directions, self.config.sh_degree)[:, None]).sum(-1).sigmoid()

    def sky_colours(self, directions: Float[Tensor, "directions 3"]) -> Float[Tensor, "directions 3"]:
        """Colours [n, 3] infinitely far away along unit directions [n, 3]."""
        return (spherical_harmonics(directions, 2) @ self.sky.T).sigmoid()

    def grid_coordinates(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
        """Points [n, 3] in units of cells."""
        config = self.config
        inside = contract(points) / 2 if config.contracted else points / config.bound
        return (inside + 1) * (0.5 * (config.resolution - 1))

    def cells(self, points: Float[Tensor, "points 3"]) -> Int[Tensor, "points"]:
        """[n] the cell of each point; those outside of a box belong to the cells at its sides."""
        n = self.config.resolution - 1
        x, y, z = self.grid_coordinates(points).long().clamp_(0, n - 1).unbind(-1)
        return (z * n + y) * n + x

    def active_nodes(self) -> Int[Tensor, "nodes"]:
        """[n] nodes that are kept, without those on the far sides, which have no neighbour beyond."""
        resolution = self.config.resolution
        node = (self.rows > 0).nonzero()[:, 0]
        last = resolution - 1
        inner = (node % resolution < last) & (node // resolution % resolution < last) & (node // resolution**2 < last)
        return node[inner]

    def upsample(self, resolution: int, least_weight: float) -> "SceneField":
        """The same content on a finer grid, without cells that no ray saw much of, nor of a neighbour.

        Args:
            resolution: nodes along each axis of the new grid.
            least_weight: what a cell's greatest weight in any pixel must reach for it to be kept.
        """
        n = self.config.resolution - 1
        kept = (self.seen >= least_weight).view(1, 1, n, n, n).float()
        kept = functional.max_pool3d(kept, 3, stride=1, padding=1)
        fine_nodes = functional.interpolate(kept, (resolution - 1,) * 3, mode="nearest")
        occupied = functional.max_pool3d(functional.pad(fine_nodes, (1,) * 6), 2, stride=1)[0, 0] > 0
        rows = torch.where(occupied, occupied.flatten().cumsum(0).view_as(occupied), 0).flatten()
        field = SceneField(replace(self.config, resolution=resolution), rows).to(self.rows.device)
        node = occupied.flatten().nonzero()[:, 0]
        axes = [node % resolution, node // resolution % resolution, node // resolution**2]
        places = corners(torch.stack(axes, -1) * (n / (resolution - 1)), n + 1)
        here = (self.rows[places[0]], places[1])
        with torch.no_grad():
            field.density_logits[1:] = weighted_rows(self.density_logits, *here)
            field.colours[1:] = weighted_rows(self.colours, *here)
            field.sky.copy_(self.sky)
        return field


def _without_first_row(gradient: Float[Tensor, "rows channels"]) -> Float[Tensor, "rows channels"]:
    """Row 0 stands for all nodes that are not kept; it does not learn."""
    gradient = gradient.clone()
    gradient[0] = 0
    return gradient


def grid_total_variation(
    field: SceneField,
    nodes: Int[Tensor, "nodes"],
    generator: torch.Generator,
    n_nodes: int = 16_384,
    start: Float[Tensor, "rows channels"] | None = None,
) -> Float[Tensor, ""]:
    """Mean difference of random nodes to their neighbours along the axes: 0.1 per density logit, squared of colours.

    Args:
        field: the scene.
        nodes: [n] to draw from, of `SceneField.active_nodes`.
        generator: on the CPU.
        n_nodes: how many are drawn.
        start: colours that may be as rough as they are: only what was added to them counts.
    """
    node = nodes[sent(torch.randint(len(nodes), (n_nodes,), generator=generator), nodes.device)]
    resolution = field.config.resolution
    total = field.density_logits.new_zeros(())
    here = field.rows[node]
    for step in (1, resolution, resolution**2):
        there = field.rows[node + step]
        both = (there > 0).nonzero()[:, 0]
        first, second = here[both], there[both]
        logits = (field.density_logits[first] - field.density_logits[second]).abs().sum()
        difference = field.colours[first] - field.colours[second]
        if start is not None:
            difference = difference - (start[first] - start[second])
        colours = difference.square().mean(-1).sum()
        total = total + (0.1 * logits + colours) / n_nodes
    return total
