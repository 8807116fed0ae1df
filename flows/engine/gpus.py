"""One stage per GPU of this machine: slots that the kernel frees when their holder dies.

flock and not filelock: filelock takes 34 ms to import and cannot take the first free lock of several, so none of the
code here would go.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

POLL_S = 0.5


def gpu_numbers(devices: Path = Path("/dev")) -> list[int]:
    """Numbers of the NVIDIA GPUs that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [int(v) for v in visible.split(",") if v.strip().isdigit()]
    return sorted(int(p.name.removeprefix("nvidia")) for p in devices.glob("nvidia[0-9]*") if p.name[6:].isdigit())


@contextlib.contextmanager
def gpu_slot(device: str, wanted: bool, folder: Path | None = None) -> Iterator[dict[str, str]]:
    """Hold a GPU of this machine, waiting for a free one.

    Args:
        device: the run's device; only `auto` and `cuda` take a slot, `cuda:1` and `cpu` are a person's own choice.
        wanted: whether the stage takes a GPU.
        folder: where the slots' lock files lie.

    Yields:
        What to add to the stage's environment.
    """
    numbers = gpu_numbers() if wanted and device in ("auto", "cuda") else []
    if not numbers:
        yield {}
        return
    folder = folder or Path(tempfile.gettempdir())
    while True:
        for number in numbers:
            with (folder / f"prior3d-{os.getuid()}-gpu{number}.lock").open("w") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield {"CUDA_VISIBLE_DEVICES": str(number)}
                return
        time.sleep(POLL_S)
