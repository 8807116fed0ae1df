"""The surfaces of a fitted scene as its capture's cameras see them: values go from images to nodes, and back."""

import copy
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from prior3d.cameras import Cameras
from prior3d.fields.scene_field import SceneField
from prior3d.rendering.scene import gather_on_nodes, occupied_cells, render_node_values

SAMPLES_PER_BIN = 2  # means over pixels need no more


@runtime_checkable
class Surfaces(Protocol):
    """A scene before its edit, and the cameras of its images; its nodes are a grid's, or Gaussians."""

    def gather(
        self, maps: Float[Tensor, "views channels height width"]
    ) -> tuple[Float[Tensor, "rows channels"], Float[Tensor, " rows"]]:
        """Mean over all pixels that see a node of what they show, and how much the node is seen; nothing seen is 0."""
        ...

    def render(self, values: Float[Tensor, "rows channels"]) -> Float[Tensor, "views channels height width"]:
        """Values of nodes as the cameras see them, over zeros."""
        ...


@dataclass(frozen=True)
class CaptureSurfaces:
    """A scene on a grid that stays as it is, and the cameras that look at it.

    Attributes:
        field: the scene before the edit.
        cameras: of the capture's images.
        n_bins: coarse intervals of a ray.
        occupied: cells that may hold something; None: all.
    """

    field: SceneField
    cameras: Cameras
    n_bins: int
    occupied: Bool[Tensor, " cells"] | None = None

    def gather(
        self, maps: Float[Tensor, "views channels height width"]
    ) -> tuple[Float[Tensor, "rows channels"], Float[Tensor, " rows"]]:
        """Mean over all pixels that see a node of what they show, and how much the node is seen; nothing seen is 0."""
        return gather_on_nodes(
            self.field, self.cameras, maps.movedim(1, -1), self.n_bins, self.occupied, SAMPLES_PER_BIN
        )

    def render(self, values: Float[Tensor, "rows channels"]) -> Float[Tensor, "views channels height width"]:
        """Values of nodes as the cameras see them, over zeros."""
        rendered = render_node_values(self.field, self.cameras, values, self.n_bins, self.occupied, SAMPLES_PER_BIN)
        return rendered.movedim(-1, 1)


def surfaces_now(field: SceneField, cameras: Cameras, n_bins: int) -> CaptureSurfaces:
    """The surfaces of a field as it is now; a copy, so later fitting does not change them."""
    before = copy.deepcopy(field).requires_grad_(False)
    return CaptureSurfaces(before, cameras, n_bins, occupied_cells(field))
