"""Eight prompts to eight meshes: `python benchmarks/eight_prompts.py [--out FOLDER] [words for prior3d run ...]`.

Every run computes all its stages. Seconds and memory are ratios to the first prompt's; FOLDER gets `contact_sheet.png`:
one prompt a row, the field's views above the mesh's.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from stages.training.prior_card import PROMPTS

STAGES = ("coarse_nerf", "rgb_refinement", "mesh_extraction", "texture_baking", "evaluation")


def make(prompt: str, name: str, words: list[str], project: Path) -> float | None:
    """Run one prompt; the seconds it took, or None (and its message) if it failed."""
    command = [sys.executable, "-m", "flows.cli", "run", "latent-nerf", "--prompt", prompt, "--name", name]
    command += ["--plain", "--no-restore", *words]
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        print(f"{prompt}: {done.stderr.strip()}")
        return None
    return time.monotonic() - started


def costs(folder: Path) -> list[dict[str, float]]:
    """Each stage's seconds and peak memory."""
    return [json.loads((folder / f"{stage}.cost.json").read_text()) for stage in STAGES]


def sheet(folders: list[Path], target: Path) -> None:
    """All turntables below one another."""
    from PIL import Image

    pictures = [Image.open(folder / "evaluation" / "turntable.png").convert("RGB") for folder in folders]
    whole = Image.new("RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    whole.save(target)


def main() -> None:
    """Make them, print the table, write the image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path.cwd(), help="folder of contact_sheet.png (default: this one)")
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="a prior3d project (default: this folder)")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="only so many of the prompts")
    args, words = parser.parse_known_args()
    print(f"{'prompt':32}" + "".join(f"{stage:>16}" for stage in STAGES) + f"{'total s':>9}{'ratio':>7}{'peak MB':>9}")
    made: list[Path] = []
    baseline = None
    for prompt in PROMPTS[: args.prompts]:
        name = "eight-" + prompt.replace(" ", "-")
        total = make(prompt, name, words, args.project)
        if total is None:
            continue
        baseline = baseline or total
        made.append(args.project / "data" / "runs" / name)
        spent = costs(made[-1])
        peak = max(cost["peak_memory_mb"] for cost in spent)
        parts = "".join(f"{cost['seconds']:16.1f}" for cost in spent)
        print(f"{prompt:32}{parts}{total:9.1f}{total / baseline:7.2f}{peak:9.0f}", flush=True)
    if made:
        sheet(made, args.out / "contact_sheet.png")
        print(args.out / "contact_sheet.png")
    sys.exit(len(made) < len(PROMPTS[: args.prompts]))


if __name__ == "__main__":
    main()
