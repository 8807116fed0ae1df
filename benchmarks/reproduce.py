"""Whether `prior3d reproduce` makes the same bytes: `python benchmarks/reproduce.py [--only METHOD ...]`.

Each method makes a ball with the embedded priors and few steps, on the command line. Its mesh is exported, and then
the exported mesh and the last image of the run are made again. Each command is a process of its own.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from results import add_write_option, markdown_table, write_results

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from flows.methods import METHODS  # noqa: E402
from tests.flows.test_scene_methods import ball_capture  # noqa: E402
from tests.posed_ball import write_ball  # noqa: E402
from tests.whole_flows import SMALL  # noqa: E402

ENVIRONMENT = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": str(ROOT)}
ACCEPTED = ("coarse_nerf", "rgb_refinement", "image_nerf", "view_distillation", "view_fit")  # whatever they show
OTHERS = {  # beside those of the tests, which are for priors that are smaller still
    "textual_inversion": {"steps": 2},
    "joint_views": {"num_inference_steps": 4},
    "view_fit": {"steps": 40},
    "rgb_refinement": {"refresh.n_views": 4, "refresh.num_inference_steps": 2},
    "image_nerf": {"refresh.n_views": 4, "refresh.num_inference_steps": 2, "refreshing.steps": 12},
    "texture_refinement": {"refresh.num_inference_steps": 2},
    "view_symmetry": {"leave_one_out": 1, "fit_steps": 10},
}
NOT_TAKEN = ("image_preparation.size", "textual_inversion.initializer_token")  # the toy prior has its own
SAME = "the same bytes"
HEADER = ("method", "file", "made again", "files of its stages, same to the byte", "s to make", "s to make again")


def given(place: Path) -> dict[str, list[str]]:
    """Method -> the words that give it its inputs, which are written here."""
    ball, photo = place / "ball.obj", place / "ball.png"
    trimesh.creation.icosphere(2, 0.95).export(ball)
    y, x = np.mgrid[:64, :64] + 0.5
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[(y - 32) ** 2 + (x - 32) ** 2 < 24**2] = (200, 40, 40, 255)
    Image.fromarray(rgba).save(photo)
    if not (place / "posed").exists():
        ball_capture(place / "capture")
        write_ball(place / "posed", 5)
    prompt, image = ["--prompt", "a red ball"], ["--image", str(photo)]
    capture = ["--scene", str(place / "capture")]
    return {
        "latent-nerf": prompt,
        "sketch-shape": [*prompt, "--shape", str(ball)],
        "latent-paint": [*prompt, "--mesh", str(ball)],
        "retexture": [*image, *prompt, "--mesh", str(ball), "--camera", "0,0,40"],
        "realfusion": image,
        "make-it-3d": image,
        "sparsefusion": ["--images", str(place / "posed")],
        "instruct-nerf2nerf": [*capture, "--instruction", "make it blue"],
        "scene": capture,
        "quick": prompt,
    }


def sets(method: str) -> list[str]:
    """Few steps of everything."""
    names = {stage.name: stage for stage in METHODS[method].with_stages(()).stages}
    small = {name: SMALL.get(name, {}) | OTHERS.get(name, {}) for name in names}
    known = {name: set(stage.load().Params.model_fields) for name, stage in names.items()}
    for name in ACCEPTED:
        if name in names and "check" in known[name]:
            small[name]["check.accept"] = True
    return [
        word
        for name, values in small.items()
        for key, value in values.items()
        if key.partition(".")[0] in known[name] and f"{name}.{key}" not in NOT_TAKEN
        for word in ("--set", f"{name}.{key}={json.dumps(value)}")
    ]


def prior3d(project: Path, *words: str) -> tuple[int, str, float]:
    """Exit code, what was said, and seconds of a command."""
    started = time.monotonic()
    command = [sys.executable, "-m", "flows.cli", *words]
    done = subprocess.run(command, cwd=project, env=ENVIRONMENT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - started


def tried(project: Path, method: str, words: list[str]) -> list[list[str]]:
    """A row for each file that was made again."""
    code, said, made_s = prior3d(project, "run", method, *words, *sets(method), "--name", method, "--plain")
    if code:
        return [[method, "-", f"its run failed: {said.strip().splitlines()[-1][:120]}", "-", f"{made_s:.0f}", "-"]]
    away = project / "away" / method
    folder = project / "data" / "runs" / method
    meshes = sorted(p.relative_to(folder) for p in folder.glob("*/mesh.glb"))
    code, said, _ = prior3d(project, "export", method, "--to", str(away))
    if code:
        return [[method, "-", f"its export failed: {said.strip().splitlines()[-1][:120]}", "-", f"{made_s:.0f}", "-"]]
    files = [*(away / path for path in meshes[-1:]), folder / "evaluation" / "preview.png"]
    rows = []
    for file in files:
        code, said, again_s = prior3d(project, "reproduce", str(file))
        counts = re.findall(r"(\d+) of (\d+) files the same", said)
        same = f"{sum(int(a) for a, _ in counts)} of {sum(int(b) for _, b in counts)}" if counts else "-"
        verdict = {0: SAME, 1: "other bytes"}.get(code) or said.strip().splitlines()[-1][:120]
        if code == 1:
            verdict += ": " + "; ".join(line.strip() for line in said.splitlines() if "files the same" in line)
        rows.append([method, f"{file.parent.name}/{file.name}", verdict, same, f"{made_s:.0f}", f"{again_s:.0f}"])
    return rows


def main() -> int:
    """Print the table; 1 if a file has other bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(METHODS), help="these methods (default: all)")
    keep = "work in this folder and leave it; methods that had the same bytes in it are not tried again"
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help=keep)
    add_write_option(parser, "reproduce", "versions")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reproduce-") as scratch:
        place = args.keep or Path(scratch)
        project = place / "project"
        project.mkdir(parents=True, exist_ok=True)
        code, said, _ = prior3d(project, "init")
        if code:
            raise SystemExit(said)
        known = place / "rows.json"
        found: dict[str, list[list[str]]] = json.loads(known.read_text()) if known.is_file() else {}
        for method, words in given(place).items():
            same = method in found and all(row[2] == SAME for row in found[method])
            if not same and (args.only is None or method in args.only):
                found[method] = tried(project, method, words)
                known.write_text(json.dumps(found))
                print(*found[method], sep="\n", flush=True)
    rows = [row for method in METHODS for row in found.get(method, [])]
    table = markdown_table(HEADER, rows)
    print(table)
    if args.write:
        write_results(args.write, "reproduce", table)
    return int(any(row[2] != SAME for row in rows))


if __name__ == "__main__":
    sys.exit(main())
