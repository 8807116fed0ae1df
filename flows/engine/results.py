"""What stages measured, read back from a run's folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNITS = {"seconds": "s", "peak_memory_mb": "MB", "peak_gpu_memory_mb": "MB"}


@dataclass(frozen=True)
class Result:
    """One measured number: of how many (`n`), in which unit."""

    name: str
    value: float
    unit: str
    n: int


def read_results(folder: Path, stage: str) -> list[Result]:
    """A stage's metrics, then what it took: seconds and peak memory; empty if it was never made."""
    metrics = read_metrics(folder, stage)
    cost = _read(folder / f"{stage}.cost.json")
    found = [Result(name, float(m["value"]), str(m.get("unit", "")), int(m.get("n", 1))) for name, m in metrics.items()]
    return found + [Result(name, float(value), UNITS.get(name, ""), 1) for name, value in cost.items()]


def read_metrics(folder: Path, stage: str) -> dict[str, dict[str, Any]]:
    """A stage's metrics as it wrote them: name -> {value, unit, n, higher_is_better}."""
    metrics = _read(folder / stage / "metrics.json")
    return {name: m for name, m in metrics.items() if isinstance(m, dict) and "value" in m}


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return values if isinstance(values, dict) else {}
