"""What renderers and mesh makers need of a field: an object's and a captured scene's both have it."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from prior3d.cameras import Cameras


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


@runtime_checkable
class PlacesSamples(Protocol):
    """A field that knows where it is empty, and may want the samples of rays elsewhere."""

    @property
    def samples_placed(self) -> int:
        """Samples of a ray that are spread over what is not empty; 0: samples go everywhere."""
        ...

    def bins(self, n_samples: int) -> int:
        """Parts of a ray that are told apart, where `n_samples` are asked for."""
        ...

    def occupied(self, points: Float[Tensor, "points 3"]) -> Bool[Tensor, "points"]:
        """Whether something may be at points [n, 3]."""
        ...

    def look_up(
        self, points: Float[Tensor, "points 3"]
    ) -> tuple[Float[Tensor, "points"], Float[Tensor, "points channels"]]:
        """Density and features at points [n, 3] of which the field knows that they are not empty."""
        ...


@runtime_checkable
class DrawsItself(Protocol):
    """What is drawn whole, and not looked up at points: splats."""

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is trained, by the name that checkpoints use."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All trainable tensors; they lie on one device."""
        ...

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for an optimiser; each tensor has a part or a multiple of the rate."""
        ...

    def draw(
        self, camera: Cameras, background: Float[Tensor, "3"]
    ) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
        """The image of one camera over a background, and its opacity; differentiable."""
        ...

    def render_views(
        self, cameras: Cameras, background: Float[Tensor, "3"]
    ) -> tuple[Float[Tensor, "views height width 3"], Float[Tensor, "views height width"]]:
        """Images over a background, and their opacity."""
        ...

    def surface(self, resolution: int) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "faces 3"]]:
        """The surface inside the box, of voxels of which so many lie along the box's side."""
        ...

    def surface_colours(
        self, points: Float[Tensor, "points 3"], normals: Float[Tensor, "points 3"]
    ) -> Float[Tensor, "points 3"]:
        """Colours of points of a surface with outward unit normals."""
        ...
