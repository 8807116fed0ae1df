"""What renderers and mesh makers need of a field: an object's and a captured scene's both have it."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


@runtime_checkable
class DensityBounds(Protocol):
    """Where a field may be seen: half the side of its box, the radius of its ball, the near plane, in world units."""

    @property
    def bound(self) -> float:
        """Half the side of the box."""
        ...

    @property
    def ball_radius(self) -> float:
        """Radius of the ball."""
        ...

    @property
    def near_plane(self) -> float:
        """Nothing is drawn nearer to a camera."""
        ...


@runtime_checkable
class RadianceField(Protocol):
    """Points [n, 3] to density [n] and features [n, channels]; non-empty only within its bounds."""

    @property
    def config(self) -> DensityBounds:
        """At least the bounds."""
        ...

    def __call__(
        self, points: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points channels"]]:
        """Density [n] (1 / world unit) and features [n, channels] at points [n, 3]."""
        ...

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density [n] (1 / world unit) at points [n, 3]."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All trainable tensors; they lie on one device."""
        ...
