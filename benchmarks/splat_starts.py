"""Where should splats begin? `python benchmarks/splat_starts.py CAPTURE[:SIDE] [CAPTURE[:SIDE] ...] [--seconds 75]`.

It runs scene_preparation, then scene_fit with `scene_fit.splats.start` at points, grid and random, each for the same
seconds of the processor, what the start itself takes included: the default numbers of steps, times a factor that a
short fit finds. Eight held-out images are compared. The time of measuring is not counted, nor is that of COLMAP.

A capture in COLMAP's layout brings points. For any other that has cameras, they are triangulated from its images of
`--points-side` pixels by pycolmap, with the cameras as they are (`colmap point_triangulator`).
"""

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fit_scenes import fit_watched, prepare
from results import add_write_option, markdown_table, write_results

import stages.scene_fit.splats as fitting
from flows.engine.parameters import resolve
from flows.methods import find_method
from prior3d.cameras import opengl_to_opencv
from prior3d.captures.colmap import LEAST_TRACK, pycolmap_for
from prior3d.captures.posed import PosedViews
from prior3d.images.files import write_png
from stages.artifacts.capture import load_points, load_posed_images, save_points
from stages.contract.parameters import check_params
from stages.scene_fit import Params
from stages.scene_fit.stage import losses

STARTS = ("points", "grid", "random")
PILOT_STEPS = 30  # of each phase, to find what a step costs
N_HELD_OUT = 8


@dataclass
class Times:
    """Seconds of the processor: from the start to the first step, then of each phase, with what is between them."""

    began: float
    phases: list[tuple[float, float]]

    @property
    def before(self) -> float:
        """Until the first step."""
        return self.phases[0][0] - self.began

    @property
    def total(self) -> float:
        """Until the last step."""
        return self.phases[-1][1] - self.began


def fitted(folder: Path, settings: dict[str, Any]) -> tuple[Times, dict[str, dict]]:
    """Fit splats to the prepared capture of a folder; seconds and metrics."""
    times, fit_phase = Times(time.process_time(), []), fitting.fit_phase

    def timed(*given) -> bool:
        began = time.process_time()
        done = fit_phase(*given)
        times.phases.append((began, time.process_time()))
        return done

    fitting.fit_phase = timed
    try:
        metrics = fit_watched(folder, check_params(Params, settings, "scene_fit"), losses)
    finally:
        fitting.fit_phase = fit_phase
    return times, metrics


def changed(settings: dict[str, Any], start: str, steps: list[int], seed: int = 0) -> dict[str, Any]:
    """Settings of scene_fit with another start, other steps and another seed."""
    splats = settings["splats"] | {"start": start, "steps": steps}
    return settings | {"kind": "splats", "splats": splats, "seed": seed}


def steps_for(folder: Path, settings: dict[str, Any], start: str, seconds: float) -> list[int]:
    """Steps of the phases that take so many seconds with a start, in the proportions of the default."""
    default = settings["splats"]["steps"]
    times, _ = fitted(folder, changed(settings, start, [PILOT_STEPS] * len(default)))
    costs = [(end - began) / PILOT_STEPS for began, end in times.phases]
    factor = (seconds - times.before) / sum(cost * n for cost, n in zip(costs, default, strict=True))
    if factor <= 0:
        raise SystemExit(f"{start} alone takes {times.before:.0f} s; raise --seconds")
    return [max(1, round(factor * n)) for n in default]


