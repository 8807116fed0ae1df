"""When views are refreshed: a few times, evenly spread over the steps."""

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
