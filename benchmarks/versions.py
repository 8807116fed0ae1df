"""What versions cost when there are many: `python benchmarks/versions.py [--versions 1000] [--runs 1000]`.

One real run of five stages that do nothing; its versions and its folder are then copied. Commands are timed inside one
process that has done its imports, each three times; `run` is timed as a whole process. Processor seconds are those to
look at while other work keeps the cores busy.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from orchestration import COMMAND, command_line, seconds

REPEATS = 3


def copy_versions(run: Path, count: int) -> None:
    """Give a run so many versions: each lock has another parameter's value in it, each record another time."""
    history = run / "history"
    lock, record = (history / "0001.lock").read_text(), json.loads((history / "0001.json").read_text())
    for number in range(2, count + 1):
        record["when"] = f"2026-01-{1 + number % 28:02d}T12:{number % 60:02d}:00Z"
        record["changes"] = [f"step_0.seed: {number - 1} -> {number}"]
        (history / f"{number:04d}.lock").write_text(lock.replace("seed: 0", f"seed: {number}", 1))
        (history / f"{number:04d}.json").write_text(json.dumps(record, indent=1))


def copy_runs(run: Path, count: int) -> None:
    """Put so many runs beside it."""
    for number in range(count):
        shutil.copytree(run, run.with_name(f"copy-{number:04d}"), copy_function=os.link)


def timed(words: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of the quickest of a few calls of a command, in this process."""
    calls = []
    for _ in range(REPEATS):
        said = io.StringIO()
        started, used = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(said):
            code = command_line(words)
        calls.append((time.perf_counter() - started, time.process_time() - used))
        if code:
            raise SystemExit(f"prior3d {' '.join(words)} failed")
    return min(calls)


def process(words: list[str], project: Path) -> tuple[float, float]:
    """The same of the quickest of a few processes."""
    calls = []
    for _ in range(REPEATS):
        before = os.times()
        wall = seconds(words, project)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        calls.append((wall, used))
    return min(calls)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=1000, help="of one run")
    parser.add_argument("--runs", type=int, default=1000, help="beside it")
    args = parser.parse_args()
    project = Path(tempfile.mkdtemp(prefix="prior3d-versions-"))
    run = [*COMMAND, "run", "trivial", "--text", "one", "--name", "one", "--plain"]
    try:
        seconds([*COMMAND, "init"], project)
        seconds(run, project)
        folder = project / "data" / "runs" / "one"
        copy_runs(folder, args.runs)
        copy_versions(folder, args.versions)
        os.chdir(project)
        last = args.versions
        rows = {
            "log": timed(["log", "one"]),
            "log --all": timed(["log", "one", "--all"]),
            "diff, two versions": timed(["diff", "one@1", f"one@{last}"]),
            "diff, the present one": timed(["diff", f"one@{last // 2}", "one"]),
            "restore": timed(["restore", f"one@{last // 2}"]),
            "open": timed(["open", "one", "--no-browser"]),
            "gallery": timed(["gallery"]),
            "gc, nothing to remove": timed(["gc", "--yes"]),
            "ls": timed(["ls"]),
        }
        folder = project / "data" / "runs" / "copy-0000"
        rows["run, nothing to do (process)"] = process([*run[:-2], "copy-0000", run[-1]], project)
    finally:
        os.chdir("/")
        shutil.rmtree(project, ignore_errors=True)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{args.versions:,} versions of one run, {args.runs:,} runs; {load}")
    print(f"{'':34}{'wall':>10}{'processor':>12}")
    for name, (wall, used) in rows.items():
        print(f"{name:34}{wall:8.3f} s{used:10.3f} s")


if __name__ == "__main__":
    sys.exit(main())