def triangulate(views: PosedViews, work: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Points that images show and their colours, [n, 3] each, by COLMAP with the cameras as they are."""
    colmap = pycolmap_for("points are triangulated")
    colmap.logging.minloglevel = int(colmap.logging.ERROR.value)
    (work / "images").mkdir(parents=True)
    names = [f"{view:05d}.png" for view in range(views.views)]
    for view, name in enumerate(names):
        write_png(work / "images" / name, views.over(view, 1.0).movedim(0, -1).numpy())
    cameras, database = views.cameras, work / "database.db"
    size = {"width": cameras.width, "height": cameras.height}
    lenses = [[float(focal)] * 2 + [cameras.width / 2, cameras.height / 2] for focal in cameras.focal_pixels]
    reader = colmap.ImageReaderOptions()
    reader.camera_model, reader.camera_params = "PINHOLE", ",".join(map(str, lenses[0]))
    found = colmap.FeatureExtractionOptions()
    found.num_threads, found.use_gpu = 1, False
    colmap.extract_features(
        database, work / "images", names, colmap.CameraMode.PER_IMAGE, reader, found, colmap.Device.cpu
    )
    matched = colmap.FeatureMatchingOptions()
    matched.num_threads, matched.use_gpu = 1, False
    colmap.match_exhaustive(database, matched, device=colmap.Device.cpu)
    reconstruction = colmap.Reconstruction()
    w2c = torch.linalg.inv(opengl_to_opencv(cameras.c2w.double())).numpy()
    with colmap.Database.open(str(database)) as opened:
        images = {image.name: image for image in opened.read_all_images()}
    for view, name in enumerate(names):
        image = images[name]
        lens = colmap.Camera(model="PINHOLE", params=lenses[view], camera_id=image.camera_id, **size)
        reconstruction.add_camera_with_trivial_rig(lens)
        pose = colmap.Rigid3d(colmap.Rotation3d(w2c[view, :3, :3]), w2c[view, :3, 3])
        blank = colmap.Image(name=name, camera_id=image.camera_id, image_id=image.image_id)
        reconstruction.add_image_with_trivial_frame(blank, pose)
    (work / "model").mkdir()
    whole = colmap.triangulate_points(reconstruction, database, work / "images", work / "model")
    agreed = [point for _, point in sorted(whole.points3D.items()) if point.track.length() >= LEAST_TRACK]
    places = torch.from_numpy(np.array([point.xyz for point in agreed]).reshape(-1, 3)).float()
    colours = torch.from_numpy(np.array([point.color for point in agreed]).reshape(-1, 3) / 255).float()
    return places, colours


def prepared(out: Path, capture: Path, side: int, points_side: int, words: list[str]) -> tuple[Path, dict[str, Any]]:
    """The folder of a prepared capture with points, and the settings of scene_fit."""
    folder = out / f"{capture.name}-{side}"
    settings = resolve(find_method("scene"), "toy", None, [f"scene_preparation.longest_side={side}", *words])
    prepare(folder, capture, settings)
    if load_points(folder / "scene_preparation") is None:
        larger = folder / "larger"
        size = [f"scene_preparation.longest_side={points_side}"]
        prepare(larger, capture, resolve(find_method("scene"), "toy", None, [*words, *size]))
        began = time.process_time()
        points = triangulate(load_posed_images(larger / "scene_preparation"), larger / "triangulated")
        save_points(folder / "scene_preparation", *points)
        print(f"{capture.name}: triangulated in {time.process_time() - began:.0f} s of the processor", flush=True)
    n = load_posed_images(folder / "scene_preparation").views
    return folder, settings["scene_fit"] | {"held_out_every": max(1, n // N_HELD_OUT), "n_measured_views": N_HELD_OUT}


def compared(folder: Path, settings: dict[str, Any], starts: list[str], seeds: int, seconds: float) -> list[dict]:
    """Every start with every seed: what it took and how good it is."""
    fitted(folder, changed(settings, "random", [1] * len(settings["splats"]["steps"])))  # compiles
    steps = {start: steps_for(folder, settings, start, seconds) for start in starts}
    rows = []
    for seed in range(seeds):
        for start in starts:
            times, metrics = fitted(folder, changed(settings, start, steps[start], seed))
            row = {
                "start": start, "seed": seed, "steps": sum(steps[start]), "before": times.before,
                "seconds": times.total, "n": metrics["held_out_psnr"]["n"],
            } | {name: metrics[f"held_out_{name}"]["value"] for name in ("psnr", "ssim")}  # fmt: skip
            rows.append(row)
            print(folder.name, json.dumps(row), flush=True)
    return rows


def main() -> None:
    """Compare the starts on each capture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", help="a capture's folder, or FOLDER:LONGEST_SIDE")
    parser.add_argument("--seconds", type=float, default=75.0, help="of the processor, for each fit")
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=list(STARTS))
    parser.add_argument("--seeds", type=int, default=2, help="so many fits of each")
    parser.add_argument("--points-side", type=int, default=200, help="longest side of images that give points")
    parser.add_argument("--out", type=Path, default=Path("splat-starts"), help="folder for runs and figures")
    parser.add_argument("--set", action="append", default=[], help="STAGE.PARAMETER=VALUE")
    add_write_option(parser, "splat_starts", "scenes")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    lines = []
    for word in args.captures:
        path, _, side = word.partition(":")
        folder, settings = prepared(args.out.resolve(), Path(path), int(side or 128), args.points_side, args.set)
        points = load_points(folder / "scene_preparation")
        n_points = 0 if points is None else len(points[0])
        for row in compared(folder, settings, args.starts, args.seeds, args.seconds):
            lines.append([
                folder.name, row["start"] + (f" ({n_points})" if row["start"] == "points" else ""), row["seed"],
                row["steps"], f"{row['before']:.0f}", f"{row['seconds']:.0f}", f"{row['psnr']:.2f}",
                f"{row['ssim']:.3f}",
            ])  # fmt: skip
    header = ["capture", "start", "seed", "steps", "seconds before the first", "seconds in all", "PSNR, dB", "SSIM"]
    table = markdown_table(header, lines)
    print(table)
    if args.write:
        write_results(args.write, "splat_starts", table)


if __name__ == "__main__":
    main()
