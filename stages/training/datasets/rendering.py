"""What the stages that render datasets share: arrays on disk, filled chunk by chunk by several processes.

Whole chunks survive a kill: each leaves a mark, and the next run renders only what has none.
"""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from prior3d.errors import Prior3dError
from stages.contract.job import Job, Stopped

Arrays = dict[str, tuple[tuple[int, ...], str]]  # name to the shape of one object's rows, and the element type
Draw = Callable[[int], dict[str, NDArray]]  # an object's number to its rows of every array


@dataclass(frozen=True)
class RenderSettings:
    """How a dataset is rendered.

    Attributes:
        seed: of the objects and their cameras.
        n_views: of each object or edit.
        size: side of the images, in pixels.
        workers: processes; 0 renders in this one.
        chunk: objects between two marks on disk.
        progress: told how many objects are done, how many there are, and how fast it goes.
    """

    seed: int = 0
    n_views: int = 1
    size: int = 64
    workers: int = 0
    chunk: int = 100
    progress: Callable[[int, int, str], None] = lambda done, total, text: None


def render_split(folder: Path, split: str, objects: int, arrays: Arrays, draw: Draw, settings: RenderSettings) -> None:
    """Fill `{split}.{name}.npy` with the rows of every object, in its order; an object has arrays[name][0][0] rows.

    Args:
        folder: where the arrays and the marks `{split}.chunks/` lie.
        split: the first part of their names.
        objects: how many, a multiple of the chunk.
        arrays: what is stored.
        draw: renders one object; it is sent to other processes, so it is a module's function or a partial of one.
        settings: the chunk, the processes, and who is told of the progress.
    """
    chunk, workers = settings.chunk, settings.workers
    marks = folder / f"{split}.chunks"
    marks.mkdir(parents=True, exist_ok=True)
    for name, (shape, dtype) in arrays.items():
        make_room(folder / f"{split}.{name}.npy", (objects * shape[0], *shape[1:]), dtype)
    left = [first for first in range(0, objects, chunk) if not (marks / str(first)).exists()]
    start = time.monotonic()
    fill = partial(_fill, folder, split, chunk, draw)
    with ProcessPoolExecutor(workers, initializer=_one_thread) if workers else contextlib.nullcontext() as pool:
        for done, rows in enumerate(pool.map(fill, left) if pool else map(fill, left)):
            rate = (done + 1) * rows / (time.monotonic() - start)
            settings.progress(left[done] + chunk, objects, f"{split}: {rate:.0f} images/s")


def told_to(job: Job) -> Callable[[int, int, str], None]:
    """The progress of a rendering as a job's; a job that was asked to stop leaves after the chunk.

    What is rendered stays, so there is nothing to save.
    """

    def progress(done: int, total: int, text: str) -> None:
        job.progress(done, total, text=text)
        if job.stopping:
            raise Stopped

    return progress


def make_room(path: Path, shape: tuple[int, ...], dtype: str) -> None:
    """Make an array on disk, or lengthen one whose first rows are there; a kill leaves the old one or the new one.

    Raises:
        Prior3dError: what is there is longer, or of other rows: it belongs to other parameters.
    """
    known = None
    if path.exists():
        known = np.load(path, mmap_mode="r")
        if (known.shape[1:], known.dtype) != (shape[1:], np.dtype(dtype)) or len(known) > shape[0]:
            raise Prior3dError(
                f"{path}: {known.dtype} {known.shape}, but the parameters ask for {dtype} {shape}; delete {path.parent}"
            )
        if len(known) == shape[0]:
            return
    temporary = path.with_suffix(".tmp")
    array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
    if known is not None:
        array[: len(known)] = known
    array.flush()
    temporary.replace(path)


def _one_thread() -> None:
    """The workers fill the cores: with two threads each they took seven times as long on a busy machine."""
    torch.set_num_threads(1)


def _fill(folder: Path, split: str, chunk: int, draw: Draw, first: int) -> int:
    """Render one chunk and mark it; the number of rows of one of its arrays."""
    files: dict[str, np.memmap] = {}
    rows = 0
    for index in range(first, first + chunk):
        for name, values in draw(index).items():
            if name not in files:
                files[name] = np.lib.format.open_memmap(folder / f"{split}.{name}.npy", mode="r+")
            files[name][index * len(values) : (index + 1) * len(values)] = values
            rows = chunk * len(values)
    for file in files.values():
        file.flush()
    (folder / f"{split}.chunks" / str(first)).touch()
    return rows
