"""`prior3d`, which stops at its checkpoints when its input ends: `python -m flows.sweeps.leash run ...`.

A worker holds the other end. However it dies, the kernel closes that end.
"""

import os
import signal
import sys
import threading

from flows.cli import main

LEAVES_S = 40.0


def _watch() -> None:
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(LEAVES_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_watch, daemon=True, name="leash").start()
    sys.exit(main())
