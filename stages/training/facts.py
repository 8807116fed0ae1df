"""What a prior's folder says of it: how it was trained, and how good it is."""

import json
from pathlib import Path

from stages.artifacts.base import read_json

FACTS = "training.json"


def samples_seen(folder: Path) -> int:
    """How many samples the weights in a prior's folder were trained on, over all their sittings.

    Raises:
        Prior3dError: its `training.json` is missing or damaged.
    """
    facts = read_json(folder / FACTS)
    return int(facts["samples"]) + int(facts.get("samples_before", 0))


def write_card(folder: Path, card: str, scores: dict[str, float], digits: int = 4) -> None:
    """Write a prior's card and its scores."""
    rounded = {name: round(value, digits) for name, value in scores.items()}
    (folder / "scores.json").write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
