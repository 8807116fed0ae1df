"""R-Precision of text to 3D: `python benchmarks/text_to_3d.py [--prompts N] [words for prior3d run ...]`.

24 prompts, written down before the first of them was run, become meshes; each mesh is drawn from four azimuths over the
grey that the toy world knows, and the toy scorer looks for its prompt among 200 captions: the 24, and 176 held-out
ones. The baseline is what it finds on real renders of toy objects with the same captions, at the same azimuths.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from eight_prompts import make
from results import add_write_option, markdown_table, write_results

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.meshes.files import load_glb
from prior3d.meshes.raster import render_mesh
from prior3d.toyworld.objects import ToyObject, caption, draw_design, find_category, object_generator, sample_object
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import render_toy, toy_orbit

PROMPTS = (
    "a green mushroom with yellow dots",
    "a red mug with white stripes",
    "a blue chair",
    "a white table with brown legs",
    "a pink donut with white dots",
    "a pink ice cream",
    "a snowman with a red hat",
    "a yellow car",
    "a blue house with a red roof",
    "a green tree",
    "a green fir tree",
    "a blue rocket with yellow fins",
    "a yellow lamp with blue stripes",
    "a white duck",
    "an orange fish",
    "a grey robot with a red head",
    "a red apple",
    "a brown teddy bear",
    "a green cactus",
    "a blue ball with white stripes",
    "a yellow vase with blue dots",
    "a red boat with a white sail",
    "a purple umbrella with white dots",
    "a grey sofa with blue cushions",
)
N_AZIMUTHS, ELEVATION_DEG, SIZE, N_CAPTIONS, WORLD_SEED = 4, 15.0, 64, 200, 1


def cameras(n_azimuths: int = N_AZIMUTHS) -> Cameras:
    """Cameras from all round; the first sees the front."""
    azimuth_deg = torch.arange(n_azimuths) * 360.0 / n_azimuths
    return orbit_cameras(toy_orbit(azimuth_deg, torch.full_like(azimuth_deg, ELEVATION_DEG)), SIZE, SIZE)


def world_until(wanted: set[str], n_captions: int) -> tuple[dict[str, ToyObject], list[str]]:
    """The first held-out object of each wanted caption, and the first other captions that fill the list."""
    found: dict[str, ToyObject] = {}
    others: dict[str, None] = {}
    index = 0
    while len(found) < len(wanted) or len(others) < n_captions - len(wanted):
        text = caption_of(index)
        if text in wanted and text not in found:
            found[text] = sample_object(WORLD_SEED, index, "held-out")
        elif text not in wanted and len(others) < n_captions - len(wanted):
            others[text] = None
        index += 1
    return found, list(others)


def caption_of(index: int) -> str:
    """A held-out object's caption, without its shape: a hundred times as fast."""
    design = draw_design(object_generator(WORLD_SEED, index, "held-out"))
    kind = find_category(design.category)
    return caption(kind, design.main, design.pattern, design.named_part, design.accent)


def hits(scorer: Scorer, images: np.ndarray, place: int, captions: list[str]) -> list[bool]:
    """Whether the scorer's nearest caption is the one at `place`, for images [views, h, w, 3]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images, np.float32)).movedim(-1, 1)
    return (scorer.similarity(pixels, captions).argmax(-1) == place).tolist()


def markdown_cells(row: dict) -> list[str]:
    """One prompt's row of the table that `--write` writes."""
    seconds = "" if row["seconds"] is None else f"{row['seconds']:.1f}"
    return [row["prompt"], seconds, str(sum(row["mesh"])), str(sum(row["real"]))]


def main() -> None:
    """Make them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="a prior3d project (default: this folder)")
    parser.add_argument("--scorer", type=Path, default=Path("data/priors/toy-scorer"), help="folder of the judge")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="only so many of the prompts")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures of each prompt")
    parser.add_argument("--reuse", action="store_true", help="judge the runs that are there, without running anything")
    add_write_option(parser, "text_to_3d", "text_to_3d")
    args, words = parser.parse_known_args()
    torch.set_num_threads(1)
    scorer, rig, grey = load_scorer(args.scorer, torch.device("cpu")), cameras(), BACKGROUNDS["grey"]
    real, others = world_until(set(PROMPTS), N_CAPTIONS)
    captions = [*PROMPTS, *others]
    print(f"{'prompt':36}{'seconds':>9}{'mesh':>7}{'real':>7}   of {N_AZIMUTHS} views")
    rows, failed = [], 0
    for place, prompt in enumerate(PROMPTS[: args.prompts]):
        name = "r-precision-" + prompt.replace(" ", "-")
        seconds = None if args.reuse else make(prompt, name, words, args.project)
        mesh = args.project / "data" / "runs" / name / "texture_baking" / "mesh.glb"
        if not mesh.is_file() or (seconds is None and not args.reuse):
            failed += 1
            continue
        made = hits(scorer, render_mesh(load_glb(mesh), rig, background=grey[0]).rgb, place, captions)
        true = hits(scorer, render_toy(real[prompt], rig).over(grey), place, captions)
        rows.append({"prompt": prompt, "seconds": seconds, "mesh": made, "real": true})
        told = "" if seconds is None else f"{seconds:.1f}"
        print(f"{prompt:36}{told:>9}{sum(made):7d}{sum(true):7d}", flush=True)
    if not rows:
        sys.exit(f"no prompt of {args.prompts} has a mesh: nothing is written")
    mesh_share, real_share = (float(np.mean([row[key] for row in rows])) for key in ("mesh", "real"))
    told = f"R-Precision {mesh_share:.1%}, of real renders {real_share:.1%}, ratio {mesh_share / real_share:.2f}"
    print(told)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))
    if args.write:
        header = ["prompt", "seconds", f"mesh, found in {N_AZIMUTHS} views", "exact renders, found"]
        text = markdown_table(header, [markdown_cells(row) for row in rows])
        write_results(args.write, "text_to_3d", f"{text}\n\n{told}; runs that failed: {failed}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
