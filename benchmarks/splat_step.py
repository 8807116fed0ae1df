"""What does a step of splats cost beside one of the grid? `python benchmarks/splat_step.py CAPTURE [--side 128]`.

It runs scene_preparation, then both kinds of scene_fit for few steps, and prints the seconds of the processor of a step
of their last phases: of splats one whole image, of the grid the rays of `scene_fit.rendering.rays_per_step`.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import torch
from fit_scenes import fit_watched, prepare
from results import add_write_option, markdown_table, write_results

from flows.engine.parameters import resolve
from flows.methods import find_method
from stages.contract.job import Job
from stages.contract.parameters import check_params
from stages.scene_fit import Params
from stages.scene_fit.stage import losses

GRID = ["scene_fit.steps=[60,60,60]"]
SPLATS = ["scene_fit.kind=splats", "scene_fit.splats.steps=[60,60,60]"]


def seconds_of_steps(folder: Path, settings: dict, n_last: int) -> float:
    """The median over the last steps of a fit."""
    times: list[float] = []
    report = Job.progress

    def progress(self, step, total, **others):
        if others.get("loss") is not None:
            times.append(time.process_time())
        report(self, step, total, **others)

    Job.progress = progress
    try:
        fit_watched(folder, check_params(Params, settings["scene_fit"], "scene_fit"), losses)
    finally:
        Job.progress = report
    last = times[-n_last:]
    return statistics.median(after - before for before, after in zip(last, last[1:], strict=False))


def main() -> None:
    """Time both, and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--side", type=int, default=128, help="longest side of the images")
    parser.add_argument("--out", type=Path, default=Path("splat-step"), help="folder for runs")
    add_write_option(parser, "splat_step", "speed")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    found = {}
    for kind, words in (("grid", GRID), ("splats", SPLATS)):
        settings = resolve(find_method("scene"), "toy", None, [f"scene_preparation.longest_side={args.side}", *words])
        folder = args.out.resolve() / args.capture.name
        prepare(folder, args.capture, settings)
        found[kind] = seconds_of_steps(folder, settings, 40)
        print(f"{kind}: {found[kind] * 1e3:.0f} ms of the processor a step", flush=True)
    ratio = found["splats"] / found["grid"]
    print(f"ratio {ratio:.2f}")
    if args.write:
        rows = [[kind, f"{seconds * 1e3:.0f}", f"{seconds / found['grid']:.2f}"] for kind, seconds in found.items()]
        header = ["fit", "ms of the processor a step", "ratio"]
        write_results(args.write, "splat_step", markdown_table(header, rows))


if __name__ == "__main__":
    main()
