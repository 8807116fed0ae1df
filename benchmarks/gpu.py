"""What a GPU makes of prior3d, in one table: `python benchmarks/gpu.py [--only floors,steps,flows,methods]`.

Floors first: what frozen networks of Stable Diffusion 1.5's size and the field's lookups take alone. Then steps of the
paper preset, as ratios to these floors. Then whole flows with the toy priors, alone and four at once. Last, the first
steps of methods at full size, for their memory. Weights are random: they are made here, on the device, in seconds. What
the time budget cuts off is a row, too.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import torch
from accelerator.floors import measure_floors
from accelerator.random_priors import write_random_prior
from accelerator.steps import measure_steps
from accelerator.table import Table, chosen
from accelerator.whole_flows import measure_flows, measure_methods
from results import add_write_option, commit, machine, markdown_table, write_results

from prior3d.devices import choose_device

PARTS = ("floors", "steps", "flows", "methods")
HEADER = ("part", "what", "value", "unit", "beside it")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: cuda)")
    parser.add_argument("--only", default="", metavar="PARTS", help=f"with commas: {','.join(PARTS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=5.0, help="no row begins later (default: 5)")
    parser.add_argument("--tiny", action="store_true", help="tiny networks and runs: a test of this benchmark")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    add_write_option(parser, "gpu", "speed")
    args = parser.parse_args()
    parts, device = list(chosen(PARTS, args.only)), choose_device(args.device)
    table = Table(device, time.monotonic() + 60 * args.minutes)
    print(f"{machine(str(device))}; commit {commit()}", flush=True)
    with tempfile.TemporaryDirectory() as place:
        measure(table, parts, Path(place), args.tiny)
    if args.json:
        facts = {"machine": machine(str(device)), "commit": commit(), "rows": [asdict(row) for row in table.rows]}
        args.json.write_text(json.dumps(facts, indent=2) + "\n")
    cut = sum(row.value is None for row in table.rows)
    print(f"{len(table.rows)} rows, {cut} without a value")
    if args.write:
        text = markdown_table(HEADER, [row.cells() for row in table.rows])
        write_results(args.write, "gpu", text, str(device))


def measure(table: Table, parts: list[str], place: Path, tiny: bool) -> None:
    """The parts that were asked for, in their order."""
    started, folder = time.monotonic(), place / "prior"
    if set(parts) - {"flows"}:
        write_random_prior(folder, table.device, tiny=tiny)
        table.measure("floors", "making a random prior", "s", lambda: time.monotonic() - started)
    for part in parts:
        if table.device.type == "cuda":
            torch.cuda.empty_cache()
        match part:
            case "floors":
                measure_floors(table, folder, tiny)
            case "steps":
                measure_steps(table, folder, tiny)
            case "flows":
                measure_flows(table, place, tiny)
            case "methods":
                measure_methods(table, place, folder, tiny)


if __name__ == "__main__":
    main()
