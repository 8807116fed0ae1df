"""The table of promises: `python benchmarks/faults.py [--minutes 60] [--state FILE]`.

Kills, signals, full disks, power cuts, jumps of the clock, damaged files and changed inputs, on a method whose stages
take no time; and kills of the nine real methods, on random tiny priors. It goes on where it was stopped, as long as the
file of `--state` is there. `--only` names parts of it; `--short` tries a few of each.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

from results import add_write_option, markdown_table, write_results

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.campaign import around, damage, kills  # noqa: E402
from benchmarks.campaign.power import power_cuts  # noqa: E402
from benchmarks.campaign.project import FakeProject  # noqa: E402
from benchmarks.campaign.state import Campaign, Found  # noqa: E402

MOST = 10_000
Trials = Callable[[FakeProject, Campaign, kills.Numbers, Callable[[], bool]], None]
AT_OPERATIONS: dict[str, Trials] = {
    "power": power_cuts,
    "operations": kills.of_command,
    "groups": kills.of_group,
    "stages": kills.of_stages,
    "full": kills.full_disk,
}
AT_INSTANTS: dict[str, Trials] = {
    "instants": kills.at_instants,
    "signals": kills.signals,
    "server": around.servers,
    "clock": around.clocks,
}
DAMAGES = {"objects": damage.objects, "small": damage.small_files}
PARTS = (*AT_OPERATIONS, *AT_INSTANTS, *DAMAGES, "methods", "fuzz")
HEADER = ("promise", "trials", "held", "the first that broke")
SHORT, SHORT_STEP = 4, 97


def trials(
    project: FakeProject, found: Campaign, part: str, args: argparse.Namespace, is_time: Callable[[], bool]
) -> None:
    """Carry out one part: at every K-th file operation, or with as many random instants as there is time for."""
    first = args.first
    if part in AT_OPERATIONS:
        step = SHORT_STEP if args.short else args.every
        AT_OPERATIONS[part](project, found, lambda: itertools.count(first, step), is_time)
    elif part in DAMAGES:
        DAMAGES[part](project, found, is_time)
    else:
        numbers = range(first, first + SHORT) if args.short else range(first, MOST)
        at_instants = AT_INSTANTS[part] if part in AT_INSTANTS else _of_methods()
        at_instants(project, found, lambda: numbers, is_time)


def _of_methods() -> Trials:
    from benchmarks.campaign.methods import real_methods  # torch: seconds that most parts need not wait

    return real_methods


def fuzz(found: Campaign, minutes: float, most: int) -> None:
    """Fuzz every reader."""
    from benchmarks.campaign import fuzzing, readers  # torch, as above

    fuzzing.campaign(found.fuzzed, minutes, list(readers.READERS), most, found.save)


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
    parser.add_argument("--first", type=int, default=1, metavar="N", help="begin at this operation, or this instant")
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
            trials(project, found, part, args, lambda until=until: time.monotonic() < until)  # type: ignore[misc]
    finally:
        if project is not None:
            project.remove()
    if "fuzz" in args.only:
        left = args.minutes - (time.monotonic() - began) / 60
        fuzz(found, left, 50 if args.short else args.inputs)
    rows = found.rows() + fuzzed_rows({name: Found(**counts) for name, counts in found.fuzzed.items()})
    print(table := markdown_table(HEADER, rows))
    if args.write:
        write_results(args.write, "faults", table)
    return 0 if all(row[1] == row[2] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
