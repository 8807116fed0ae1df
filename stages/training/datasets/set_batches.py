"""What a step of the joint-view prior's training draws: sets of several kinds, side by side in one batch of frames."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.training.datasets.sets import RING

FEWEST_MANY, MOST_MANY = 9, 13  # frames of the largest kind of sets


@dataclass(frozen=True)
class DrawnSet:
    """One set: which of its object's views its frames are, the given ones first.

    Attributes:
        kind: its place among `KINDS`.
        views: numbers among the object's views.
        given: how many of them stand clean.
        mirrored: whether the last given frame is the first one flipped, seen from the mirrored azimuth.
    """

    kind: int
    views: list[int]
    given: int = 0
    mirrored: bool = False


@dataclass(frozen=True)
class SetBatch:
    """Frames of sets, set by set, those of one size side by side.

    Attributes:
        image: [frames] numbers among all images of the dataset.
        background: [frames].
        flipped: [frames] whether the image is flipped, and its azimuth mirrored.
        given: [frames] whether the frame stands clean.
        owner: [frames] its set.
        kind: [sets] of `KINDS`.
        sizes: (sets, frames of each), in the frames' order.
    """

    image: Tensor
    background: Tensor
    flipped: Tensor
    given: Tensor
    owner: Tensor
    kind: Tensor
    sizes: tuple[tuple[int, int], ...]


Draw = Callable[[int, float, torch.Generator], DrawnSet]


def ring(n_views: int, mirror_share: float, generator: torch.Generator) -> DrawnSet:
    """The ring, all of it to be drawn."""
    return DrawnSet(0, list(range(RING)))


def one_given(n_views: int, mirror_share: float, generator: torch.Generator) -> DrawnSet:
    """The ring, given a further view of the object, or, in a quarter of the sets, one of the ring's own."""
    if _share(generator) < 0.25:
        first = _number(0, RING, generator)
        return _perhaps_mirrored(1, [first], [v for v in range(RING) if v != first], mirror_share, generator)
    return _perhaps_mirrored(1, [_number(RING, n_views, generator)], list(range(RING)), mirror_share, generator)


def some_given(n_views: int, mirror_share: float, generator: torch.Generator) -> DrawnSet:
    """Five random views, one to three of them given."""
    return DrawnSet(2, _order(n_views, generator)[:5], _number(1, 4, generator))


def free(n_views: int, mirror_share: float, generator: torch.Generator) -> DrawnSet:
    """Two to five random views, none given."""
    return DrawnSet(3, _order(n_views, generator)[: _number(2, 6, generator)])


def many(n_views: int, mirror_share: float, generator: torch.Generator) -> DrawnSet:
    """Nine to thirteen views, or as many as there are: none given, one, or the ring."""
    n = min(_number(FEWEST_MANY, MOST_MANY + 1, generator), n_views)
    share, order = _share(generator), _order(n_views, generator)
    if share < 0.3:
        return DrawnSet(4, order[:n])
    if share < 0.8:
        return _perhaps_mirrored(4, order[:1], order[1:n], mirror_share, generator)
    return DrawnSet(4, [*range(RING), *[v for v in order if v >= RING]][:n], RING)


def single(n_views: int, mirror_share: float, generator: torch.Generator) -> DrawnSet:
    """One view by itself, which keeps what the text-to-image model knows."""
    return DrawnSet(5, [_number(0, n_views, generator)])


KINDS: dict[str, Draw] = {
    "ring": ring, "one_given": one_given, "some_given": some_given, "free": free, "many": many, "single": single,
}  # fmt: skip


def draw_kinds(n: int, shares: tuple[float, ...], generator: torch.Generator) -> list[int]:
    """Kinds of n sets, each kind as often as its share allows: one from each of n equal strata of their sum."""
    bounds = torch.tensor(shares).cumsum(0) / sum(shares)
    points = (torch.arange(n) + torch.rand(n, generator=generator)) / n
    return torch.searchsorted(bounds, points).clamp(max=len(shares) - 1).tolist()


def draw_sets(
    n: int, shares: tuple[float, ...], objects: int, n_views: int, backgrounds: int, mirror_share: float,
    generator: torch.Generator,
) -> SetBatch:  # fmt: skip
    """A batch of n sets of random objects over random backgrounds.

    Args:
        n: sets.
        shares: of the kinds, in the order of `KINDS`.
        objects: to draw from.
        n_views: of each.
        backgrounds: to draw from.
        mirror_share: of the sets with one given view, those that are given it flipped too.
        generator: on the CPU.
    """
    draws = list(KINDS.values())
    drawn = [draws[kind](n_views, mirror_share, generator) for kind in draw_kinds(n, shares, generator)]
    drawn.sort(key=lambda one: len(one.views))
    lengths = [len(one.views) for one in drawn]
    sizes = tuple((lengths.count(length), length) for length in sorted(set(lengths)))
    which = torch.randint(objects, (n,), generator=generator)
    background = torch.randint(backgrounds, (n,), generator=generator)
    owner = torch.repeat_interleave(torch.arange(n), torch.tensor(lengths))
    views = torch.tensor([view for one in drawn for view in one.views])
    place = torch.cat([torch.arange(length) for length in lengths])
    given = place < torch.tensor([one.given for one in drawn])[owner]
    flipped = torch.tensor([one.mirrored for one in drawn])[owner] & (place == 1)
    kind = torch.tensor([one.kind for one in drawn])
    return SetBatch(which[owner] * n_views + views, background[owner], flipped, given, owner, kind, sizes)


def _perhaps_mirrored(
    kind: int, given: list[int], wanted: list[int], mirror_share: float, generator: torch.Generator
) -> DrawnSet:
    """A set with one given view, in some cases with it flipped as a second one."""
    mirrored = _share(generator) < mirror_share
    first = given * 2 if mirrored else given
    return DrawnSet(kind, [*first, *wanted], len(first), mirrored)


def _share(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _number(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high, (), generator=generator))


def _order(n: int, generator: torch.Generator) -> list[int]:
    numbers: list[int] = torch.randperm(n, generator=generator).tolist()
    return numbers
