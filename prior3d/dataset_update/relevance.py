"""Where an instruction applies: the part of a scene that is edited.

Mirzaei et al. 2023, Watch Your Steps: Local Image and Scene Editing by Text Instructions: the relevance of a pixel is
how much the prior's prediction of the noise changes with the instruction (`InstructPrior.relevance`), and a field of
relevance over the scene makes the views agree. Here that field is the mean over all pixels that see a node.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from prior3d.dataset_update.consensus import soft_threshold
from prior3d.dataset_update.surfaces import Surfaces

TOP_FRACTION = 0.05  # of what is seen: the least of it counts as the greatest, so that outliers do not
MIN_OPACITY = 0.5  # of a pixel that shows something
MIN_WEIGHT = 1e-3  # nodes that all images together see less are on no surface


class EditRegion(nn.Module):
    """The part of a scene that is edited; a module, so that checkpoints hold it.

    Args:
        n_rows: nodes of the scene's surfaces.
        n_views: of the capture.
        height: of its images.
        width: of the same.

    Attributes:
        nodes: in [0, 1], how freely each node's values change.
        maps: 0 to 255, how much of an edit each pixel takes.
        fraction: of the pixels that show something, how many are edited.
    """

    nodes: Float[Tensor, "rows 1"]
    maps: UInt8[Tensor, "views 1 height width"]
    fraction: Float[Tensor, ""]

    def __init__(self, n_rows: int, n_views: int, height: int, width: int) -> None:
        super().__init__()
        self.register_buffer("nodes", torch.ones(n_rows, 1))
        self.register_buffer("maps", torch.full((n_views, 1, height, width), 255, dtype=torch.uint8))
        self.register_buffer("fraction", torch.ones(()))

    def of(self, view: int) -> Float[Tensor, "1 1 height width"]:
        """How much of an edit each pixel of a view takes, in [0, 1]."""
        return self.maps[view : view + 1].float() / 255

    def freeze_inactive(self, tables: Iterable[Shaped[Tensor, "rows ..."]]) -> None:
        """Let no gradient reach what is outside of the region, also after the region changes.

        Args:
            tables: tensors with a row for each node.
        """
        for table in tables:
            shape = (-1, *[1] * (table.ndim - 1))
            table.register_hook(lambda gradient, shape=shape: gradient * self.nodes.view(shape))

    def restrict(self, surfaces: Surfaces, relevance: Float[Tensor, "views 1 height width"], threshold: float) -> None:
        """Keep the nodes, and pixels, whose relevance in all images together is near the greatest.

        Args:
            surfaces: the scene before the edit.
            relevance: of each image, from 0 up.
            threshold: as a fraction of the greatest relevance; there half of an edit is taken.
        """
        values, weights = surfaces.gather(relevance)
        weights = weights * (weights > MIN_WEIGHT)
        relative = values[:, 0] / max(top_value(values[:, 0], weights), 1e-8)
        taken = torch.where(weights > 0, soft_threshold(relative, threshold), 0.0)
        rendered, opacity = surfaces.render(torch.stack([taken, torch.ones_like(taken)], 1)).unbind(1)
        opaque = opacity > MIN_OPACITY
        if not opaque.any():
            self.fraction.fill_(0.0)
            return
        self.nodes.copy_(taken[:, None])
        self.maps.copy_((rendered[:, None].clamp(0, 1) * 255).round().byte())
        self.fraction.copy_((rendered[opaque] / opacity[opaque]).mean())


def top_value(values: Float[Tensor, " n"], weights: Float[Tensor, " n"]) -> float:
    """The greatest value once outliers with `TOP_FRACTION` of the weight are left out; 0 where nothing has weight."""
    falling, order = values.sort(descending=True)
    passed = weights[order].cumsum(0)
    if not len(passed) or passed[-1] <= 0:
        return 0.0
    return float(falling[int((passed < TOP_FRACTION * passed[-1]).sum())])
