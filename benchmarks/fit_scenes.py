"""How fast are captures fitted? `python benchmarks/fit_scenes.py CAPTURE [CAPTURE ...] [--set STAGE.NAME=X]`.

Runs scene_preparation and scene_fit as a flow does, with the parameters that `prior3d run scene` has, and measures
held-out pictures on the way: their PSNR against the seconds of fitting, by the clock and of the processor. What the
measuring takes is not counted. Threads are as many as OMP_NUM_THREADS says, two by default.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch
import yaml

import stages.scene_fit.stage as scene_fit
from prior3d.captures.held_out import evenly_chosen, render_and_photo, split_views
from prior3d.metrics import psnr_db
from stages.artifacts.capture import load_posed_images
from stages.contract.entry import execute


class Watch:
    """Takes the place of `scene_fit.losses`, and looks at the field between steps.

    Attributes:
        rows: step, seconds by the clock and of the processor, and PSNR, of each look.
    """

    def __init__(self, every: float, n_views: int):
        """Look whenever so many seconds of the processor have gone into fitting, at so many held-out pictures."""
        self.every, self.n_views, self.losses = every, n_views, scene_fit.losses
        self.rows: list[dict[str, float]] = []
        self.clock, self.processor, self.steps = 0.0, 0.0, 0

    def __call__(self, params, phase, field, store, seeds):
        """The losses of a phase, watched."""
        terms = self.losses(params, phase, field, store, seeds)
        held_out, _ = split_views(store.views.views, params.held_out_every)
        some = evenly_chosen(held_out, min(self.n_views, len(held_out)))
        began = (time.perf_counter(), time.process_time())

        def watched(step: int):
            nonlocal began
            now = (time.perf_counter(), time.process_time())
            self.clock, self.processor = self.clock + now[0] - began[0], self.processor + now[1] - began[1]
            if self.processor >= self.every * (len(self.rows) + 1) or self.is_last(params):
                pairs = [render_and_photo(store.views, field, view, params.segments) for view in some]
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


def main() -> None:
    """Fit each, and print its curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", type=Path)
    parser.add_argument("--every", type=float, default=30.0, help="seconds of the processor between two looks")
    parser.add_argument("--views", type=int, default=5, help="held-out pictures of a look")
    parser.add_argument("--out", type=Path, default=Path("fit-scenes"), help="folder for runs and figures")
    parser.add_argument("--set", action="append", default=[], help="STAGE.PARAMETER=VALUE")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    settings: dict[str, dict] = {"scene_preparation": {}, "scene_fit": {}}
    for text in args.set:
        key, _, value = text.partition("=")
        name, _, parameter = key.partition(".")
        settings[name][parameter] = yaml.safe_load(value)
    for capture in args.captures:
        run = args.out.resolve() / capture.name
        run.mkdir(parents=True, exist_ok=True)
        (run / "local.yaml").write_text(yaml.safe_dump({"device": "cpu"}))
        (run / "params.yaml").write_text(yaml.safe_dump(settings))
        if not (run / "inputs" / "scene").exists():
            (run / "inputs").mkdir(exist_ok=True)
            (run / "inputs" / "scene").symlink_to(capture.resolve())
        watch = Watch(args.every, args.views)
        scene_fit.losses = watch  # the stage looks it up there
        try:
            for name, words in (("scene_preparation", ["--scene", "inputs/scene"]),
                                ("scene_fit", ["--images", "scene_preparation"])):  # fmt: skip
                began = (time.perf_counter(), time.process_time())
                if execute(f"stages.{name}", words, run) != 0:
                    raise SystemExit(f"{name} failed in {run}")
                print(f"{name}: {time.perf_counter() - began[0]:.0f} s, {time.process_time() - began[1]:.0f} s of the "
                      "processor, measuring included", flush=True)  # fmt: skip
        finally:
            scene_fit.losses = watch.losses
        metrics = json.loads((run / "scene_fit" / "metrics.json").read_text())
        (run / "curve.json").write_text(json.dumps({"rows": watch.rows, "metrics": metrics}, indent=1))
        views = load_posed_images(run / "scene_preparation").views
        print(capture.name, f"{views} pictures", json.dumps(metrics), flush=True)


if __name__ == "__main__":
    main()
