"""Where 100,000 runs would break first: `python benchmarks/scale.py [--runs 100000]`.

First this machine measures what a run costs beside its stages, in seconds of processor time: for the driver of a sweep
and for a worker. Then a simulation plays the runs through queues: workers, the driver (one process), the remote (so
many requests a second) and Prefect's database (one writer). Nothing is computed in it, and nothing is sent anywhere.
"""

import argparse
import contextlib
import heapq
import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from orchestration import COMMAND, ENVIRONMENT, N_STAGES, command_line
from results import add_write_option, markdown_table, write_results

WORKERS = (8, 64, 512, 4096)
N_ROWS = 200
N_BROUGHT = 20
REQUESTS_A_STAGE = 9  # list and claim, list again, objects asked for twice, the entry, release; renewals aside
PREFECT_STATES = 5  # a task run: created, pending, running, completed, and its artifacts' rows


@dataclass(frozen=True)
class Costs:
    """Seconds of processor time, measured here.

    Attributes:
        check: a row that is new.
        know: a row whose run was seen done.
        bring: a run that comes back, none of its files.
        bring_all: with all of its files, from a folder as the remote.
        worker: a run beyond its stages.
    """

    check: float
    know: float
    bring: float
    bring_all: float
    worker: float


@dataclass(frozen=True)
class Shape:
    """What is played: how many runs, of how many stages and seconds, files and megabytes."""

    runs: int
    stage_s: float
    stages: int
    files: int
    requests_per_s: float
    prefect_write_s: float


@dataclass(frozen=True)
class Played:
    """What came out: the whole time, and the share of it that each part was busy."""

    hours: float
    workers: float
    driver: float
    remote: float
    prefect: float


def processor_s(action: Callable[[], object]) -> float:
    """Seconds of processor time that an action takes in this process."""
    started = time.process_time()
    action()
    return time.process_time() - started


