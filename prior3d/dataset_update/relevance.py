"""What the views of a surface agree on: where an instruction applies, and what it changes there.

Whole edits, denoised step by step with guidance, say what becomes of a surface, but overstate where: asked for dots,
they may paint all of it. One step from strong noise, without guidance, gives the mean of all edits that the prior holds
possible: a blur, but of each place the chance that it is changed (`Guesses`). `agreed_changes` takes both.

Mirzaei et al. 2023, Watch Your Steps: Local Image and Scene Editing by Text Instructions: the relevance of a pixel is
how much the prior's prediction of the noise differs with the instruction from that without (`InstructPrior.relevance`),
and a field of it over the scene makes the views agree. Here that field is the mean over all pixels that see a node.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prior3d.cameras import Cameras
from prior3d.dataset_update.consensus import share_taken
from prior3d.fields.scene_field import SceneField
from prior3d.rendering.scene import gather_on_nodes, render_node_values

TOP_SHARE = 0.05  # of what is seen: the least of it counts as the greatest, whatever the outliers are
LEAST_OPACITY = 0.5  # of a pixel that shows something
SAMPLES_PER_BIN = 2  # samples in a bin; means over pixels need no more
SURE = 2.0  # steepness of the choice where guesses tell as well
UNSEEN = 1e-3  # nodes with less weight in all pictures are on no surface


class EditRegion(nn.Module):
    """The part of a scene that is edited; a module, so that checkpoints hold it.

    Attributes:
        nodes: [rows, 1] in [0, 1], how free each node's values are.
        maps: [views, 1, height, width] uint8, how much of an edit of each picture is taken (255: all).
    """

    nodes: Tensor
    maps: Tensor

    def __init__(self, n_rows: int, n_views: int, height: int, width: int):
        """Begin with all of the scene."""
        super().__init__()
        self.register_buffer("nodes", torch.ones(n_rows, 1))
        self.register_buffer("maps", torch.full((n_views, 1, height, width), 255, dtype=torch.uint8))

    def of(self, view: int) -> Tensor:
        """[1, 1, height, width] in [0, 1] a picture's share of edit."""
        return self.maps[view : view + 1].float() / 255

    def freeze_inactive(self, field: SceneField) -> None:
        """Let no gradient reach what is outside of the region, however it changes."""
        for table in (field.density_logits, field.colours):
            table.register_hook(lambda gradient: gradient * self.nodes)

    def agree(
        self,
        field: SceneField,
        cameras: Cameras,
        relevance: Tensor,
        threshold: float,
        n_bins: int,
        occupied: Tensor | None = None,
    ) -> float:
        """Take the nodes, and pixels, whose relevance in all pictures together reaches a share of the greatest.

        Args:
            field: the scene before the edit.
            cameras: of the pictures.
            relevance: [views, 1, height, width] of each picture, from 0 up.
            threshold: of the greatest relevance: half of the edit is taken there.
            n_bins: as in `render_scene_rays`.
            occupied: as there.

        Returns:
            The share of the pixels that show something and are edited.
        """
        values, weights = gather_on_nodes(field, cameras, relevance.movedim(1, -1), n_bins, occupied, SAMPLES_PER_BIN)
        weights = weights * (weights > UNSEEN)
        taken = torch.where(
            weights > 0, share_taken(values[:, 0] / max(greatest(values[:, 0], weights), 1e-8), threshold), 0.0
        )
        nodes = torch.stack([taken, torch.ones_like(taken)], 1)
        shown, opacity = render_node_values(field, cameras, nodes, n_bins, occupied, SAMPLES_PER_BIN).unbind(-1)
        solid = opacity > LEAST_OPACITY
        if not solid.any():
            return 0.0
        self.nodes.copy_(taken[:, None])
        self.maps.copy_((shown[:, None].clamp(0, 1) * 255).round().byte())
        return float((shown[solid] / opacity[solid]).mean())


