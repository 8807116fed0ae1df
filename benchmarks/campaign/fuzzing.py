"""Fuzz the readers: changed inputs in a child process that may die; what is not refused properly is counted."""

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.campaign.reader import Reader
from benchmarks.campaign.readers import READERS
from benchmarks.campaign.state import Found

LONGEST_S, MOST_MEMORY_MB = 10.0, 2000.0  # seconds of the processor: the machine may be shared
BATCH = 2000
MEMORY = Path("/dev/shm")


class HungError(BaseException):
    """A read took longer than `LONGEST_S`; no reader catches this."""


def _hang(number: int, frame: FrameType | None) -> None:
    raise HungError


def peak_mb() -> float:
    """The largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def fuzz(name: str, reader: Reader, first: int, n_inputs: int, folder: Path) -> Found:
    """Read inputs number first .. first + n_inputs of a reader, each a change of its valid input.

    The number alone decides the change, so that each can be tried again by itself.
    """
    found, valid = Found(), {}
    reader.write(folder)
    for file in reader.changed:
        valid[file] = (folder / file).read_bytes()
    reader.read(folder)
    before = signal.signal(signal.SIGPROF, _hang)
    try:
        for number in range(first, first + n_inputs):
            rng = random.Random(f"{name}/{number}")
            file = rng.choice(sorted(valid))
            (folder / file).write_bytes(reader.changed[file](valid[file], rng))
            _read(reader, folder, number, found)
            (folder / file).write_bytes(valid[file])
    finally:
        signal.signal(signal.SIGPROF, before)
    return found


def _read(reader: Reader, folder: Path, number: int, found: Found) -> None:
    found.inputs += 1
    memory = peak_mb()
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    try:
        reader.read(folder)
    except reader.refuses:
        pass
    except HungError:
        found.hangs += 1
        found.examples["hang"] = number
    except Exception as error:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        line = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place is not None else "?"
        kind = f"{type(error).__name__} at {line}"
        found.uncaught[kind] = found.uncaught.get(kind, 0) + 1
        found.examples.setdefault(kind, number)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if memory < MOST_MEMORY_MB <= peak_mb():
        found.memory += 1


def in_child(name: str, first: int, n_inputs: int) -> Found:
    """`fuzz` in a child process; if that dies, the batch is one death."""
    receiving, sending = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C warn there
        try:
            sending.send(json.dumps(asdict(fuzz(name, READERS[name], first, n_inputs, folder))))
            os._exit(0)
        except BaseException as error:
            sending.send(f"{name}: {error!r}")
            os._exit(1)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    sending.close()
    try:
        text = receiving.recv()
    except EOFError:
        text = None
    os.waitpid(child, 0)
    if text is not None and not text.startswith("{"):
        raise RuntimeError(text)
    if text is None:
        return Found(inputs=n_inputs, deaths=1)
    return Found(**json.loads(text))


def campaign(
    state: dict[str, dict[str, Any]], minutes: float, names: list[str], most: int, keep: Callable[[], None]
) -> None:
    """Fuzz reader after reader in batches until the time is up or each has had `most` inputs; goes on from `state`.

    Args:
        state: by reader: what it came to so far; changed in place after every batch.
        minutes: to fuzz for.
        names: of the readers.
        most: inputs of each.
        keep: is called after every batch.
    """
    until = time.monotonic() + 60 * minutes
    found = {name: Found(**state.get(name, {})) for name in names}
    while time.monotonic() < until:
        open_names = [name for name in names if found[name].inputs < most]
        if not open_names:
            break
        name = min(open_names, key=lambda n: found[n].inputs)
        found[name].add(in_child(name, found[name].inputs, min(BATCH, most - found[name].inputs)))
        state[name] = asdict(found[name])
        keep()
