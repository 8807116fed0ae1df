"""How fast are captures fitted? `python benchmarks/fit_scenes.py CAPTURE [CAPTURE ...] [--set STAGE.NAME=X]`.

It runs scene_preparation and scene_fit with the parameters of `prior3d run scene`, and measures held-out images on the
way: their PSNR against the seconds of fitting, by the clock and of the processor. The time of measuring is not counted.
It uses as many threads as OMP_NUM_THREADS says, two by default.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import time
from pathlib import Path

import torch
import yaml

from flows.engine.parameters import resolve
from flows.methods import find_method
from prior3d.captures.held_out import evenly_chosen, render_and_photo, split_views
from prior3d.metrics import psnr_db
from stages.artifacts.capture import load_posed_images
from stages.contract.entry import execute
from stages.contract.job import Job
from stages.contract.parameters import check_params
from stages.scene_fit import Params
from stages.scene_fit.stage import losses, run


class Watch:
    """Builds the losses of scene_fit's phases, and looks at the field between steps.

    Attributes:
        rows: step, seconds by the clock and of the processor, and PSNR, of each look.
    """

    def __init__(self, every: float, n_views: int):
        """Look whenever so many seconds of the processor have gone into fitting, at so many held-out images."""
        self.every, self.n_views = every, n_views
        self.rows: list[dict[str, float]] = []
        self.clock, self.processor, self.steps = 0.0, 0.0, 0

    def __call__(self, params, phase, field, store, seeds):
        """The losses of a phase, watched."""
        terms = losses(params, phase, field, store, seeds)
        held_out, _ = split_views(store.views.views, params.held_out_every)
        some = evenly_chosen(held_out, min(self.n_views, len(held_out)))
        began = (time.perf_counter(), time.process_time())

        def watched(step: int):
            nonlocal began
            now = (time.perf_counter(), time.process_time())
            self.clock, self.processor = self.clock + now[0] - began[0], self.processor + now[1] - began[1]
            if self.processor >= self.every * (len(self.rows) + 1) or self.is_last(params):
                pairs = [render_and_photo(store.views, field, view, params.rendering.n_bins) for view in some]
                psnr = sum(psnr_db(*pair) for pair in pairs) / len(pairs)
                self.rows.append({"step": self.steps, "clock": self.clock, "processor": self.processor, "psnr": psnr})
                print(f"{self.steps:6d} steps {self.clock:7.0f} s {self.processor:7.0f} s of the processor"
                      f" {psnr:7.2f} dB", flush=True)  # fmt: skip
            self.steps += 1
            began = (time.perf_counter(), time.process_time())
            return terms(step)

        return watched

    def is_last(self, params) -> bool:
        """Whether the last step is about to be taken."""
        return self.steps == sum(params.steps) - 1


def fit_watched(folder: Path, params: Params, watch: Watch) -> dict[str, dict]:
    """Fit the prepared capture of a folder from the start, as the stage does; its metrics."""
    work = folder / "fit"
    shutil.rmtree(work, ignore_errors=True)
    job = Job("scene_fit", folder, {"images": folder / "scene_preparation"}, work, settings={"device": "cpu"})
    job.out.mkdir(parents=True)
    run(job, params, build_losses=watch)
    return job.metrics


def prepare(folder: Path, capture: Path, settings: dict[str, dict]) -> None:
    """Run scene_preparation on a capture."""
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(settings))
    if not (folder / "inputs" / "scene").exists():
        (folder / "inputs" / "scene").symlink_to(capture.resolve())
    with contextlib.redirect_stdout(io.StringIO()):  # progress lines
        code = execute("stages.scene_preparation", ["--scene", "inputs/scene"], folder)
    if code != 0:
        raise SystemExit(f"scene_preparation failed in {folder}")


def main() -> None:
    """Fit each, and print its curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--every", type=float, default=30.0, help="seconds of the processor between two looks")
    parser.add_argument("--views", type=int, default=5, help="held-out images of a look")
    parser.add_argument("--out", type=Path, default=Path("fit-scenes"), help="folder for runs and figures")
    parser.add_argument("--set", action="append", default=[], help="STAGE.PARAMETER=VALUE, e.g. scene_fit.sh_degree=2")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    settings = resolve(find_method("scene"), "toy", None, args.set)
    for capture in args.captures:
        folder = args.out.resolve() / capture.name
        prepare(folder, capture, settings)
        watch = Watch(args.every, args.views)
        params = check_params(Params, settings["scene_fit"], "scene_fit")
        began = (time.perf_counter(), time.process_time())
        metrics = fit_watched(folder, params, watch)
        print(f"scene_fit: {time.perf_counter() - began[0]:.0f} s, {time.process_time() - began[1]:.0f} s of the "
              "processor, measuring included", flush=True)  # fmt: skip
        (folder / "curve.json").write_text(json.dumps({"rows": watch.rows, "metrics": metrics}, indent=1))
        views = load_posed_images(folder / "scene_preparation").views
        print(capture.name, f"{views} images", json.dumps(metrics), flush=True)


if __name__ == "__main__":
    main()
