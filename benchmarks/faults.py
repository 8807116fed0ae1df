"""The table of promises: `python benchmarks/faults.py [--minutes 60] [--state FILE]`.

Kills, signals, full disks, power cuts, jumps of the clock, damaged files and changed inputs, on a method whose stages
take no time; and kills of the nine real methods, on random tiny priors. It goes on where it was stopped, as long as the
file of `--state` is there. `--only` names parts of it; `--short` tries a few of each.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from results import add_write_option, markdown_table, write_results

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.campaign import around, damage, kills  # noqa: E402
from benchmarks.campaign.fuzzing import Found  # noqa: E402
from benchmarks.campaign.fuzzing import campaign as fuzz  # noqa: E402
from benchmarks.campaign.power import power_cuts  # noqa: E402
from benchmarks.campaign.project import FakeProject  # noqa: E402
from benchmarks.campaign.readers import READERS  # noqa: E402
from benchmarks.campaign.state import Campaign  # noqa: E402

PARTS = ("power", "operations", "groups", "stages", "full", "instants", "signals", "server", "clock", "methods",
         "objects", "small", "fuzz")  # fmt: skip
HEADER = ("promise", "trials", "held", "the first that broke")


def trials(project: FakeProject, found: Campaign, part: str, step: int, many: int, is_time: Callable[[], bool]) -> None:
    """Carry out one part: at every `step`-th file operation, and at most `many` random instants."""
    if part == "power":
        power_cuts(project, found, step, is_time)
    elif part == "operations":
        kills.of_command(project, found, step, is_time)
    elif part == "groups":
        kills.of_group(project, found, step, is_time)
    elif part == "stages":
        kills.of_stages(project, found, step, is_time)
    elif part == "full":
        kills.full_disk(project, found, step, is_time)
    elif part == "instants":
        kills.at_instants(project, found, many, is_time)
    elif part == "signals":
        kills.signals(project, found, many, is_time)
    elif part == "server":
        around.servers(project, found, many, is_time)
    elif part == "clock":
        around.clocks(project, found, many, is_time)
    elif part == "methods":
        around.real_methods(project, found, many, is_time)
    elif part == "objects":
        damage.objects(project, found, is_time)
    elif part == "small":
        damage.small_files(project, found, is_time)


def fuzzed_rows(found: dict[str, Found]) -> list[list[str]]:
    """A line for each reader."""
    rows = []
    for name, counts in sorted(found.items()):
        kinds = ", ".join(f"{n} {kind}" for kind, n in counts.uncaught.items())
        wrong = f"{counts.hangs} hangs, {counts.memory} above 2 GB, {counts.deaths} deaths" if counts.wrong else ""
        rows.append(
            [f"reader: {name}", f"{counts.inputs:,}", f"{counts.inputs - counts.wrong:,}", f"{kinds} {wrong}".strip()]
        )
    return rows


def main() -> int:
    """Print the table; the exit code is 1 if a promise broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no trial after these; shared by the parts")
    parser.add_argument("--state", type=Path, default=Path("faults.json"), help="what was found so far")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--short", action="store_true", help="a few trials of each part")
    parser.add_argument("--every", type=int, default=7, metavar="K", help="try every K-th file operation")
    parser.add_argument("--inputs", type=int, default=50_000, help="of each reader")
    add_write_option(parser, "faults", "reliability")
    args = parser.parse_args()
    found, began = Campaign(args.state), time.monotonic()
    others = [part for part in args.only if part != "fuzz"]
    project = FakeProject() if others else None
    try:
        for place, part in enumerate(others):
            until = began + 60 * args.minutes * (place + 1) / len(args.only)
            assert project is not None
            many, step = (4, 97) if args.short else (10_000, args.every)
            trials(project, found, part, step, many, lambda until=until: time.monotonic() < until)  # type: ignore[misc]
    finally:
        if project is not None:
            project.remove()
    if "fuzz" in args.only:
        left = args.minutes - (time.monotonic() - began) / 60
        fuzz(found.fuzzed, left, list(READERS), 50 if args.short else args.inputs, found.save)
    rows = found.rows() + fuzzed_rows({name: Found(**counts) for name, counts in found.fuzzed.items()})
    print(table := markdown_table(HEADER, rows))
    if args.write:
        write_results(args.write, "faults", table)
    return 0 if all(row[1] == row[2] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
