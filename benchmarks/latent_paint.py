"""How well are meshes painted? `python benchmarks/latent_paint.py [--objects N] [words for prior3d run ...]`.

Held-out toy objects lose their colours, and `latent-paint` gives them new ones from their captions. Each result is
compared with the true object from the same eight cameras: by the scorer's similarity to the caption (where the toy
scorer is there), and by the mean colour difference, of which a grey object's is the baseline.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import trimesh
from results import add_write_option, markdown_table, write_results
from sketch_shape import make
from text_to_3d import WORLD_SEED

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.meshes.painted_files import load_painted
from prior3d.meshes.raster import render_mesh
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import render_toy, toy_orbit

CATEGORIES = (
    "mushroom",
    "mug",
    "rocket",
    "snowman",
    "house",
    "chair",
    "duck",
    "teddy bear",
    "vase",
    "robot",
    "fish",
    "ball",
)
MEASURED = ("colour_error", "colour_error_of_grey", "similarity", "similarity_true")


def rig() -> Cameras:
    """Eight cameras, at the toy world's distance."""
    return orbit_cameras(toy_orbit(np.arange(8) * 45.0, np.full(8, 15.0)), 64, 64)


def similarity(scorer: Scorer | None, images: np.ndarray, caption: str) -> float:
    """Mean cosine of images [views, h, w, 3] with a caption; not a number without a scorer."""
    if scorer is None:
        return float("nan")
    pixels = torch.from_numpy(np.ascontiguousarray(images, np.float32)).movedim(-1, 1)
    return float(scorer.similarity(pixels, [caption]).mean())


def main() -> None:
    """Paint them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="a prior3d project (default: this folder)")
    parser.add_argument("--scorer", type=Path, default=Path("data/priors/toy-scorer"), help="folder of the judge")
    parser.add_argument("--objects", type=int, default=len(CATEGORIES), help="only so many objects")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures of each object")
    add_write_option(parser, "latent_paint", "sketch_and_paint")
    args, words = parser.parse_known_args()
    torch.set_num_threads(1)
    scorer = load_scorer(args.scorer, torch.device("cpu")) if args.scorer.is_dir() else None
    if scorer is None:
        print(f"no scorer in {args.scorer}: colours only")
    runs, cameras, grey = args.project / "data" / "runs", rig(), BACKGROUNDS["grey"]
    bare = runs / ".bare-meshes"
    bare.mkdir(parents=True, exist_ok=True)
    (bare / ".gitignore").write_text("*\n")
    print(f"{'caption':40}{'seconds':>8}{'colour error':>13}{'of grey':>9}{'similarity':>11}{'true':>7}{'ratio':>7}")
    rows = []
    for index, category in enumerate(CATEGORIES[: args.objects]):  # another one each: colours depend on it
        toy = sample_object(WORLD_SEED, index, "held-out", category)
        slug = toy.caption.replace(" ", "-")
        file = bare / f"{slug}.ply"
        trimesh.Trimesh(toy.vertices, toy.faces, process=False).export(file)
        given = ["--prompt", toy.caption, "--mesh", str(file.resolve()), *words]
        seconds = make("latent-paint", f"paint-{slug}", given, args.project)
        painted = load_painted(runs / f"paint-{slug}" / "texture_refinement")
        made = render_mesh(painted, cameras, background=grey[0]).rgb
        true = render_toy(toy, cameras)
        there = true.mask > 0.99
        row = {
            "caption": toy.caption,
            "seconds": seconds,
            "colour_error": float(abs(made - true.over(grey))[there].mean()),
            "colour_error_of_grey": float(abs(0.5 - true.over(grey))[there].mean()),
            "similarity": similarity(scorer, made, toy.caption),
            "similarity_true": similarity(scorer, true.over(grey), toy.caption),
        }
        rows.append(row)
        ratio = row["similarity"] / row["similarity_true"]
        print(f"{toy.caption:40}{seconds:8.0f}{row['colour_error']:13.3f}{row['colour_error_of_grey']:9.3f}"
              f"{row['similarity']:11.3f}{row['similarity_true']:7.3f}{ratio:7.2f}", flush=True)  # fmt: skip
    mean = {key: np.mean([row[key] for row in rows]) for key in rows[0] if key != "caption"}
    told = [f"mean: {mean['seconds']:.0f} s"]
    told.append(f"colour error {mean['colour_error']:.3f}, of grey {mean['colour_error_of_grey']:.3f}")
    if scorer:
        told.append(f"similarity relative to true renders: {mean['similarity'] / mean['similarity_true']:.1%}")
    print("\n".join(told))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))
    if args.write:
        header = ["prompt", "seconds", "colour error", "of grey", "similarity", "of true renders"]
        table = [[row["caption"], f"{row['seconds']:.0f}", *(f"{row[key]:.3f}" for key in MEASURED)] for row in rows]
        write_results(args.write, "latent_paint", "\n- ".join([markdown_table(header, table) + "\n", *told]))


if __name__ == "__main__":
    main()
