"""One image to 3D against exact geometry: `python benchmarks/image_to_3d.py [--objects N] [words for prior3d run ...]`.

Held-out toy objects, each seen once from a random azimuth and an elevation of 0 to 40 degrees, become meshes. Each mesh
is drawn from 16 other cameras and compared with exact renders (PSNR and SSIM at 64 x 64, over white), and its surface
and volume with the object's own (F-score at 0.05, in units in which the object fits a ball of 0.95; volume IoU).
Ablations run the same objects without the prior and without the inverted word. Intervals are 95 % bootstraps over the
objects. Runs that are there are not computed again: break it off at will.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml
from judging.geometry import geometry
from PIL import Image
from results import add_write_option, markdown_table, write_results

from flows.methods import METHODS
from prior3d.cameras import orbit_cameras
from prior3d.images.files import contact_sheet, to_uint8, write_png
from prior3d.meshes.mesh import TexturedMesh
from prior3d.meshes.raster import render_mesh
from prior3d.metrics import psnr_db, ssim
from prior3d.toyworld.objects import ToyObject, sample_object
from prior3d.toyworld.renders import render_toy, toy_orbit
from stages.artifacts.meshes import load_textured_mesh
from stages.image_preparation import Params

WORLD_SEED, N_VIEWS, SIZE, PICTURE_SIZE = 7, 16, 64, 64
VARIANTS: dict[str, list[str]] = {
    "full": [],
    "without-prior": ["image_nerf.sds.weight=0", "image_nerf.refreshing.steps=0"],
    "without-inversion": ["image_nerf.prompting.template=a thing", "textual_inversion.steps=0"],
}
FIGURES = ("psnr", "ssim", "f_score", "volume_iou", "reference_psnr", "sharpness", "covered", "seconds")


def viewpoint(index: int) -> tuple[float, float]:
    """Azimuth and elevation from which object `index` is seen."""
    rng = np.random.default_rng([WORLD_SEED, index])
    return float(rng.uniform(0, 360)), float(rng.uniform(0, 40))


def picture_of(toy: ToyObject, azimuth_deg: float, elevation_deg: float, size: int = PICTURE_SIZE) -> np.ndarray:
    """The object's image with alpha [size, size, 4]."""
    orbit = toy_orbit(torch.tensor([azimuth_deg]), torch.tensor([elevation_deg]))
    seen = render_toy(toy, orbit_cameras(orbit, size, size), supersampling=4)
    mask = seen.mask[0][..., None]
    return np.concatenate([seen.rgb[0] / np.maximum(mask, 1e-3), mask], -1).clip(0, 1)


