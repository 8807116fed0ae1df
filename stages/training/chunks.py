"""Arrays on disk that are rendered in chunks: whole chunks survive a kill, and the next run goes on behind them."""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from stages.training.common import report


def create_arrays(folder: Path, split: str, arrays: dict[str, tuple[tuple[int, ...], str]]) -> None:
    """Make `{split}.{name}.npy` of each (shape, dtype) that is not there yet, full of zeros."""
    for name, (shape, dtype) in arrays.items():
        path = folder / f"{split}.{name}.npy"
        if not path.exists():
            np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()


def render_chunks(
    pool: ProcessPoolExecutor,
    folder: Path,
    split: str,
    total: int,
    chunk: int,
    render_chunk: Callable[[int], None],
    images_each: int,
) -> None:
    """Render the chunks that bear no mark yet, and report after each.

    Args:
        pool: the workers.
        folder: where the arrays and the marks lie.
        split: whose arrays.
        total: how many items there are, a multiple of `chunk`.
        chunk: items a worker renders between two marks on disk.
        render_chunk: writes the chunk that begins at an item into the arrays.
        images_each: images an item has.
    """
    marks, start, done = folder / f"{split}.chunks", time.monotonic(), 0
    marks.mkdir(exist_ok=True)
    left = [first for first in range(0, total, chunk) if not (marks / str(first)).exists()]
    for first in pool.map(partial(_render_and_mark, marks, render_chunk), left):
        done += chunk * images_each
        report(step=first + chunk, total=total, text=f"{split}: {done / (time.monotonic() - start):.0f} images/s")


def _render_and_mark(marks: Path, render_chunk: Callable[[int], None], first: int) -> int:
    render_chunk(first)
    (marks / str(first)).touch()
    return first
