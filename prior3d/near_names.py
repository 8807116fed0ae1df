"""The hint at the end of an error about an unknown name."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.5, prefix: str = "") -> str:
    """`did you mean toy?` for the nearest known name; empty if none is near.

    Args:
        name: what was asked for.
        known: the names that there are.
        cutoff: how alike the nearest one must be, in [0, 1].
        prefix: what stands before the names in the hint.
    """
    near = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"did you mean {prefix}{near[0]}?" if near else ""
