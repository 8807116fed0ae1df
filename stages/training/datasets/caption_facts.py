"""What a caption of the toy world says, as numbers: the kind, its colour, the second colour, and what has that one."""

import torch
import torch.nn.functional as functional
from torch import Tensor

from prior3d.toyworld.objects import kind_of_caption
from prior3d.toyworld.palette import COLOURS, PATTERNS
from prior3d.toyworld.shapes import CATEGORIES

_COLOURS = list(COLOURS)
_KINDS = [kind.noun for kind in CATEGORIES]
SIZES = (len(_KINDS), len(_COLOURS) + 1, len(_COLOURS) + 1, len(PATTERNS) + 2)  # 0 stands for what is not said


def facts(caption: str) -> tuple[int, int, int, int]:
    """Places of the kind, its colour, the second colour and its bearer (nothing, a pattern, a part).

    Raises:
        ValueError: the caption names no category of the toy world.
    """
    thing, _, detail = caption.partition(" with ")
    kind = _KINDS.index(kind_of_caption(caption).noun)
    bearer = 0
    if detail:
        bearer = 1 + next((i for i, pattern in enumerate(PATTERNS) if detail.endswith(pattern)), len(PATTERNS))
    return kind, _colour(thing), _colour(detail), bearer


def facts_loss(scores: Tensor, captions: list[str]) -> Tensor:
    """Mean cross-entropy of the four facts.

    Args:
        scores: [n, sum(SIZES)], the facts' classes one behind the other.
        captions: [n].
    """
    wanted = torch.tensor([facts(caption) for caption in captions], device=scores.device)
    each = [functional.cross_entropy(s, wanted[:, i]) for i, s in enumerate(scores.split(SIZES, dim=-1))]
    return torch.stack(each).mean()


def _colour(text: str) -> int:
    """1 + the place of the colour that a phrase begins with, behind its article; 0 for none."""
    for word in text.split()[:2]:
        if word in _COLOURS:
            return 1 + _COLOURS.index(word)
    return 0
