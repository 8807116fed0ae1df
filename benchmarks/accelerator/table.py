"""Rows of the table of `benchmarks/gpu.py`, the time they may take, and how a device is timed."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class Row:
    """A measured figure.

    Attributes:
        part: of the benchmark.
        what: was measured.
        value: in `unit`; None if it was cut off or failed.
        note: what else is to be said: a ratio to a floor, memory, or why there is no value.
    """

    part: str
    what: str
    value: float | None
    unit: str
    note: str = ""

    def cells(self) -> list[str]:
        """The row in print."""
        value = "-" if self.value is None else f"{self.value:.3g}" if self.value < 100 else f"{self.value:.0f}"
        return [self.part, self.what, value, self.unit, self.note]


@dataclass
class Table:
    """All rows so far, printed as they come; a row that would begin after the end of the time budget is cut off.

    Attributes:
        device: that is measured.
        until: on the clock of `time.monotonic`.
    """

    device: torch.device
    until: float
    rows: list[Row] = field(default_factory=list)

    def measure(self, part: str, what: str, unit: str, work: Callable[[], float | tuple[float, str]]) -> float | None:
        """Add a row; what fails is told in it, and the others go on."""
        if time.monotonic() > self.until:
            self._add(Row(part, what, None, unit, "cut off: the time was over"))
            return None
        try:
            found = work()
        except Exception as error:  # a benchmark's other rows are worth having
            text = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            self._add(Row(part, what, None, unit, f"failed: {type(error).__name__}: {text}"))
            return None
        value, note = found if isinstance(found, tuple) else (found, "")
        self._add(Row(part, what, value, unit, note))
        return value

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row.cells(), (8, 58, 9, 5, 0), strict=True)), flush=True
        )

    def found(self, what: str) -> float | None:
        """The value of an earlier row."""
        return next((row.value for row in self.rows if row.what == what), None)

    def ratio(self, value: float, *floors: str) -> str:
        """A value over the sum of floors; empty if one of them is not there."""
        found = [self.found(floor) for floor in floors]
        if any(floor is None for floor in found):
            return ""
        return f"{value / sum(floor for floor in found if floor):.2f} x {' + '.join(floors)}"


def milliseconds(work: Callable[[], Any], device: torch.device, n: int) -> float:
    """The median of n calls, after three that are not counted; on a GPU each until its work is done."""
    spent = []
    for _ in range(n + 3):
        finish(device)
        started = time.perf_counter()
        work()
        finish(device)
        spent.append(1000 * (time.perf_counter() - started))
    return statistics.median(spent[3:])


def finish(device: torch.device) -> None:
    """Wait until a GPU has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def begin_memory(device: torch.device) -> None:
    """Forget the peak so far."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> str:
    """GPU memory at its peak, in words; empty on a CPU."""
    return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB at most" if device.type == "cuda" else ""


def chosen(names: tuple[str, ...], only: str) -> Iterator[str]:
    """The parts that were asked for."""
    asked = only.split(",") if only else list(names)
    for name in asked:
        if name not in names:
            raise SystemExit(f"--only {name}: there is no such part; parts: {', '.join(names)}")
        yield name
