"""Scores of the toy family of priors on held-out objects: `python benchmarks/priors.py [--images N]`.

What each figure is stands in `stages/training/prior_check.py` and the modules that it calls.
"""

import argparse
import time

import torch

from flows.command_priors import known_priors
from prior3d.priors.loading import load_inpainting, load_instruct, load_text_to_image
from prior3d.priors.scorer import load_scorer
from stages.training.prior_check import toy_scores, verdict

LOADERS = {
    "text_to_image": load_text_to_image,
    "inpainting": load_inpainting,
    "instruct": load_instruct,
    "scorer": load_scorer,
}


def main() -> None:
    """Score every toy prior that is here and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=96, help="held-out renders a score, a multiple of 16")
    images = parser.parse_args().images
    print("| prior | figure | value |\n|---|---|---|")
    for known in known_priors():
        if known.role not in LOADERS or not known.name.startswith("toy"):
            continue
        started = time.monotonic()
        scores = toy_scores(known.role, LOADERS[known.role](known.folder, torch.device("cpu")), images)
        for name, value in scores.items():
            print(f"| {known.name} | {name} | {value:.4g} |")
        print(f"| {known.name} | {verdict(known.role, scores)} | {time.monotonic() - started:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
