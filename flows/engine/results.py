"""What stages measured, read back from a run's folder."""

from dataclasses import dataclass
from pathlib import Path

from flows.engine.run_files import Measure, derived

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
    cost = read_cost(folder, stage)
    found = [Result(name, float(m["value"]), m.get("unit", ""), m.get("n", 1)) for name, m in metrics.items()]
    return found + [Result(name, float(value), UNITS.get(name, ""), 1) for name, value in cost.items()]


def read_metrics(folder: Path, stage: str) -> dict[str, Measure]:
    """A stage's metrics as it wrote them; empty if they are not there or not whole."""
    return derived(folder / stage / "metrics.json", dict[str, Measure]) or {}


def read_cost(folder: Path, stage: str) -> dict[str, float]:
    """What a stage took: seconds and peak memory; empty if it is not there or not whole."""
    return derived(folder / f"{stage}.cost.json", dict[str, float]) or {}
