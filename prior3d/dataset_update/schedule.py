"""When views are refreshed: a few times, evenly spread over the steps; or one view after the other, all the time."""

from collections.abc import Iterator


def refreshes_at(step: int, n_steps: int, strengths: tuple[float, ...]) -> Iterator[tuple[int, float]]:
    """The refreshes that are due before a step: their number from 0, and the strength of each.

    Args:
        step: from 0.
        n_steps: in all.
        strengths: one a refresh; refresh k comes before step k * n_steps // len(strengths).
    """
    for number, strength in enumerate(strengths):
        if step == number * n_steps // len(strengths):
            yield number, strength


def views_due(step: int, n_views: int, edit_every: int, *, repeatedly: bool, together: bool) -> list[int]:
    """The views of a capture that are edited before a step.

    Args:
        step: from 0.
        n_views: of the capture.
        edit_every: steps between the edits of two views.
        repeatedly: over and over (Haque et al. 2023); else all before the first step, and never again.
        together: all at once, as often as each would have its turn; else one after the other.
    """
    n_edits, rest = divmod(step, edit_every)
    if repeatedly and not together:
        return [n_edits % n_views] if rest == 0 else []
    if step == 0 or (repeatedly and rest == 0 and n_edits % n_views == 0):
        return list(range(n_views))
    return []
