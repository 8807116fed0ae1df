"""Places on the GPUs of this machine: as many stages share one as fit its memory, and the kernel frees what they held.

A stage holds a small file that says how much memory it will need, locked with flock for as long as its process lives.
Whoever looks for a place adds up the files that are still locked. flock and not filelock: filelock takes 34 ms to
import and cannot take the first free lock of several, so none of the code here would go.
"""

import contextlib
import fcntl
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from flows.engine.nvml import Machine, read_machine

POLL_S = 0.5
SETTLED_S = 30.0  # after which a stage has taken most of the memory that it needs
MOST_STAGES = 8  # on one GPU, however little memory they need: they share its time
_NUMBERS = itertools.count()


def gpu_numbers(devices: Path = Path("/dev")) -> list[int]:
    """Numbers of the NVIDIA GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [int(v) for v in visible.split(",") if v.strip().isdigit()]
    return list(range(sum(p.name[6:].isdigit() for p in devices.glob("nvidia[0-9]*"))))


@contextlib.contextmanager
def gpu_slot(
    device: str,
    wanted: bool,
    folder: Path | None = None,
    needed: int = 0,
    waits: Callable[[str], None] = lambda text: None,
    machine: Callable[[], Machine | None] = read_machine,
) -> Iterator[dict[str, str]]:
    """Hold a place on a GPU of this machine, waiting for one with enough free memory.

    Args:
        device: the run's device; only `auto` and `cuda` take a place, `cuda:1` and `cpu` are a person's own choice.
        wanted: whether the stage takes a GPU.
        folder: where the places' files lie.
        needed: bytes that the stage will need; 0: not known, so that it has a GPU for itself.
        waits: is told once if there is no place.
        machine: tells what memory is free; where it is not known, a stage has a GPU for itself.

    Yields:
        What to add to the stage's environment.
    """
    numbers = gpu_numbers() if wanted and device in ("auto", "cuda") else []
    if not numbers:
        yield {}
        return
    folder = folder or Path(tempfile.gettempdir())
    for attempt in itertools.count():
        with _alone(folder):
            number = _place(numbers, folder, needed, machine())
            file = None if number is None else _held_file(folder, number, needed)
        if file is not None:
            try:
                yield {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(number)}
            finally:
                Path(file.name).unlink(missing_ok=True)
                file.close()
            return
        if attempt == 0:
            waits("waits for a GPU" + (f" with {needed / 2**30:.1f} GiB of free memory" if needed else ""))
        time.sleep(POLL_S)


def _held_file(folder: Path, number: int, needed: int) -> IO[str]:
    """A file that says that a place is held, for as long as it is open."""
    stream = (folder / f"{_prefix(number)}{os.getpid()}-{next(_NUMBERS)}.{needed}").open("w")
    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return stream


def _place(numbers: list[int], folder: Path, needed: int, machine: Machine | None) -> int | None:
    """The GPU with the most memory to spare, if the stage fits there; None: it has to wait."""
    known = {gpu.number: gpu for gpu in machine.gpus} if machine is not None else {}
    best: tuple[int, int] | None = None
    for number in numbers:
        held = list(_held(folder, number))
        gpu = known.get(number)
        alone = gpu is None or needed == 0 or any(size == 0 for size, _ in held)
        if (alone and held) or len(held) >= MOST_STAGES:
            continue
        if gpu is None or not held:  # whether it fits an empty GPU is said before the run
            spare = gpu.free if gpu is not None else 0
        else:
            to_come = sum(size for size, age in held if age < SETTLED_S)
            spare = min(gpu.free - to_come, gpu.total - sum(size for size, _ in held))
            if spare < needed:
                continue
        best = max(best or (spare, -number), (spare, -number))
    return None if best is None else -best[1]


def _held(folder: Path, number: int) -> Iterator[tuple[int, float]]:
    """Bytes and age in seconds of the places that are held on a GPU; files of processes that died are removed."""
    for file in folder.glob(f"{_prefix(number)}*"):
        try:
            with file.open("r") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    size = file.name.rpartition(".")[2]
                    yield int(size) if size.isdigit() else 0, time.time() - file.stat().st_mtime
                    continue
                file.unlink(missing_ok=True)
        except OSError:  # it was removed just now
            continue


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time looks for a place."""
    with (folder / f"prior3d-{os.getuid()}-gpus.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _prefix(number: int) -> str:
    return f"prior3d-{os.getuid()}-gpu{number}-"
