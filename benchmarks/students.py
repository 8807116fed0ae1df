"""Students, which make a field from a text in one pass: `python benchmarks/students.py FOLDER ... [--out SHEET]`.

FOLDER is one that the stage `student` wrote, such as `data/students/distilled`. Each makes a field of the 24 prompts of
benchmarks/text_to_3d.py. Of four views of it the toy scorer looks for the prompt among 200 captions. The last row are
exact objects with the same captions. PSNR is to these, from the same four sides; a caption leaves the proportions open.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from results import add_write_option, markdown_table, write_results
from text_to_3d import N_CAPTIONS, PROMPTS, cameras, hits, world_until

from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.diffusion.scorer import load_scorer
from prior3d.feedforward.files import generate, load_generator
from prior3d.images.files import contact_sheet, write_png
from prior3d.metrics import psnr_db
from prior3d.rendering import render_without_gradient
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import render_toy
from stages.training.facts import FACTS, samples_seen

GREY = BACKGROUNDS["grey"]
RIG = cameras()
N_SAMPLES = 64


def figures(images: list[np.ndarray], exact: list[np.ndarray], judged: list[list[bool]]) -> list[str]:
    """R-Precision and PSNR."""
    score_db = np.mean([psnr_db(one, other) for made, true in zip(images, exact, strict=True) for one, other in
                        zip(made, true, strict=True)])  # fmt: skip
    return [f"{np.mean(judged):.3f}", f"{score_db:.1f}"]


def main() -> None:
    """Make, judge, print; write a sheet, front and back of each object: exact ones first, then a student a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("students", nargs="+", type=Path, metavar="FOLDER", help="of a student")
    parser.add_argument("--scorer", type=Path, default=Path("data/priors/toy-scorer"), help="folder of the judge")
    parser.add_argument("--out", type=Path, help="a PNG: exact objects in the first row, then a student a row")
    add_write_option(parser, "students", "priors")
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cpu")
    scorer, prior = load_scorer(args.scorer, device), load_joint_views(embedded_prior("toy-mv"), device)
    real, others = world_until(set(PROMPTS), N_CAPTIONS)
    captions = [*PROMPTS, *others]
    exact = [render_toy(real[prompt], RIG).over(GREY) for prompt in PROMPTS]
    rows, sheet = [], [exact]
    for folder in args.students:
        network, images, spent = load_generator(folder), [], 0.0
        for prompt in PROMPTS:
            started = time.process_time()
            field = generate(network, prior.embed([prompt]))
            spent += time.process_time() - started
            images.append(render_without_gradient(field, RIG, N_SAMPLES, torch.tensor(GREY))[0].numpy().clip(0, 1))
        judged = [hits(scorer, views, place, captions) for place, views in enumerate(images)]
        seen = f"{samples_seen(folder):,}" if (folder / FACTS).is_file() else ""
        rows.append([folder.name, seen, *figures(images, exact, judged), f"{1000 * spent / len(PROMPTS):.0f}"])
        sheet.append(images)
    judged = [hits(scorer, views, place, captions) for place, views in enumerate(exact)]
    rows.append(["exact", "", f"{np.mean(judged):.3f}", "", ""])
    table = markdown_table(["student", "captions seen", "R-Precision", "PSNR, dB", "milliseconds a field"], rows)
    print(table)
    if args.out:
        write_png(args.out, contact_sheet([[views[side] for views in row for side in (0, 2)] for row in sheet]))
    if args.write:
        write_results(args.write, "students", table)


if __name__ == "__main__":
    main()
