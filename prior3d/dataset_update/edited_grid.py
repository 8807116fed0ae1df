"""A scene on a grid, as its edit by an instruction sees it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.dataset_update.surfaces import CaptureSurfaces
from prior3d.fields.scene_field import SceneField
from prior3d.rendering.scene import occupied_cells, render_scene_view


@dataclass(frozen=True)
class EditedGrid:
    """A field that is fitted to edited images.

    Attributes:
        field: as it is now.
        surfaces: of the field before the edit.
        n_bins: coarse intervals of a ray, where whole images are rendered.
    """

    field: SceneField
    surfaces: CaptureSurfaces
    n_bins: int

    @property
    def device(self) -> torch.device:
        """Where the field lies."""
        return self.field.rows.device

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What is fitted, by the name that checkpoints use."""
        return {"field": self.field}

    @property
    def tables(self) -> tuple[Float[Tensor, "nodes ..."], ...]:
        """What is fitted at each node: tensors whose rows are the nodes."""
        return self.field.density_logits, self.field.colours

    def render(self, cameras: Cameras, background: float) -> Float[Tensor, "views 3 height width"]:
        """What the field shows of some views, in [0, 1]."""
        images, _, _ = render_scene_view(self.field, cameras, self.n_bins, occupied_cells(self.field), background)
        return images.movedim(-1, 1).clamp(0, 1)
