"""The radiance field: a point gives a density and either latent features or a colour.

Density is exp(h + blob(x)) with the blob of Latent-NeRF (a Gaussian added to the logit), zero outside the
box [-bound, bound]^3 and outside a ball. Colour does not depend on the direction of view, as in all methods here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from prior3d.fields.grids import DenseEncoding, DenseGrids, OccupancyGrid, TiledEncoding, TiledGrid
from prior3d.sending import sent

FEW_POINTS = 2**16
OCCUPANCY_EVERY = 16  # steps between two updates of the occupancy grid (torch-ngp)


@dataclass(frozen=True)
class FieldConfig:
    """What a field is made of; with the tensors it is the whole field.

    Attributes:
        encoding: DenseGrids (fast on the CPU) or TiledGrid (the paper's).
        head: "latent" (raw linear values) or "rgb" (sigmoid).
        channels: values a point has: 4 for Stable-Diffusion-like latents, 3 for rgb.
        hidden: width of a network of three linear layers after the encoding (paper: 64); 0: the grid holds the values.
        activation: of the density logit; "trunc_exp" (gradient clamped) or "softplus".
        density_bias: added to the logit everywhere; negative starts with empty space round the blob.
        blob_density: height of the Gaussian on the logit at the origin (paper: 5).
        blob_radius: its standard deviation in world units (paper: 0.2).
        bound: half the side of the box, in world units.
        ball_radius: nothing exists farther from the origin; sqrt(3) * bound or more leaves only the box.
        near_plane: nothing is drawn nearer to a camera, in world units.
        occupancy_resolution: cells along an axis of the grid that says where the field is empty; 0: no such grid.
        occupied_samples: samples that a ray has where that grid is not empty, in place of those everywhere; 0: all.
    """

    encoding: DenseGrids | TiledGrid = field(default_factory=DenseGrids)
    head: Literal["latent", "rgb"] = "latent"
    channels: int = 4
    hidden: int = 0
    activation: Literal["trunc_exp", "softplus"] = "trunc_exp"
    density_bias: float = 0.0
    blob_density: float = 5.0
    blob_radius: float = 0.2
    bound: float = 1.0
    ball_radius: float = 1.2
    near_plane: float = 0.0
    occupancy_resolution: int = 0
    occupied_samples: int = 0


class _TruncatedExp(torch.autograd.Function):
    """exp whose gradient uses the input clamped at 15, so that one hot cell does not blow up a step (torch-ngp)."""

    @staticmethod
    def forward(ctx: Any, logit: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        ctx.save_for_backward(logit)
        return logit.clamp(max=60.0).exp()

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        (logit,) = ctx.saved_tensors
        passed: Tensor = gradient * logit.clamp(max=15.0).exp()
        return passed


def trunc_exp(logit: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
    """exp(logit), with the gradient exp(min(logit, 15))."""
    value: Tensor = _TruncatedExp.apply(logit)
    return value


class ObjectField(nn.Module):
    """A radiance field in the box [-bound, bound]^3.

    Example:
        >>> field = ObjectField(FieldConfig())
        >>> density, features = field(torch.zeros(1, 3))
        >>> density.shape, features.shape
        (torch.Size([1]), torch.Size([1, 4]))
    """

    def __init__(self, config: FieldConfig, generator: torch.Generator | None = None):
        """Build a field at its start: small random content under the blob.

        Args:
            config: what it is made of.
            generator: on the CPU, for the start; without one the global generator is used.
        """
        super().__init__()
        self.config = config
        outputs = 1 + config.channels
        encoding = config.encoding
        if isinstance(encoding, TiledGrid):
            self.encoding: DenseEncoding | TiledEncoding = TiledEncoding(encoding, generator)
        else:
            self.encoding = DenseEncoding(encoding, encoding.features if config.hidden else outputs, generator)
        needs_network = config.hidden > 0 or isinstance(encoding, TiledGrid)
        width = config.hidden or 64
        self.network = _network(self.encoding.channels, width, outputs, generator) if needs_network else nn.Identity()
        self.occupancy = OccupancyGrid(config.occupancy_resolution) if config.occupancy_resolution else None

    def forward(
        self, points: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points channels"]]:
        """Density [n] (1 / world unit) and features [n, channels] at points [n, 3]; differentiable to both.

        Both are 0 in cells that the occupancy grid calls empty. Nothing is computed there, but for few points on a GPU,
        which would have to stop to count them.
        """
        if self.occupancy is None:
            return self.look_up(points)
        if points.device.type != "cpu" and len(points) <= FEW_POINTS:
            density, features = self.look_up(points)
            there = self.occupied(points)
            return density * there, features * there[:, None]
        index = self.occupied(points).nonzero()[:, 0]
        density, features = self.look_up(points[index])
        nothing = features.new_zeros(len(points), features.shape[1])
        return nothing[:, 0].index_copy(0, index, density), nothing.index_copy(0, index, features)

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density [n] at points [n, 3]: `forward` without the features."""
        density = self.raw_density(points)
        return density if self.occupancy is None else density * self.occupied(points)

    def raw_density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density [n] at points [n, 3], whatever the occupancy grid says."""
        return self._density(self.network(self.encoding(points / self.config.bound))[:, 0], points)

    def update_occupancy(self, step: int, generator: Callable[[str, torch.device], torch.Generator]) -> None:
        """Look again where the field is empty, before the first step and every 16 steps; without a grid do nothing.

        Args:
            step: of the optimisation, from 0.
            generator: of `Seeds`: a name and a device to a generator; "occupancy" is drawn from on the field's device.
        """
        if self.occupancy is not None and step % OCCUPANCY_EVERY == 0:
            bound = self.config.bound
            self.occupancy.update(
                lambda points: self.raw_density(points * bound), generator("occupancy", self.occupancy.density.device)
            )

    @property
    def samples_placed(self) -> int:
        """Samples of a ray that are spread over what is not empty; 0: samples go everywhere."""
        return 0 if self.occupancy is None else self.config.occupied_samples

    def bins(self, n_samples: int) -> int:
        """Parts of a ray that are told apart by the occupancy grid: none as long as a cell's diagonal."""
        return max(n_samples, 2 * self.config.occupancy_resolution)

    def occupied(self, points: Float[Tensor, "points 3"]) -> Bool[Tensor, "points"]:
        """Whether the occupancy grid, if there is one, says that something may be at points [n, 3]."""
        if self.occupancy is None:
            return torch.ones(len(points), dtype=torch.bool, device=points.device)
        found: Tensor = self.occupancy(points / self.config.bound)
        return found

    def normals(self, points: Float[Tensor, "points 3"], epsilon: float = 1e-2) -> Float[Tensor, "points 3"]:
        """Outward unit normals [n, 3]: minus the density's gradient, by central differences of `epsilon` world units.

        Differentiable to the parameters. Zero where the density is flat.
        """
        offsets = sent(torch.cat([torch.eye(3), -torch.eye(3)]), points) * epsilon
        density = self.raw_density((points[:, None] + offsets).reshape(-1, 3)).view(-1, 6)
        return functional.normalize(density[:, 3:] - density[:, :3], dim=-1, eps=1e-8)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for an optimiser: `learning_rate` for the network, ten times as much for the grids (as torch-ngp)."""
        groups = [{"params": list(self.encoding.parameters()), "lr": 10 * learning_rate, "name": "grids"}]
        network = list(self.network.parameters())
        if network:
            groups.append({"params": network, "lr": learning_rate, "name": "network"})
        return groups

    def look_up(
        self, points: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points channels"]]:
        """Density and features, whatever the occupancy grid says."""
        values = self.network(self.encoding(points / self.config.bound))
        features = values[:, 1:]
        return self._density(values[:, 0], points), features.sigmoid() if self.config.head == "rgb" else features

    def _density(self, logit: Float[Tensor, "points"], points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        config = self.config
        squared = points.square().sum(-1)
        logit = logit + config.density_bias + config.blob_density * torch.exp(-squared / (2 * config.blob_radius**2))
        inside = (points.abs().amax(-1) <= config.bound) & (squared <= config.ball_radius**2)
        density = trunc_exp(logit) if config.activation == "trunc_exp" else functional.softplus(logit)
        return density * inside


def _network(inputs: int, width: int, outputs: int, generator: torch.Generator | None) -> nn.Sequential:
    """Three linear layers with ReLU between, started from `generator` with PyTorch's default law."""
    layers = [nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, outputs)]
    with torch.no_grad():
        for layer in layers:
            limit = layer.in_features**-0.5
            for parameter in layer.parameters():
                parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * limit)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
