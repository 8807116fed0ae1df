"""A loss over the steps of a stage, kept small: means over at most two hundred equal stretches.

It depends on the losses alone, not on the clock, and goes on after a resume as if nothing had happened.
"""

from dataclasses import dataclass, field
from typing import Any

MOST_POINTS = 200


@dataclass
class LossCurve:
    """What is kept of a loss.

    Attributes:
        total: steps in all; a loop of another length begins a new curve.
        last: the last step that was taken; those that a resumed stage repeats are left out.
        sums: by stretch: the sum of its losses and how many they are.
    """

    total: int = 0
    last: int = 0
    sums: dict[int, tuple[float, int]] = field(default_factory=dict)

    def take(self, step: int, total: int, loss: float) -> None:
        """Add the loss of a step (1 .. total)."""
        if total != self.total:
            self.total, self.last, self.sums = total, 0, {}
        if step <= self.last:
            return
        self.last = step
        stretch = (step - 1) // self._width()
        before, n = self.sums.get(stretch, (0.0, 0))
        self.sums[stretch] = (before + loss, n + 1)

    def points(self) -> list[dict[str, float]]:
        """The curve as DVC plots it: the last step of each stretch, and the mean loss in it."""
        width = self._width()
        return [
            {"step": min((stretch + 1) * width, self.total), "loss": total / n}
            for stretch, (total, n) in sorted(self.sums.items())
        ]

    def _width(self) -> int:
        return max(1, -(-self.total // MOST_POINTS))

    def state(self) -> dict[str, Any]:
        """What `from_state` takes, as JSON."""
        return {"total": self.total, "last": self.last, "sums": [[k, *v] for k, v in self.sums.items()]}

    @staticmethod
    def from_state(state: dict[str, Any]) -> "LossCurve":
        """The curve that was saved."""
        sums = {int(k): (float(total), int(n)) for k, total, n in state["sums"]}
        return LossCurve(int(state["total"]), int(state["last"]), sums)
