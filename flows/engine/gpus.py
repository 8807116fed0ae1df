"""One stage per GPU of this machine: slots that the system frees when their holder dies."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from prior3d.locks import held

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
            with held(folder / f"prior3d-{_user()}-gpu{number}.lock") as mine:
                if mine:
                    yield {"CUDA_VISIBLE_DEVICES": str(number)}
                    return
        time.sleep(POLL_S)


def _user() -> int:
    """The user's number; where users have none, a folder of temporary files is one user's."""
    return os.getuid() if hasattr(os, "getuid") else 0
