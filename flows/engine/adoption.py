"""A version that another machine made becomes one of a run here."""

from flows.engine.declaration import Declaration
from flows.engine.record import list_functions, write_noted
from flows.engine.run import Run
from flows.engine.run_files import Damaged
from prior3d.files import write_whole


def adopt(run: Run, declaration: Declaration, lock: bytes, record: bytes) -> None:
    """Make a lock and its record, which another machine made, the newest version of a run.

    Args:
        run: it is held, and declared as it was there.
        declaration: the same there and here.
        lock: its `dvc.lock` there.
        record: of its version there.

    Raises:
        Damaged: the lock is none; it is not kept then.
    """
    place = run.folder / "dvc.lock"
    before = place.read_bytes() if place.is_file() else None
    write_whole(place, lock)
    try:
        new = run.locked()
    except Damaged:
        place.unlink() if before is None else write_whole(place, before)
        raise
    number = run.next_version()
    if number is None:
        return
    (run.folder / "history").mkdir(exist_ok=True)
    list_functions(run, declaration, new)
    write_noted(run.folder / "history", {f"{number}.json": record}, {f"{number}.lock": lock})
    run.remember(number)
