"""Grids of a field: encodings of points, which hold its content, and which cells of its box hold anything."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from prior3d.fields.tiled import tiled_lookup
from prior3d.fields.trilinear import sample_grid

# torch-ngp's numbers
DECAY = 0.95  # of a cell's density when it is looked at again
MOST_NEEDED = 10.0  # density (1 / world unit) above which a cell is always drawn
WHOLE_SWEEPS = 16  # first updates, which look at every cell; later ones at half as many
POINTS_AT_ONCE = 2**18


@dataclass(frozen=True)
class DenseGrids:
    """A sum of dense grids, sampled trilinearly. Few parameters and fast on the CPU: the toy preset.

    Attributes:
        resolutions: nodes along each axis, coarsest first; each grid is resampled to the finest, then they are summed.
            With (r - 1) of one a multiple of the one before (17, 33) the coarse grid is represented exactly.
        features: numbers a point gets when a network follows (Field.hidden > 0); without one it is set by the head.
    """

    resolutions: tuple[int, ...] = (17, 33)
    features: int = 16
    kind: Literal["dense"] = "dense"


@dataclass(frozen=True)
class TiledGrid:
    """Multi-resolution tiled grid, tables of bounded size that repeat in space: the paper's (Latent-NeRF, torch-ngp).

    Attributes:
        levels: number of resolutions, in geometric progression from `base` to `finest` cells an axis.
        features: numbers a level gives a point.
        log2_entries: each level's table has at most 2**log2_entries rows.
    """

    levels: int = 16
    features: int = 2
    base: int = 16
    finest: int = 2048
    log2_entries: int = 19
    kind: Literal["tiled"] = "tiled"

    @property
    def cells(self) -> list[int]:
        """Cells along an axis, of each level."""
        growth = (self.finest / self.base) ** (1 / max(self.levels - 1, 1))
        return [round(self.base * growth**level) for level in range(self.levels)]

    @property
    def rows(self) -> list[int]:
        """Rows of each level's table."""
        return [min((cells + 1) ** 3, 2**self.log2_entries) for cells in self.cells]


class DenseEncoding(nn.Module):
    """The parameters of DenseGrids, with `channels` numbers a point."""

    def __init__(self, config: DenseGrids, channels: int, generator: torch.Generator | None = None):
        super().__init__()
        shapes = [(resolution, resolution, resolution, channels) for resolution in config.resolutions]
        self.grids = nn.ParameterList([_small_uniform(shape, generator) for shape in shapes])
        self.finest = max(config.resolutions)
        for index, resolution in enumerate(config.resolutions):
            self.register_buffer(f"resample_{index}", _resampling(resolution, self.finest), persistent=False)
        self.channels = channels

    def merged(self) -> Float[Tensor, "z y x channels"]:
        """[z, y, x, channels]: all grids resampled to the finest resolution and summed."""
        total: Tensor | None = None
        for index, grid in enumerate(self.grids):
            if grid.shape[0] != self.finest:
                matrix = getattr(self, f"resample_{index}")
                # One small matrix product an axis: ten times faster than interpolate() on the CPU.
                grid = torch.einsum("zyxc,Xx->zyXc", grid, matrix)
                grid = torch.einsum("zyxc,Yy->zYxc", grid, matrix)
                grid = torch.einsum("zyxc,Zz->Zyxc", grid, matrix)
            total = grid if total is None else total + grid
        assert total is not None
        return total

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points channels"]:
        """[n, 3] points in [-1, 1] to [n, channels]; differentiable to grids and points; clamped outside."""
        return sample_grid(self.merged(), points)


