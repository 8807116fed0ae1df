"""What a sweep costs beside its stages: `python benchmarks/sweeps.py [--rows 1000] [--on local:1 dask ray]`.

First a few runs of `latent-nerf` with few steps are made in each place: the seconds of a row, less those from the
begin of each stage to its end; and of these, how many are no work of the stage: libraries, the cache, the commit.
Then so many rows that are done are planned by `sweep --plan`: runs that were never looked at, looked at by DVC, and
seen done by the sweep. Their files are links to those of one run, so that they take no room.
"""

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import add_write_option, markdown_table, write_results
from versions import copy_runs

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flows.engine.results import read_cost  # noqa: E402
from tests.flows.clusters import SMALL  # noqa: E402

PLACES = ("local:1", "local:1 with a remote", "dask", "ray")
METHOD = ["--method", "latent-nerf", *(word for name, value in SMALL.items() for word in ("--set", f"{name}={value}"))]
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"} | os.environ | {"PYTHONPATH": str(ROOT)}
DONE = re.compile(r"^  (\S+): done in ([0-9.]+) s", re.M)
STAGE = re.compile(r"^(\w+) +done in (?:([0-9]+) min )?([0-9.]+) s", re.M)


def prior3d(project: Path, *words: str) -> tuple[str, float, float]:
    """What a command printed, its seconds of clock and of processor time."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "flows.cli", *words]
    done = subprocess.run(command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"prior3d {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def overheads(place: Path, on: str, n_runs: int) -> list[tuple[float, float]]:
    """Of each row the seconds that are not its stages', and those of its stages that are not their work."""
    project = place / re.sub(r"\W+", "-", on)
    project.mkdir()
    prior3d(project, "init")
    if "remote" in on:
        prior3d(project, "remote", "add", str(place / "remote"))
    lines = [f"r{i},a red mug,{i}" for i in range(n_runs)]
    (project / "rows.csv").write_text("\n".join(["name,prompt,seed", *lines]) + "\n")
    said, _, _ = prior3d(project, "sweep", "rows.csv", *METHOD, "--on", on.partition(" ")[0])
    found = []
    for name, seconds in DONE.findall(said):
        folder = project / "data" / "runs" / name
        log = (project / ".prior3d" / "sweeps" / "rows" / f"{name}.log").read_text()
        whole = {stage: 60 * float(minutes or 0) + float(rest) for stage, minutes, rest in STAGE.findall(log)}
        work = sum(read_cost(folder, stage)["seconds"] for stage in whole)
        found.append((float(seconds) - sum(whole.values()), sum(whole.values()) - work))
    if len(found) != n_runs:
        raise SystemExit(f"{on}: {len(found)} of {n_runs} rows done:\n{said}")
    return found


def planned(project: Path, n_rows: int) -> list[list[str]]:
    """Seconds of planning so many rows that are done: a row for each of the three cases."""
    run, state = project / "data" / "runs" / "r0", project / ".prior3d" / "sweeps" / "many" / "done.json"
    copy_runs(run, n_rows)
    lines = [f"copy-{i:04d},a red mug,0" for i in range(n_rows)]
    (project / "many.csv").write_text("\n".join(["name,prompt,seed", *lines]) + "\n")
    rows = []
    for what in ("never looked at", "looked at by DVC before", "seen done by this sweep"):
        if what == "looked at by DVC before":
            state.unlink()
        said, seconds, processor = prior3d(project, "sweep", "many.csv", *METHOD, "--plan")
        if not said.startswith(f"sweep many: {n_rows} runs, {n_rows} done, 0 to make"):
            raise SystemExit(f"not all of {n_rows} rows count as done: {said.splitlines()[0]}")
        rows.append([what, f"{seconds:.1f}", f"{processor:.1f}"])
    return rows


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000, help="rows that are planned (default: 1000)")
    parser.add_argument("--runs", type=int, default=4, help="runs that are made in each place (default: 4)")
    parser.add_argument("--on", nargs="+", default=PLACES, choices=PLACES, help="places (default: all)")
    add_write_option(parser, "sweeps", "scale")
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="prior3d-sweeps-"))
    try:
        table = []
        for on in args.on:
            found = overheads(place, on, args.runs)
            beyond, inside = zip(*found, strict=True)
            middle = statistics.median
            table.append([on, args.runs, f"{min(beyond):.1f}", f"{middle(beyond):.1f}", f"{middle(inside):.1f}"])
            print(table[-1], flush=True)
        first = place / re.sub(r"\W+", "-", args.on[0])
        plans = planned(first, args.rows)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    inside = "seconds of its five stages that are not their work, median"
    header = ("where", "runs", "seconds of a row beyond its stages, least", "median", inside)
    rows = (f"`sweep --plan` of {args.rows:,} rows that are done", "seconds, clock", "seconds, processor")
    text = f"{markdown_table(header, table)}\n\n{markdown_table(rows, plans)}"
    print(text)
    if args.write:
        write_results(args.write, "sweeps", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
