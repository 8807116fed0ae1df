"""Is one field better than what it is made from? `python benchmarks/sparse_views.py [--objects N] [--inputs 2 3 6]`.

Held-out toy objects, of each 1 to 10 input views and 32 others. Compared on those at 64x64 pixels, on the object's
background (white, grey or black): `sparsefusion`'s field; `plain`, the same field fitted to the inputs alone;
`mirrored`, fitted to them and their mirror images where mirror planes were found; `mesh`, the textured mesh; of a prior
of the paper's kind also `regression`, its feature transformer, and `samples`, one draw of its diffusion model for each
view; `nearest`, the input of the closest direction. PSNR and SSIM are means over objects of means over views.
Consistency is how much the colour of a point of the true surface varies between the pictures that should show it
(`photo_inconsistency`): the truth's own is not 0, as a lamp sits on the camera.

`--out FILE` writes all numbers, `--sheet FILE` a picture of the first objects: a row each for truth and what was
compared. `--keep FOLDER` keeps what the stages make, and takes what lies there already as it is: remove from it what
your changes should alter.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml
from results import add_write_option, markdown_table, write_results

from flows.engine.method import Stage
from flows.methods import METHODS
from prior3d.cameras import Cameras, orbit_cameras, to_nerfstudio
from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.folders import role_of
from prior3d.diffusion.views import ViewsPrior, load_views
from prior3d.images.files import contact_sheet, write_png
from prior3d.meshes.consistency import photo_inconsistency
from prior3d.meshes.mesh import Mesh
from prior3d.meshes.raster import render_mesh
from prior3d.metrics import psnr_db, ssim
from prior3d.reconstruction.symmetry import Symmetry
from prior3d.rendering.background import render_images
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import ToyRenders, render_toy, toy_orbit
from stages.artifacts.captions import load_caption
from stages.artifacts.fields import load_field
from stages.artifacts.meshes import load_textured_mesh
from stages.artifacts.symmetry import save_symmetry
from stages.contract.entry import execute
from stages.contract.parameters import merged

WORLD_SEED, SIZE, N_WANTED = 0, 64, 32
ELEVATIONS_DEG = (-10.0, 60.0)
METHOD = METHODS["sparsefusion"]
BASELINES = ("plain", "mirrored")
COMPARED = ("sparsefusion", *BASELINES, "mesh", "regression", "samples", "nearest", "truth")
WITHOUT_PRIOR = {"ring": {"weight": 0.0, "single_input_weight": 0.0, "drawn_weight": 0.0}}


def cameras_of(index: int, n: int) -> Cameras:
    """Random toy cameras of one object; the first are the inputs."""
    generator = torch.Generator().manual_seed(1000 + index)
    azimuth_deg = 360 * torch.rand(n, generator=generator)
    low, high = ELEVATIONS_DEG
    return orbit_cameras(toy_orbit(azimuth_deg, low + (high - low) * torch.rand(n, generator=generator)), SIZE, SIZE)


def write_folder(folder: Path, drawn: ToyRenders, cameras: Cameras, n: int) -> None:
    """The first n renders as a person would give them: RGBA and a transforms.json."""
    (folder / "images").mkdir(parents=True)
    names = [f"images/{view}.png" for view in range(n)]
    for view, name in enumerate(names):
        mask = drawn.mask[view][..., None]
        straight = np.where(mask > 0, drawn.rgb[view] / np.maximum(mask, 1e-6), 0)
        write_png(folder / name, np.concatenate([straight, mask], -1))
    (folder / "transforms.json").write_text(json.dumps(to_nerfstudio(cameras[slice(0, n)], names)))


def run_stages(folder: Path, args: argparse.Namespace, images: Path) -> tuple[float, float]:
    """The method's stages up to texture_baking in a folder, and the baselines: the same fit without the prior.

    `plain` has no mirror images, `mirrored` has them. Without confidence in the prior, `mirrored` would be the
    result to the bit, and is not made.

    Returns:
        seconds by the clock and of the processor, without those of the baselines.
    """
    method = METHOD.with_stages(METHOD.stages_for(args.role))
    stages = {stage.name: stage for stage in method.stages if stage.name not in ("view_sampling", "evaluation")}
    chosen = {name: merged(stage.load().PRESETS["toy"], args.set.get(name, {})) for name, stage in stages.items()}
    chosen |= dict.fromkeys(BASELINES, merged(chosen["view_distillation"], WITHOUT_PRIOR))
    (folder / "params.yaml").write_text(yaml.safe_dump(chosen))
    priors = {"prior": args.prior, "scorer": embedded_prior("toy-scorer")}
    for name in priors:
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "digest": "-"}))
    places = {name: str(place) for name, place in priors.items()}
    (folder / "local.yaml").write_text(yaml.safe_dump({"device": "cpu", "priors": places}))
    (folder / "none").mkdir(exist_ok=True)
    save_symmetry(folder / "none", Symmetry())
    given = {"images": str(images)} | {name: f"{name}.json" for name in priors}
    clock, processor = time.monotonic(), time.process_time()
    for name, stage in stages.items():
        made(folder, stage, name, given)
    taken = time.monotonic() - clock, time.process_time() - processor
    fit = stages["view_distillation"]
    made(folder, replace(fit, inputs=fit.inputs | {"symmetry": "none"}), "plain", given)
    if confidence_of(folder) > 0:
        made(folder, fit, "mirrored", given)
    return taken


def made(folder: Path, stage: Stage, name: str, given: dict[str, str]) -> None:
    """A stage's output under a name, unless it is there."""
    if (folder / name).is_dir():
        return
    argv = [
        word
        for key, source in stage.inputs.items()
        if source != "prompt"
        for word in (f"--{key}", given.get(source, source))
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # progress lines
        code = execute(stage.module, [*argv, "--name", name], folder)
    if code:
        sys.exit(f"{name} failed")


def confidence_of(folder: Path) -> float:
    """How far the prior was trusted: what view_features measured; with joint views, 1 if the prior knows the thing."""
    if (folder / "captioning").is_dir():
        return float(load_caption(folder / "captioning").known)
    return json.loads((folder / "view_features/features.json").read_text())["prior_confidence"]


def compared(
    folder: Path, prior: ViewsPrior | None, truth: ToyRenders, cameras: Cameras, n: int, level: float, seed: int
) -> dict[str, np.ndarray]:
    """What each method shows from the wanted cameras: [32, 64, 64, 3]."""
    inputs, wanted = cameras[slice(0, n)], cameras[slice(n, None)]
    pictures = torch.from_numpy(truth.over((level,) * 3)).movedim(-1, 1).float()
    closest = (wanted.c2w[:, :3, 2] @ inputs.c2w[:, :3, 2].T).argmax(dim=1)
    shown = {"nearest": pictures[:n][closest], "truth": pictures[n:]}
    if prior is not None:
        features, shown["regression"] = prior.features_and_regression(pictures[:n], inputs, wanted)
        shown["samples"] = prior.draw(features, generator=torch.Generator().manual_seed(seed))
    mirrored = "mirrored" if confidence_of(folder) > 0 else "view_distillation"
    for name, stage in (("sparsefusion", "view_distillation"), ("plain", "plain"), ("mirrored", mirrored)):
        shown[name] = render_images(load_field(folder / stage), placed(folder, wanted), 64, level)[0]
    found = {name: images.movedim(1, -1).numpy() for name, images in shown.items()}
    mesh = load_textured_mesh(folder / "texture_baking")
    found["mesh"] = render_mesh(mesh, placed(folder, wanted), background=level).rgb
    return {name: found[name] for name in COMPARED if name in found}


def placed(folder: Path, cameras: Cameras) -> Cameras:
    """Cameras where view_preparation put the capture."""
    about = json.loads((folder / "view_preparation/transforms.json").read_text())["prior3d"]["placement"]
    rotation, c2w = torch.tensor(about["rotation"]), cameras.c2w.clone()
    c2w[:, :3, :3] = rotation @ c2w[:, :3, :3]
    c2w[:, :3, 3] = (c2w[:, :3, 3] - torch.tensor(about["centre"])) @ rotation.T * about["scale"]
    return Cameras(c2w, cameras.fov_deg, cameras.height, cameras.width)


def score(args: argparse.Namespace, prior: ViewsPrior | None, index: int, n: int) -> tuple[dict, dict[str, np.ndarray]]:
    """All figures of one object with n inputs, and the images."""
    toy = sample_object(WORLD_SEED, index, "held-out")
    cameras = cameras_of(index, max(args.inputs) + N_WANTED)
    cameras = cameras[torch.cat([torch.arange(n), torch.arange(max(args.inputs), cameras.views)])]
    truth, level = render_toy(toy, cameras), list(BACKGROUNDS.values())[index % len(BACKGROUNDS)][0]
    with tempfile.TemporaryDirectory() as name:
        folder = args.keep / f"{index:03}_{n}" if args.keep else Path(name)
        if not (folder / "images").is_dir():
            write_folder(folder / "images", truth, cameras, n)
        clock, processor = run_stages(folder, args, folder / "images")
        shown = compared(folder, prior, truth, cameras, n, level, index)
        figures: dict = {"object": index, "caption": toy.caption, "inputs": n}
        figures["prior_confidence"] = confidence_of(folder)
    figures |= {"seconds": clock, "processor_seconds": processor}
    surface, wanted = Mesh(toy.vertices, toy.faces), cameras[slice(n, None)]
    for method, pictures in shown.items():
        pairs = list(zip(pictures, shown["truth"], strict=True))
        figures[f"{method}_psnr_db"] = float(np.mean([psnr_db(a, b) for a, b in pairs]))
        figures[f"{method}_ssim"] = float(np.mean([ssim(a, b) for a, b in pairs]))
        figures[f"{method}_inconsistency"] = photo_inconsistency(surface, wanted, pictures)[0]
    return figures, shown


def table(rows: list[dict], n: int) -> str:
    """Means over objects with n inputs."""
    mine = [row for row in rows if row["inputs"] == n]
    confidence = np.mean([row["prior_confidence"] for row in mine])
    lines = [f"{n} inputs, {len(mine)} objects, mean confidence in the prior {confidence:.2f}"]
    lines.append(f"  {'':14}{'PSNR dB':>9}{'SSIM':>8}{'inconsistency':>15}")
    for method in methods_of(mine):
        values = means(mine, method)
        lines.append(f"  {method:14}{values[0]:>9}{values[1]:>8}{values[2]:>15}")
    return "\n".join(lines)


def methods_of(rows: list[dict]) -> list[str]:
    """What was compared in these rows."""
    return [method for method in COMPARED if f"{method}_psnr_db" in rows[0]]


def means(rows: list[dict], method: str) -> list[str]:
    """Mean PSNR, SSIM and inconsistency of one method."""
    digits = {"psnr_db": 2, "ssim": 3, "inconsistency": 4}
    return [f"{np.mean([row[f'{method}_{what}'] for row in rows]):.{n}f}" for what, n in digits.items()]


def markdown(rows: list[dict], inputs: list[int]) -> str:
    """The tables of all numbers of inputs as one."""
    lines = []
    for n in inputs:
        mine = [row for row in rows if row["inputs"] == n]
        trust = f"{np.mean([row['prior_confidence'] for row in mine]):.2f}"
        lines += [[n, len(mine), trust, method, *means(mine, method)] for method in methods_of(mine)]
    header = ["inputs", "objects", "trust in the prior", "", "PSNR, dB", "SSIM", "inconsistency"]
    return markdown_table(header, lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first held-out object")
    parser.add_argument("--inputs", type=int, nargs="+", default=[2, 3, 6])
    parser.add_argument("--prior", type=Path, help="a folder; default: the embedded toy-mv")
    parser.add_argument("--set", type=json.loads, default={}, help='JSON, e.g. {"view_distillation": {"steps": 100}}')
    parser.add_argument("--keep", type=Path, help="where what the stages make stays")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sheet", type=Path)
    add_write_option(parser, "sparse_views", "sparse_views")
    args = parser.parse_args()
    args.prior = args.prior or embedded_prior("toy-mv")
    args.role = role_of(args.prior)
    torch.set_flush_denormal(True)
    prior = load_views(args.prior, torch.device("cpu")) if args.role == "views" else None
    rows, sheet = [], []
    for index in range(args.first, args.first + args.objects):
        for n in args.inputs:
            figures, shown = score(args, prior, index, n)
            rows.append(figures)
            scores = ", ".join(f"{method} {figures[f'{method}_psnr_db']:.2f}" for method in methods_of([figures])[:-1])
            confidence = figures["prior_confidence"]
            print(f"{figures['caption']}, {n} inputs, confidence {confidence:.2f}: {scores}", flush=True)
            if index < args.first + 4 and n == args.inputs[-1]:
                order = ("truth", *methods_of([figures])[:-1])
                sheet += [list(shown[method][:: N_WANTED // 8]) for method in order]
            if args.out:
                args.out.write_text(json.dumps(rows, indent=1) + "\n")
    if args.sheet:
        write_png(args.sheet, contact_sheet(sheet))
    for n in args.inputs:
        print(table(rows, n))
    if args.write:
        write_results(args.write, "sparse_views", markdown(rows, args.inputs))


if __name__ == "__main__":
    main()
