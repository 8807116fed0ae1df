"""What orchestration costs: `python benchmarks/orchestration.py [--prefect]`.

Five stages that do nothing, through the whole command line; the baseline is five bare `python -m` processes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import add_write_option, markdown_table, write_results

N_STAGES = 5
HERE = Path(__file__).resolve().parent
COMMAND = [sys.executable, str(HERE / "orchestration.py"), "cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}


def command_line(words: list[str]) -> int:
    """`prior3d` with the method of five trivial stages in it."""
    from flows import methods
    from flows.cli import main as prior3d
    from flows.engine.method import Input, Method, Stage

    names = [f"step_{i}" for i in range(N_STAGES)]
    stages = tuple(
        Stage(name, {"text": source}, module="trivial.copying")
        for name, source in zip(names, ["text", *names[:-1]], strict=True)
    )
    methods.METHODS["trivial"] = Method("trivial", "copies", (Input("text", "text", "what to copy"),), stages)
    return prior3d(words)


def seconds(command: list[str], folder: Path) -> float:
    """How long a command takes; its output is shown if it fails."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def bare(run_folder: Path) -> float:
    """All stages as processes of their own, in a folder that was run before."""
    total = 0.0
    for i in range(N_STAGES):
        source = f"step_{i - 1}" if i else "inputs/text.txt"
        command = [sys.executable, "-m", "stages", "trivial.copying", "--text", source, "--name", f"step_{i}"]
        total += seconds(command, run_folder)
    return total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefect", action="store_true", help="also with Prefect: starts a server and stops it again")
    add_write_option(parser, "orchestration", "speed")
    args = parser.parse_args()
    project = Path(tempfile.mkdtemp(prefix="prior3d-orchestration-"))
    run = [*COMMAND, "run", "trivial", "--text"]
    try:
        seconds([*COMMAND, "init"], project)
        seconds([*run, "warm up", "--plain", "--name", "warm"], project)
        rows = {
            "bare `python -m` processes": bare(project / "data" / "runs" / "warm"),
            "engine, cold": seconds([*run, "one", "--plain", "--name", "one"], project),
            "engine, restored from the cache": seconds([*run, "one", "--plain", "--name", "two"], project),
            "engine, nothing to do": seconds([*run, "one", "--name", "one"], project),
            "plan": seconds([*COMMAND, "plan", "one"], project),
            "command line alone": seconds([*COMMAND, "methods"], project),
        }
        if args.prefect:
            rows["engine, cold, server started"] = seconds([*run, "three", "--name", "three"], project)
            rows["engine, cold, server there"] = seconds([*run, "four", "--name", "four"], project)
            seconds([*COMMAND, "server", "stop"], project)
    finally:
        shutil.rmtree(project, ignore_errors=True)
    baseline = rows["bare `python -m` processes"]
    print(f"{N_STAGES} stages that do nothing, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'':34}{'seconds':>9}{'s a stage':>11}{'ratio':>8}")
    table = []
    for name, total in rows.items():
        cells = [f"{total:.2f}", f"{total / N_STAGES:.2f}", f"{total / baseline:.2f}"]
        print(f"{name:34}{cells[0]:>9}{cells[1]:>11}{cells[2]:>8}")
        table.append([name, *cells])
    if args.write:
        text = markdown_table([f"{N_STAGES} stages that do nothing", "seconds", "seconds per stage", "ratio"], table)
        write_results(args.write, "orchestration", text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["cli"]:
        sys.exit(command_line(sys.argv[2:]))
    main()
