"""Does a result follow its sketch? `python benchmarks/sketch_shape.py [--objects N] [words for prior3d run ...]`.

Held-out toy objects become sketches: each body of their parts becomes a box, or an ellipsoid where it is round.
`sketch-shape` makes an object of each sketch and the object's caption, and `latent-nerf` one of the caption alone. Told
are the volume IoU of both with the sketch, and, where the toy scorer is there, in how many of eight views it finds the
caption among 200. With `--shape FILE --prompt TEXT` one sketch of a person is taken instead of toy objects.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import trimesh
from results import add_write_option, markdown_table, write_results
from text_to_3d import N_CAPTIONS, WORLD_SEED, cameras, hits, world_until

from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.meshes.files import load_glb
from prior3d.meshes.raster import render_mesh
from prior3d.meshes.winding import volume_iou
from prior3d.toyworld.objects import ToyObject, sample_object
from prior3d.toyworld.palette import BACKGROUNDS
from stages.artifacts.shape_guide import load_shape_guide

CATEGORIES = ("mushroom", "snowman", "rocket", "teddy bear", "house", "chair", "car", "mug")

N_VIEWS = 8  # that the scorer judges


def sketch(toy: ToyObject) -> trimesh.Trimesh:
    """Boxes and ellipsoids in place of the parts' bodies; an ellipsoid where it is closer to its hull's volume."""
    pieces = []
    for part in toy.parts:
        for body in trimesh.Trimesh(part.solid.vertices, part.solid.faces).split(only_watertight=False):
            low, high = body.bounds
            size, middle = np.maximum(high - low, 0.06), (low + high) / 2
            share = body.convex_hull.volume / size.prod()
            piece = trimesh.creation.box(size)
            if abs(share - np.pi / 6) < abs(share - 1):
                piece = trimesh.creation.icosphere(2, 0.5)
                piece.apply_scale(size)
            piece.apply_translation(middle)
            pieces.append(piece)
    return trimesh.util.concatenate(pieces)


def make(method: str, name: str, words: list[str], project: Path) -> float:
    """Run a method; the seconds it took (exits with its message if it failed)."""
    command = [sys.executable, "-m", "flows.cli", "run", method, "--name", name, "--plain", *words]
    started = time.monotonic()
    done = subprocess.run(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{name}: {done.stderr.strip()}")
    return time.monotonic() - started


def found_in(scorer: Scorer | None, mesh: Path, place: int, captions: list[str]) -> list[bool]:
    """In which of eight views the scorer finds the caption; empty without a scorer."""
    if scorer is None:
        return []
    return hits(
        scorer, render_mesh(load_glb(mesh), cameras(N_VIEWS), background=BACKGROUNDS["grey"][0]).rgb, place, captions
    )


def objects(args: argparse.Namespace) -> list[tuple[str, Path]]:
    """Captions and sketch files."""
    if args.shape:
        return [(args.prompt, args.shape)]
    folder = args.project / "data" / "runs" / ".sketches"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    made = []
    for index, category in enumerate(CATEGORIES[: args.objects]):  # another one each: colours depend on it
        toy = sample_object(WORLD_SEED, index, "held-out", category)
        file = folder / f"{category.replace(' ', '-')}.ply"
        sketch(toy).export(file)
        made.append((toy.caption, file))
    return made


def main() -> None:
    """Make them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="a prior3d project (default: this folder)")
    parser.add_argument("--scorer", type=Path, default=Path("data/priors/toy-scorer"), help="folder of the judge")
    parser.add_argument("--objects", type=int, default=len(CATEGORIES), help="only so many toy objects")
    parser.add_argument("--shape", type=Path, help="a sketch file in place of toy objects")
    parser.add_argument("--prompt", default="", help="what to make of it")
    parser.add_argument("--no-unguided", action="store_true", help="leave the runs without a sketch out")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures of each object")
    add_write_option(parser, "sketch_shape", "sketch_and_paint")
    args, words = parser.parse_known_args()
    torch.set_num_threads(1)
    scorer = load_scorer(args.scorer, torch.device("cpu")) if args.scorer.is_dir() else None
    if scorer is None:
        print(f"no scorer in {args.scorer}: volumes only")
    cases = objects(args)
    others = world_until(set(), N_CAPTIONS)[1] if scorer else []
    captions = list(dict.fromkeys([*(prompt for prompt, _ in cases), *others]))[:N_CAPTIONS]
    print(f"{'caption':40}{'seconds':>8}{'IoU guided':>11}{'unguided':>9}{'found guided':>13}{'unguided':>9}")
    rows, lines = [], []
    for place, (prompt, file) in enumerate(cases):
        slug = prompt.replace(" ", "-")
        row: dict = {"prompt": prompt}
        given = ["--prompt", prompt, *words]
        row["seconds"] = make("sketch-shape", f"sketch-{slug}", [*given, "--shape", str(file.resolve())], args.project)
        runs = args.project / "data" / "runs"
        guide = load_shape_guide(runs / f"sketch-{slug}" / "shape_guide")
        sides = {"guided": runs / f"sketch-{slug}"}
        if not args.no_unguided:
            make("latent-nerf", f"unsketched-{slug}", given, args.project)
            sides["unguided"] = runs / f"unsketched-{slug}"
        for side, run in sides.items():
            mesh = run / "texture_baking" / "mesh.glb"
            row[side] = {"iou": volume_iou(load_glb(mesh), guide), "found": found_in(scorer, mesh, place, captions)}
        rows.append(row)
        iou = [f"{row[s]['iou']:.2f}" if s in row else "-" for s in ("guided", "unguided")]
        found = [f"{sum(row[s]['found'])}" if s in row and scorer else "-" for s in ("guided", "unguided")]
        print(f"{prompt:40}{row['seconds']:8.0f}{iou[0]:>11}{iou[1]:>9}{found[0]:>13}{found[1]:>9}", flush=True)
        lines.append([prompt, f"{row['seconds']:.0f}", *iou, *found])
    told = [f"mean volume IoU with the sketch: {np.mean([row['guided']['iou'] for row in rows]):.2f}"]
    for side in ("guided", "unguided"):
        if scorer and side in rows[0]:
            told.append(f"R-Precision {side}: {np.mean([row[side]['found'] for row in rows]):.1%}")
    print("\n".join(told))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))
    if args.write:
        header = ["prompt", "seconds", "IoU with the sketch, guided", "unguided", "views found, guided", "unguided"]
        write_results(args.write, "sketch_shape", "\n- ".join([markdown_table(header, lines) + "\n", *told]))


if __name__ == "__main__":
    main()