def depth_of(toy: ToyObject, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """The exact depth of the same view as a depth image [size, size] uint16: farther is brighter, scale unknown."""
    orbit = toy_orbit(torch.tensor([azimuth_deg]), torch.tensor([elevation_deg]))
    depth = render_toy(toy, orbit_cameras(orbit, PICTURE_SIZE, PICTURE_SIZE), supersampling=1).depth[0]
    seen = depth > 0
    stretched = (depth - depth[seen].min()) / max(float(np.ptp(depth[seen])), 1e-6)
    return (np.where(seen, stretched, 1.0) * 65_535).round().astype(np.uint16)


def novel_cameras(azimuth_deg: float):
    """The 16 cameras that figures are taken from: evenly round, beginning 11 degrees off the image's; two heights."""
    azimuths = azimuth_deg + 11.25 + torch.arange(N_VIEWS) * (360.0 / N_VIEWS)
    return orbit_cameras(toy_orbit(azimuths % 360, torch.tensor([10.0, 30.0]).repeat(N_VIEWS // 2)), SIZE, SIZE)


def sharpness(made: np.ndarray, true: np.ndarray) -> float:
    """Gradient energy of images [views, h, w, 3] over that of the true ones: below 1 they are blurred."""

    def energy(pictures: np.ndarray) -> float:
        return float((np.diff(pictures, axis=1) ** 2).mean() + (np.diff(pictures, axis=2) ** 2).mean())

    return energy(made) / energy(true)


def covered(run: Path) -> float:
    """Share of the charted texels that have a colour: what inpainting recorded; all of them where a field was baked."""
    recorded = run / "inpainting" / "metrics.json"
    return float(json.loads(recorded.read_text())["covered"]["value"]) if recorded.is_file() else 1.0


def result_stage(method: str, words: list[str]) -> str:
    """The stage whose textured mesh is the method's result, with the optional stages that are switched on."""
    asked = [word.removesuffix("=on") for word in words if word.endswith("=on")]
    return METHODS[method].with_stages(asked).stage("evaluation").inputs["mesh"]


def result_mesh(result: Path) -> TexturedMesh:
    """A run's mesh at the toy world's size, whatever the width of the world in which its preset placed the image."""
    mesh, params = load_textured_mesh(result), yaml.safe_load((result.parent / "params.yaml").read_text())
    width = params.get("image_preparation", {}).get("frame_width", Params().frame_width)
    return replace(mesh, vertices=mesh.vertices * (Params().frame_width / width))


def figures(toy: ToyObject, index: int, result: Path) -> dict[str, float]:
    """All figures of one mesh but its seconds."""
    azimuth_deg, elevation_deg = viewpoint(index)
    mesh, cameras = result_mesh(result), novel_cameras(azimuth_deg)
    made, true = render_mesh(mesh, cameras, background=1.0).rgb, render_toy(toy, cameras).over((1.0, 1.0, 1.0))
    own = orbit_cameras(toy_orbit(torch.tensor([azimuth_deg]), torch.tensor([elevation_deg])), SIZE, SIZE)
    seen, given = render_mesh(mesh, own, background=1.0).rgb[0], render_toy(toy, own).over((1.0, 1.0, 1.0))[0]
    f_score, iou = geometry(toy, mesh)
    return {
        "psnr": float(np.mean([psnr_db(a, b) for a, b in zip(true, made, strict=True)])),
        "ssim": float(np.mean([ssim(a, b) for a, b in zip(true, made, strict=True)])),
        "f_score": f_score,
        "volume_iou": iou,
        "reference_psnr": psnr_db(given, seen),
        "sharpness": sharpness(made, true),
        "covered": covered(result.parent),
    }


def sheet_rows(toy: ToyObject, index: int, result: Path) -> list[list[np.ndarray]]:
    """Two rows of images: the given view and seven novel ones, exactly rendered, and the same of the mesh."""
    azimuth_deg, elevation_deg = viewpoint(index)
    azimuths, elevations = (azimuth_deg + torch.arange(8) * 45.0) % 360, torch.tensor([elevation_deg, *[20.0] * 7])
    cameras = orbit_cameras(toy_orbit(azimuths, elevations), 96, 96)
    true = render_toy(toy, cameras).over((1.0, 1.0, 1.0))
    return [list(true), list(render_mesh(result_mesh(result), cameras, background=1.0).rgb)]


def make(args: argparse.Namespace, toy: ToyObject, index: int, variant: str, words: list[str]) -> Path | None:
    """Run one object; its run folder, or None (and the message) if it failed."""
    name = f"{args.method}-{variant}{'-depth' if args.with_depth else ''}-{index:02d}"
    folder = args.project / "data" / "runs" / name
    if (folder / "benchmark.json").is_file() or args.reuse:
        return folder if (folder / args.result / "mesh.glb").is_file() else None
    picture = args.project / "pictures" / f"{index:02d}.png"
    picture.parent.mkdir(exist_ok=True)
    azimuth_deg, elevation_deg = viewpoint(index)
    Image.fromarray(to_uint8(picture_of(toy, azimuth_deg, elevation_deg))).save(picture)
    command = [sys.executable, "-m", "flows.cli", "run", args.method, "--image", str(picture)]
    command += ["--name", name, "--plain"]
    command += ["--camera", f"{azimuth_deg:.4f},{elevation_deg:.4f},40", "--stop-after", args.result, *words]
    if args.with_depth:
        depth = args.project / "pictures" / f"{index:02d}_depth.png"
        Image.fromarray(depth_of(toy, azimuth_deg, elevation_deg)).save(depth)
        command += ["--depth", str(depth)]
    command += [word for text in VARIANTS[variant] for word in ("--set", text)]
    started = time.monotonic()
    done = subprocess.run(command, cwd=args.project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{name}: {done.stderr.strip()}")
        return None
    (folder / "benchmark.json").write_text(json.dumps({"wall_seconds": time.monotonic() - started}))
    return folder


def interval(values: np.ndarray, n_draws: int = 2000) -> tuple[float, float, float]:
    """Mean and its 95 % bootstrap interval."""
    means = values[np.random.default_rng(0).integers(0, len(values), (n_draws, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def stage_seconds(folder: Path) -> float:
    """What the stages took together, as they measured it: also right for stages that were restored from the cache."""
    return sum(json.loads(cost.read_text())["seconds"] for cost in folder.glob("*.cost.json"))


def cell(values: list[float], sign: str = "") -> str:
    """Mean and interval in one column."""
    mean, low, high = (f"{value:{sign}.3f}" for value in interval(np.array(values)))
    return f"{mean} [{low}, {high}]"


def table(rows: dict[str, dict[int, dict[str, float]]]) -> list[list[str]]:
    """Means with intervals of each variant, then the differences to the full method on the same objects."""
    lines = [["", "n", *FIGURES]]
    for variant, found in rows.items():
        if found:
            cells = [cell([row[figure] for row in found.values()]) for figure in FIGURES]
            lines.append([variant, str(len(found)), *cells])
    for variant in rows:
        both = sorted(set(rows[variant]) & set(rows["full"]))
        if variant != "full" and both:
            gains = [[rows["full"][i][name] - rows[variant][i][name] for i in both] for name in FIGURES]
            lines.append([f"full - {variant}", str(len(both)), *(cell(gain, "+") for gain in gains)])
    return lines


def main() -> None:
    """Make them, print a line each, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="realfusion", help="any method that takes --image and --camera")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="a prior3d project (default: this folder)")
    parser.add_argument("--objects", type=int, default=20, help="how many held-out objects")
    parser.add_argument("--first", type=int, default=0, help="index of the first")
    parser.add_argument("--without-prior", action="store_true", help="also without the prior")
    parser.add_argument("--without-inversion", action="store_true", help="also with a generic prompt")
    parser.add_argument("--with-depth", action="store_true", help="give the picture's exact depth, of unknown scale")
    parser.add_argument("--reuse", action="store_true", help="only judge the runs that are there")
    parser.add_argument("--sheet", type=Path, help="a PNG: exact renders above the meshes, all round")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures of each object")
    add_write_option(parser, "image_to_3d", "image_to_3d")
    args, words = parser.parse_known_args()
    args.project, args.result = args.project.resolve(), result_stage(args.method, words)
    torch.set_num_threads(1)
    variants = ["full", *(v for v in ("without-prior", "without-inversion") if getattr(args, v.replace("-", "_")))]
    rows: dict[str, dict[int, dict[str, float]]] = {variant: {} for variant in variants}
    failed, pictures = 0, []
    for index in range(args.first, args.first + args.objects):
        toy = sample_object(WORLD_SEED, index, "held-out")
        for variant in variants:
            folder = make(args, toy, index, variant, words)
            if folder is None:
                failed += not args.reuse
                continue
            found = figures(toy, index, folder / args.result) | {"seconds": stage_seconds(folder)}
            rows[variant][index] = found
            if args.sheet and variant == "full":
                pictures += sheet_rows(toy, index, folder / args.result)
            told = "  ".join(f"{name} {found[name]:.3f}" for name in FIGURES)
            print(f"{index:02d} {toy.caption[:34]:34} {variant:18} {told}", flush=True)
    if not any(rows.values()):
        sys.exit(f"no object of {args.objects} has a mesh: nothing is written")
    header, *lines = table(rows)
    for name, n, *cells in (header, *lines):
        print(f"{name:24}{n:>4}" + "".join(f"{cell:>27}" for cell in cells))
    if pictures:
        write_png(args.sheet, contact_sheet(pictures))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))
    if args.write:
        write_results(args.write, "image_to_3d", f"{markdown_table(header, lines)}\n\nruns that failed: {failed}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