class Guesses(nn.Module):
    """What answers in one step change at each node of a scene; a module, so that checkpoints hold it.

    Attributes:
        mean: [rows, 3] over all pixels that see the node, and all answers.
        square: [rows, 1] mean of the squared length of the change.
        known: whether anything was gathered.
    """

    mean: Tensor
    square: Tensor
    known: Tensor

    def __init__(self, n_rows: int):
        """Begin with none."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_rows, 3))
        self.register_buffer("square", torch.zeros(n_rows, 1))
        self.register_buffer("known", torch.tensor(False))

    def gather(
        self,
        field: SceneField,
        cameras: Cameras,
        mean: Tensor,
        square: Tensor,
        n_bins: int,
        occupied: Tensor | None = None,
    ) -> None:
        """Bring what answers change to the nodes.

        Args:
            field: the scene before the edit, whose surfaces count.
            cameras: of the pictures.
            mean: [views, 3, height, width] change over all answers of each picture.
            square: [views, 1, height, width] mean over them of the change's squared length.
            n_bins: as in `render_scene_rays`.
            occupied: as there.
        """
        maps = torch.cat([mean, square], 1).movedim(1, -1)
        found, _ = gather_on_nodes(field, cameras, maps, n_bins, occupied, SAMPLES_PER_BIN)
        self.mean.copy_(found[:, :3])
        self.square.copy_(found[:, 3:])
        self.known.fill_(True)


@dataclass(frozen=True)
class Choice:
    """Which of the changes are taken.

    Attributes:
        least_share: of the greatest strength: half of a change is taken there (`share_taken`); 0: all of every change.
        like_colours: surfaces whose colours differ by less have their strength in common; 0: each node has its own.
        own_share: of a node's own strength beside that which it has in common.
        least_likely: with guesses: half of a change is taken where they make such a share of it, over like colours.
    """

    least_share: float = 0.0
    like_colours: float = 0.0
    own_share: float = 0.0
    least_likely: float = 0.0


def agreed_changes(
    field: SceneField,
    cameras: Cameras,
    originals: Tensor,
    changes: Tensor,
    n_bins: int,
    occupied: Tensor | None = None,
    choice: Choice = Choice(),
    guesses: Guesses | None = None,
) -> Tensor:
    """What single edits change, made the same in all pictures: at each node the mean of what those that see it say.

    A node's strength is its mean change (of the channel that changes most) times the root of its agreement,
    |mean change|^2 / mean |change|^2 over the pixels that see it: 1 where all say the same, about 1 / n where n
    independent ones mean nothing. With guesses it is multiplied by their strength there.

    Args:
        field: the scene before the edit, whose surfaces count.
        cameras: of the pictures.
        originals: [views, 3, height, width] in [0, 1] the pictures before the edit.
        changes: [views, 3, height, width] of each picture's edit.
        n_bins: as in `render_scene_rays`.
        occupied: as there.
        choice: which changes are taken.
        guesses: what answers in one step said of the nodes.

    Returns:
        [views, 3, height, width] changes that are one scene's, nothing where no surface is.
    """
    maps = torch.cat([changes, changes.square().sum(1, keepdim=True), originals], 1).movedim(1, -1)
    gathered, weights = gather_on_nodes(field, cameras, maps, n_bins, occupied, SAMPLES_PER_BIN)
    mean, square, colours = gathered.split([3, 1, 3], -1)
    if choice.least_share > 0:

        def in_common(values: Tensor) -> Tensor:
            if choice.like_colours == 0:
                return values
            return over_like_colours(values, weights, colours, choice.like_colours)

        def relative(values: Tensor) -> Tensor:
            return values / max(greatest(values[:, 0], weights), 1e-8)

        def told(mean: Tensor, square: Tensor) -> Tensor:
            own = strength(mean, square)
            return relative(choice.own_share * own + (1 - choice.own_share) * in_common(own))

        share = told(mean, square)
        if guesses is None:
            mean = mean * share_taken(share, choice.least_share)
        else:
            share = share_taken(relative(share * told(guesses.mean, guesses.square)), choice.least_share, SURE)
            alike = in_common((guesses.mean * mean).sum(1, keepdim=True))
            likely = alike / in_common(mean.square().sum(1, keepdim=True)).clamp_min(1e-4)
            if choice.least_likely > 0:
                share = share * share_taken(likely, choice.least_likely, SURE)
            mean = mean * share
    return render_node_values(field, cameras, mean, n_bins, occupied, SAMPLES_PER_BIN).movedim(-1, 1)


def strength(mean: Tensor, square: Tensor) -> Tensor:
    """Strengths [n, 1] of changes with that mean [n, 3] and mean square [n, 1]: see `agreed_changes`."""
    agreement = mean.square().sum(1, keepdim=True) / square.clamp_min(1e-8)
    return mean.abs().amax(1, keepdim=True) * agreement.sqrt()


def over_like_colours(values: Tensor, weights: Tensor, colours: Tensor, width: float) -> Tensor:
    """Weighted means over all that has like colours, by a Gaussian between cells of the colour cube.

    Args:
        values: [n, channels].
        weights: [n] from 0 up.
        colours: [n, 3] in [0, 1].
        width: side of the cells, and the Gaussian's standard deviation.
    """
    cells, member = (colours / width).round().unique(dim=0, return_inverse=True)
    weighted = torch.cat([values, torch.ones_like(values[:, :1])], 1) * weights[:, None]
    sums = weighted.new_zeros(len(cells), weighted.shape[1]).index_add_(0, member, weighted)
    smoothed = torch.exp(-torch.cdist(cells, cells).square() / 2) @ sums
    return (smoothed[:, :-1] / smoothed[:, -1:].clamp_min(1e-8))[member]


def greatest(values: Tensor, weights: Tensor) -> float:
    """The greatest of values [n], but for those outliers that have `TOP_SHARE` of the weights [n]; 0 of nothing."""
    falling, order = values.sort(descending=True)
    passed = weights[order].cumsum(0)
    if not len(passed) or passed[-1] <= 0:
        return 0.0
    return float(falling[int((passed < TOP_SHARE * passed[-1]).sum())])
