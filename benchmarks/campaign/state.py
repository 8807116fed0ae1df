"""What the campaign has found so far, in a file, so that it goes on where it was stopped."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prior3d.files import write_whole


@dataclass
class Found:
    """What a number of inputs came to."""

    inputs: int = 0
    uncaught: dict[str, int] = field(default_factory=dict)  # by kind and place
    examples: dict[str, int] = field(default_factory=dict)
    hangs: int = 0
    memory: int = 0
    deaths: int = 0

    def add(self, other: "Found") -> None:
        """Take another count in."""
        self.inputs += other.inputs
        for kind, n in other.uncaught.items():
            self.uncaught[kind] = self.uncaught.get(kind, 0) + n
        self.examples = other.examples | self.examples
        self.hangs, self.memory = self.hangs + other.hangs, self.memory + other.memory
        self.deaths += other.deaths

    @property
    def wrong(self) -> int:
        """Inputs that were not dealt with properly."""
        return sum(self.uncaught.values()) + self.hangs + self.memory + self.deaths


class Campaign:
    """Trials by promise: each has a key, and what came of it (an empty text: the promise held)."""

    def __init__(self, file: Path) -> None:
        """Go on from a file, if it is there."""
        self.file = file
        known = json.loads(file.read_text()) if file.is_file() else {}
        self.trials: dict[str, dict[str, str]] = known.get("trials", {})
        self.fuzzed: dict[str, dict[str, Any]] = known.get("fuzzed", {})

    def add(self, promise: str, key: str, wrong: str) -> None:
        """Note a trial; `wrong` says in a line what broke, or is empty."""
        self.trials.setdefault(promise, {})[key] = wrong
        self.save()

    def done(self, promise: str, key: str) -> bool:
        """Whether a trial was made before."""
        return key in self.trials.get(promise, {})

    def save(self) -> None:
        """Keep everything."""
        write_whole(self.file, json.dumps({"trials": self.trials, "fuzzed": self.fuzzed}, indent=1))

    def rows(self) -> list[list[str]]:
        """Promise, trials, held; and for each that broke the first way in which it did."""
        rows = []
        for promise, trials in sorted(self.trials.items()):
            broken = [f"{key}: {wrong}" for key, wrong in trials.items() if wrong]
            rows.append([promise, str(len(trials)), str(len(trials) - len(broken)), broken[0][:120] if broken else ""])
        return rows
