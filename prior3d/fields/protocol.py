"""What renderers and mesh makers need of a field: an object's and a captured scene's both have it."""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn


class DensityBounds(Protocol):
    """Where a field may be non-empty: half the side of its box and the radius of its ball, in world units."""

    @property
    def bound(self) -> float:
        """Half the side of the box."""
        ...

    @property
    def ball_radius(self) -> float:
        """Radius of the ball."""
        ...


class RadianceField(Protocol):
    """Points [n, 3] to density [n] and features [n, channels]; non-empty only within its bounds."""

    @property
    def config(self) -> DensityBounds:
        """At least the bounds."""
        ...

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Density [n] (1 / world unit) and features [n, channels] at points [n, 3]."""
        ...

    def density(self, points: Tensor) -> Tensor:
        """Density [n] (1 / world unit) at points [n, 3]."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All trainable tensors; they lie on one device."""
        ...
