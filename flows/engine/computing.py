"""A stage that several runs need at once is computed by one of them; the others wait and take its result."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from flows.engine.execution import Interrupted
from prior3d.locks import held

POLL_S = 0.2


@contextlib.contextmanager
def computed_once(folder: Path, key: str, waits: Callable[[], None], stopping: Callable[[], bool]) -> Iterator[None]:
    """Hold a stage's key on this machine; the kernel lets go of it however this process dies.

    Args:
        folder: of the locks, one a key that is being computed.
        key: of the stage; empty for one that has none, which is not held.
        waits: is called once if another process holds it.
        stopping: whether to give up waiting.

    Raises:
        Interrupted: the run was stopped while it waited.
    """
    if not key:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    place, said = folder / f"{key[:40]}.lock", False
    while True:
        with held(place) as mine:  # of a file that its holder has removed meanwhile nobody gets the lock
            if mine:
                try:
                    yield
                finally:
                    place.unlink(missing_ok=True)
                return
        if not said:
            waits()
            said = True
        if stopping():
            raise Interrupted("stopped while another run computed the same stage")
        time.sleep(POLL_S)
