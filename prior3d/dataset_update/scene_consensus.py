"""What the edits of all images agree on, so that they become the edit of one scene.

Full edits, denoised step by step with guidance, say what becomes of a surface, but overstate where: asked for dots,
they may paint all of it. One step from strong noise, without guidance, estimates the mean over plausible edits. It is
too faint to use as an image, but its size tells how likely each place is to change (`OneStepPredictions`).
`aggregate_views` takes both. It is our addition to Instruct-NeRF2NeRF (Haque et al. 2023) for weak priors.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from prior3d.dataset_update.consensus import soft_threshold
from prior3d.dataset_update.relevance import top_value
from prior3d.dataset_update.surfaces import Surfaces
from prior3d.settings.scene_edits import ConsensusSettings

STEEPNESS = 2.0  # of the thresholds where one-step predictions are known too


class OneStepPredictions(nn.Module):
    """What one-step predictions change at each node of a scene; a module, so that checkpoints hold it.

    Args:
        n_rows: nodes of the scene's surfaces.

    Attributes:
        mean: change over all pixels that see the node, and all predictions.
        square: mean of the change's squared length.
        known: whether anything was gathered.
    """

    mean: Float[Tensor, "rows 3"]
    square: Float[Tensor, "rows 1"]
    known: Bool[Tensor, ""]

    def __init__(self, n_rows: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_rows, 3))
        self.register_buffer("square", torch.zeros(n_rows, 1))
        self.register_buffer("known", torch.tensor(False))

    def gather(
        self,
        surfaces: Surfaces,
        mean: Float[Tensor, "views 3 height width"],
        square: Float[Tensor, "views 1 height width"],
    ) -> None:
        """Bring the predictions' changes to the nodes.

        Args:
            surfaces: the scene before the edit.
            mean: change of each image over its predictions.
            square: mean over them of the change's squared length.
        """
        found, _ = surfaces.gather(torch.cat([mean, square], 1))
        self.mean.copy_(found[:, :3])
        self.square.copy_(found[:, 3:])
        self.known.fill_(True)


def aggregate_views(
    surfaces: Surfaces,
    originals: Float[Tensor, "views 3 height width"],
    changes: Float[Tensor, "views 3 height width"],
    settings: ConsensusSettings,
    predictions: OneStepPredictions | None = None,
) -> Float[Tensor, "views 3 height width"]:
    """Make the edits of single images consistent: a node takes the mean change of all pixels that see it.

    Args:
        surfaces: the scene before the edit.
        originals: the images before the edit, in [0, 1].
        changes: of each image's edit.
        settings: which changes are taken.
        predictions: what one-step predictions said of the nodes.

    Returns:
        Changes that belong to one scene; nothing where no surface is.
    """
    maps = torch.cat([changes, changes.square().sum(1, keepdim=True), originals], 1)
    gathered, weights = surfaces.gather(maps)
    mean, square, colours = gathered.split([3, 1, 3], -1)
    if settings.relative_threshold > 0:
        clusters = _Clusters(colours, weights, settings)
        mean = mean * _fraction_taken(clusters, mean, square, settings, predictions)
    return surfaces.render(mean)


def change_strength(mean: Float[Tensor, "nodes 3"], square: Float[Tensor, "nodes 1"]) -> Float[Tensor, "nodes 1"]:
    """Mean change of the channel that changes most, times the root of the agreement.

    The agreement is |mean change|^2 / mean |change|^2 over the pixels that see a node: 1 where all say the same, about
    1 / n where n independent ones cancel.
    """
    agreement = mean.square().sum(1, keepdim=True) / square.clamp_min(1e-8)
    return mean.abs().amax(1, keepdim=True) * agreement.sqrt()


def colour_cluster_mean(
    values: Float[Tensor, "nodes channels"],
    weights: Float[Tensor, " nodes"],
    colours: Float[Tensor, "nodes 3"],
    bandwidth: float,
) -> Float[Tensor, "nodes channels"]:
    """Weighted means over all nodes of similar colour, by a Gaussian between cells of the colour cube.

    Args:
        values: of the nodes.
        weights: from 0 up.
        colours: in [0, 1].
        bandwidth: side of the cells, and the Gaussian's standard deviation.
    """
    cells, member = (colours / bandwidth).round().unique(dim=0, return_inverse=True)
    weighted = torch.cat([values, torch.ones_like(values[:, :1])], 1) * weights[:, None]
    sums = weighted.new_zeros(len(cells), weighted.shape[1]).index_add_(0, member, weighted)
    smoothed = torch.exp(-torch.cdist(cells, cells).square() / 2) @ sums
    return (smoothed[:, :-1] / smoothed[:, -1:].clamp_min(1e-8))[member]


@dataclass(frozen=True)
class _Clusters:
    """Nodes and their colours: what nodes of similar colour have in common."""

    colours: Float[Tensor, "nodes 3"]
    weights: Float[Tensor, " nodes"]
    settings: ConsensusSettings

    def mean(self, values: Float[Tensor, "nodes channels"]) -> Float[Tensor, "nodes channels"]:
        """Mean over nodes of similar colour; the values themselves where each node stands alone."""
        bandwidth = self.settings.colour_bandwidth
        return values if bandwidth == 0 else colour_cluster_mean(values, self.weights, self.colours, bandwidth)

    def relative(self, values: Float[Tensor, "nodes 1"]) -> Float[Tensor, "nodes 1"]:
        """Values as a fraction of the greatest."""
        return values / max(top_value(values[:, 0], self.weights), 1e-8)

    def relative_strength(
        self, mean: Float[Tensor, "nodes 3"], square: Float[Tensor, "nodes 1"]
    ) -> Float[Tensor, "nodes 1"]:
        """Strength of changes, a node's own and its cluster's, as a fraction of the greatest."""
        own, weight = change_strength(mean, square), self.settings.self_weight
        return self.relative(weight * own + (1 - weight) * self.mean(own))


def _fraction_taken(
    clusters: _Clusters,
    mean: Float[Tensor, "nodes 3"],
    square: Float[Tensor, "nodes 1"],
    settings: ConsensusSettings,
    predictions: OneStepPredictions | None,
) -> Float[Tensor, "nodes 1"]:
    """How much of each node's change is taken; predictions multiply the strength and may leave out a cluster."""
    strength = clusters.relative_strength(mean, square)
    if predictions is None:
        return soft_threshold(strength, settings.relative_threshold)
    strength = strength * clusters.relative_strength(predictions.mean, predictions.square)
    taken = soft_threshold(clusters.relative(strength), settings.relative_threshold, STEEPNESS)
    alike = clusters.mean((predictions.mean * mean).sum(1, keepdim=True))
    ratio = alike / clusters.mean(mean.square().sum(1, keepdim=True)).clamp_min(1e-4)
    if settings.min_change_ratio > 0:
        taken = taken * soft_threshold(ratio, settings.min_change_ratio, STEEPNESS)
    return taken