def children_s(command: list[str], folder: Path) -> float:
    """Seconds of processor time that a command takes, with everything that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(place: Path) -> Costs:
    """What a run costs beside its stages, with the method of five trivial stages."""
    from flows.engine.adoption import adopt
    from flows.engine.project import init_project
    from flows.engine.run import Run
    from flows.engine.shared_store import SharedStore
    from flows.sweeps.rows import wanted_runs
    from flows.sweeps.running import note_done
    from flows.sweeps.seen_done import SeenDone
    from flows.sweeps.table import Row

    project, _ = init_project(place)
    os.chdir(place)
    run = ["run", "trivial", "--text", "a", "--plain", "--name"]
    with contextlib.redirect_stdout(io.StringIO()):
        command_line(["methods"])  # which adds the trivial method
    children_s([*COMMAND, *run, "warm", "--no-restore"], place)
    whole = children_s([*COMMAND, *run, "one", "--no-restore"], place)
    folder = project.runs / "one"
    bare = 0.0
    for i in range(N_STAGES):
        source = f"step_{i - 1}" if i else "inputs/text.txt"
        line = [sys.executable, "-m", "stages", "trivial.copying", "--text", source, "--name", f"step_{i}"]
        bare += children_s(line, folder)
    rows = [Row(f"row {i}", {"name": f"r{i}", "text": "a"}) for i in range(N_ROWS)]
    seen = SeenDone(project, "scale")
    wanted = wanted_runs(project, "scale", rows, "trivial", [], seen)
    check = processor_s(lambda: wanted_runs(project, "scale", rows, "trivial", [], seen)) / N_ROWS
    lock = (folder / "dvc.lock").read_bytes()
    record = (folder / "history" / "0001.json").read_bytes()
    (place / "remote").mkdir()
    SharedStore(place).name(str(place / "remote"), {})
    SharedStore(place).push(folder, [dict(entry) for entry in Run(project, "one").locked().values()])

    def bring(first: int, last: int, files: bool) -> None:
        from flows.engine.dvc_store import DvcStore

        for each in wanted[first:last]:
            made = each.request.run
            with made.held():
                made.declare(each.request.declaration, each.request.settings, print)
                adopt(made, each.request.declaration, lock, record)
                if files:
                    entries = [dict(entry) for entry in made.locked().values()]
                    SharedStore(place).fetch(made.folder, entries)
                    DvcStore(place).checkout(made.dvc_file, list(made.locked()))

    bring_s = processor_s(lambda: bring(0, N_BROUGHT, False)) / N_BROUGHT
    shutil.rmtree(place / ".dvc" / "cache")
    bring_all_s = processor_s(lambda: bring(N_BROUGHT, 2 * N_BROUGHT, True)) / N_BROUGHT
    for each in wanted[: 2 * N_BROUGHT]:
        note_done(seen, each)
    know = processor_s(lambda: [seen.holds(each.name, each.key) for each in wanted[: 2 * N_BROUGHT]]) / (2 * N_BROUGHT)
    return Costs(check, know, bring_s, bring_all_s, max(0.0, whole - bare))


def play(shape: Shape, costs: Costs, workers: int, bring_s: float) -> Played:
    """Play runs through the queues; workers take the next run as soon as the driver has brought one back."""
    driver_free = shape.runs * costs.check  # every row is checked before the first one runs
    driver_busy = driver_free
    remote_s = (shape.stages * REQUESTS_A_STAGE + shape.files) / shape.requests_per_s
    prefect_s = shape.stages * PREFECT_STATES * shape.prefect_write_s
    remote_free = prefect_free = driver_free
    work_s = shape.stage_s + costs.worker
    begun = min(workers, shape.runs)
    live = [driver_free + work_s] * begun
    while live:
        done = heapq.heappop(live)
        remote_free = max(remote_free, done) + remote_s
        prefect_free = max(prefect_free, done) + prefect_s
        # a worker is free when what it made is in the remote and Prefect has written what it was told
        driver_free = max(driver_free, remote_free, prefect_free) + bring_s
        driver_busy += bring_s
        if begun < shape.runs:
            begun += 1
            heapq.heappush(live, driver_free + work_s)
    whole = driver_free
    return Played(
        hours=whole / 3600,
        workers=shape.runs * work_s / (whole * min(workers, shape.runs)),
        driver=driver_busy / whole,
        remote=shape.runs * remote_s / whole,
        prefect=shape.runs * prefect_s / whole,
    )


def table_of(shape: Shape, costs: Costs) -> str:
    """Rows by number of workers: without Prefect, files left in the remote or brought here; and with Prefect."""
    kinds = {
        "files stay in the remote": (shape, costs.bring),
        "all files come to the driver": (shape, costs.bring_all),
    }
    rows = []
    for what, (kind, bring_s) in kinds.items():
        for n in WORKERS:
            without = play(Shape(**(vars(kind) | {"prefect_write_s": 0.0})), costs, n, bring_s)
            seen = play(kind, costs, n, bring_s)
            shares = [f"{100 * share:.0f} %" for share in (without.workers, without.driver, without.remote)]
            rows.append([what, n, f"{without.hours:.1f}", *shares, f"{seen.hours:.1f}", f"{100 * seen.prefect:.0f} %"])
    header = (
        "",
        "workers",
        "hours",
        "workers busy",
        "driver busy",
        "remote busy",
        "hours with Prefect",
        "database busy",
    )
    return markdown_table(header, rows)


def main() -> int:
    """Measure, play, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000, help="how many runs are played (default: 100,000)")
    stage_s = "seconds of all stages of a run (default: 20.3, quick on two idle cores)"
    parser.add_argument("--stage-s", type=float, default=20.3, help=stage_s)
    parser.add_argument("--stages", type=int, default=5, help="stages of a run (default: 5)")
    parser.add_argument("--files", type=int, default=35, help="files of a run that go to the remote (default: 35)")
    requests = "requests that the remote takes a second (default: 3500, what S3 states for writes under one prefix)"
    parser.add_argument("--requests-per-s", type=float, default=3500.0, help=requests)
    write = "one row of Prefect's database, one writer (default: 0.01, measured with SQLite)"
    parser.add_argument("--prefect-write-s", type=float, default=0.01, help=write)
    add_write_option(parser, "scale", "scale")
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="prior3d-scale-"))
    try:
        costs = measure(place / "project")
    finally:
        os.chdir("/")
        shutil.rmtree(place, ignore_errors=True)
    shape = Shape(args.runs, args.stage_s, args.stages, args.files, args.requests_per_s, args.prefect_write_s)
    measured = [
        ["driver: check a row that is new", f"{1000 * costs.check:.1f}"],
        ["driver: know a row whose run was seen done", f"{1000 * costs.know:.2f}"],
        ["driver: bring a run back without its files", f"{1000 * costs.bring:.1f}"],
        ["driver: bring a run back with its files, from a folder", f"{1000 * costs.bring_all:.0f}"],
        ["worker: a run beyond its stages", f"{1000 * costs.worker:.0f}"],
    ]
    text = f"{markdown_table(('what', 'ms of processor time'), measured)}\n\n{table_of(shape, costs)}"
    print(text)
    if args.write:
        write_results(args.write, "scale", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