class TiledEncoding(nn.Module):
    """The parameters of a TiledGrid."""

    def __init__(self, config: TiledGrid, generator: torch.Generator | None = None):
        super().__init__()
        self.cells = config.cells
        self.tables = nn.ParameterList([_small_uniform((count, config.features), generator) for count in config.rows])
        self.channels = config.levels * config.features

    def forward(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points channels"]:
        """[n, 3] points in [-1, 1] to [n, levels * features]; differentiable to tables and points; clamped outside."""
        return tiled_lookup(points, list(self.tables), self.cells)


class OccupancyGrid(nn.Module):
    """Which cells of [-1, 1]^3 hold something; a field is neither asked nor drawn in the others (torch-ngp).

    A cell keeps the highest density that was found in it, less 5 % each time it is looked at. It is occupied if that is
    above the mean of all cells, or above 10. So a field whose density is alike everywhere but in a blob begins as the
    blob alone (Latent-NeRF's released code). Before the first update everything is occupied. nerfacc's grid draws from
    torch's global generator, which a resumed run does not have; so this one is written out.
    """

    density: Float[Tensor, " cells"]
    occupied: Bool[Tensor, " cells"]
    n_updates: Int[Tensor, ""]

    def __init__(self, resolution: int):
        """A grid of `resolution` cells along each axis."""
        super().__init__()
        self.resolution = resolution
        self.register_buffer("density", torch.zeros(resolution**3))
        self.register_buffer("occupied", torch.ones(resolution**3, dtype=torch.bool))
        self.register_buffer("n_updates", torch.zeros((), dtype=torch.int64))

    def forward(self, points: Float[Tensor, "points 3"]) -> Bool[Tensor, " points"]:
        """Whether points [n, 3] lie in occupied cells; outside of [-1, 1]^3 the nearest cell counts."""
        cells = ((points + 1) * (0.5 * self.resolution)).long().clamp(0, self.resolution - 1)
        return self.occupied[(cells[:, 0] * self.resolution + cells[:, 1]) * self.resolution + cells[:, 2]]

    @torch.no_grad()
    def update(
        self, density: Callable[[Float[Tensor, "n 3"]], Float[Tensor, " n"]], generator: torch.Generator
    ) -> None:
        """Look at cells again, each at a random point.

        Args:
            density: points [n, 3] in [-1, 1] to the field's density, also where nothing is occupied.
            generator: on the grid's device; chooses points, and later the cells: a quarter anywhere, a quarter occupied
                ones.
        """
        n_cells, device = len(self.density), self.density.device
        if self.n_updates < WHOLE_SWEEPS:
            cells = torch.arange(n_cells, device=device)
        else:
            known = self.occupied.nonzero()[:, 0]
            anywhere = torch.randint(n_cells, (n_cells // 4,), generator=generator, device=device)
            some = (torch.rand(n_cells // 4, generator=generator, device=device) * len(known)).long()
            cells = torch.cat([anywhere, known[some] if len(known) else anywhere])
        axis = torch.stack([cells // self.resolution**2, cells // self.resolution % self.resolution], -1)
        place = torch.cat([axis, cells[:, None] % self.resolution], -1)
        points = (place + torch.rand(place.shape, generator=generator, device=device)) * (2 / self.resolution) - 1
        found = torch.cat([density(part) for part in points.split(POINTS_AT_ONCE)])
        seen = torch.full_like(self.density, -1.0).scatter_reduce(0, cells, found, "amax")
        self.density.copy_(torch.where(seen < 0, self.density, torch.maximum(self.density * DECAY, seen)))
        self.occupied.copy_(self.density > self.density.mean().clamp(max=MOST_NEEDED))
        self.n_updates += 1


def _small_uniform(shape: tuple[int, ...], generator: torch.Generator | None) -> nn.Parameter:
    """Uniform in (-1e-4, 1e-4), as torch-ngp starts its tables."""
    return nn.Parameter((torch.rand(shape, generator=generator) * 2 - 1) * 1e-4)


def _resampling(coarse: int, fine: int) -> Float[Tensor, "fine coarse"]:
    """[fine, coarse] matrix of linear interpolation between `coarse` and `fine` nodes over the same interval."""
    place = torch.linspace(0, coarse - 1, fine)
    low = place.floor().clamp(max=coarse - 2)
    nodes = torch.arange(coarse)
    return torch.where(nodes == low[:, None], 1 - (place - low)[:, None], 0.0) + torch.where(
        nodes == low[:, None] + 1, (place - low)[:, None], 0.0
    )
