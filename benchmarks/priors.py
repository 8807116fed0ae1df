"""Every figure that the toy family is to reach, on held-out objects: `python benchmarks/priors.py [--only NAME ...]`.

Objects and edits are rendered now, from seeds that no prior was trained on; what each figure is stands in
`stages/training/scores/`. Text to 3D has its own: `benchmarks/text_to_3d.py`.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from results import add_write_option, markdown_table, write_results

from flows.known_priors import known_priors
from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.inpainting import load_inpainting
from prior3d.diffusion.instruct import load_instruct
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.diffusion.scorer import load_scorer
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.diffusion.views import load_views
from stages.contract.parameters import check_params
from stages.training import inpainting_card, instruct_card, joint_views_card, prior_card, scorer_card, views_card
from stages.training.datasets.held_out import held_out
from stages.training.datasets.rendered_now import held_out_edits, held_out_sets, held_out_views, held_out_world
from stages.training.scores.inpainting import inpainting_scores
from stages.training.scores.instruct import instruct_scores
from stages.training.scores.joint_views import given_views_scores
from stages.training.scores.scorer import scorer_scores
from stages.training.scores.sets import drawn_together, ring_scores, rings
from stages.training.scores.text_to_image import autoencoder_scores, sample_scores, samples
from stages.training.scores.views import CARD_INPUTS, MOST_INPUTS, novel_view_scores, trials

CPU = torch.device("cpu")
OBJECTS = 800  # as many as the cards draw their captions from
SETS = 200  # of views, likewise
GOALS = {
    "toy": {
        "vae_psnr_db": 32.0,
        "share_of_real_r_precision": 0.95,
        "view_word_samples": 0.90,
    },
    "toy-inpainting": {"hole_psnr_db": 20.0},
    "toy-instruct": {"agreed_edit_psnr_db": 23.0, "agreed_unedited_above_vae_db": -2.0},
    "toy-views": {"regression_psnr_db_2": 22.0, "regression_psnr_db_3": 23.0, "regression_psnr_db_6": 25.0},
    "toy-mv": {"r_precision_joint": 0.95, "given_1_captioned_psnr_db": 24.0},
    "toy-scorer": {"top1": 0.97},
}


def main() -> None:
    """Score the toy priors that are here and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GOALS, default=list(GOALS), help="these priors alone")
    add_write_option(parser, "priors", "priors")
    args = parser.parse_args()
    wanted, rows = args.only, []
    torch.set_flush_denormal(True)
    folders = {known.name: known.folder for known in known_priors() if known.name in wanted}
    measures: dict[str, Callable[[Path], dict[str, float]]] = {
        "toy": text_to_image, "toy-inpainting": inpainting, "toy-instruct": instruct, "toy-views": views,
        "toy-mv": joint_views, "toy-scorer": scorer,
    }  # fmt: skip
    print("| prior | figure | value | goal | |\n|---|---|---|---|---|")
    for name, folder in folders.items():
        started = time.monotonic()
        for figure, value in measures[name](folder).items():
            goal = GOALS[name].get(figure)
            verdict = "" if goal is None else "reached" if value >= goal else "missed"
            rows.append([name, figure, f"{value:.4g}", "" if goal is None else goal, verdict])
            print("| " + " | ".join(str(cell) for cell in rows[-1]) + " |", flush=True)
        rows.append([name, "seconds", f"{time.monotonic() - started:.0f}", "", ""])
        print("| " + " | ".join(str(cell) for cell in rows[-1]) + " |", flush=True)
    if args.write:
        write_results(args.write, "priors", markdown_table(["prior", "figure", "value", "goal", ""], rows))


def text_to_image(folder: Path) -> dict[str, float]:
    """Autoencoder, R-Precision, view words and kernel distance, in front of the toy scorer."""
    params = card_params("prior_card", prior_card.Params)
    prior, real = load_text_to_image(folder, CPU), held_out(held_out_world(OBJECTS), params.captions, params.seed)
    judge = load_scorer(embedded_prior("toy-scorer"), CPU)
    drawn = samples(prior, real, params.guidance_scale, params.steps, params.seed)
    scores = autoencoder_scores(prior, real) | sample_scores(judge, real, drawn)
    return scores | {"share_of_real_r_precision": scores["r_precision_samples"] / scores["r_precision_real"]}


def inpainting(folder: Path) -> dict[str, float]:
    """Half-masked objects, as the card asks for them."""
    params = card_params("inpainting_card", inpainting_card.Params)
    prior = load_inpainting(folder, CPU)
    world = held_out_world(OBJECTS)
    return inpainting_scores(prior, world, params.images, params.guidance_scale, seed=params.seed)


def instruct(folder: Path) -> dict[str, float]:
    """Colour and pattern edits, as the card asks for them."""
    params = card_params("instruct_card", instruct_card.Params)
    edits = held_out_edits(2 * params.images)
    scales = params.guidance_scale, params.image_guidance_scale
    scores = instruct_scores(load_instruct(folder, CPU), edits, params.images, *scales)
    above = scores["agreed_unedited_pixels_psnr_db"] - scores["vae_unedited_pixels_psnr_db"]
    return scores | {"agreed_unedited_above_vae_db": above}


def views(folder: Path) -> dict[str, float]:
    """Novel views of 2, 3 and 6 posed images."""
    params, scores = card_params("views_card", views_card.Params), {}
    posed = held_out_views(params.objects, MOST_INPUTS + params.views)
    prior, chosen = load_views(folder, CPU), trials(posed, params.objects, params.views, params.seed)
    for n_inputs in CARD_INPUTS:
        scores |= novel_view_scores(prior, posed, chosen, n_inputs, params.steps, params.seed)
    return scores


def joint_views(folder: Path) -> dict[str, float]:
    """Rings drawn together from captions, and the ring's other views given one, two or three."""
    params = card_params("joint_views_card", joint_views_card.Params)
    sets, prior = held_out_sets(SETS), load_joint_views(folder, CPU)
    wanted = rings(sets, params.objects)
    drawn = drawn_together(prior, sets, wanted, params.guidance_scale, params.steps, params.seed)
    said = ring_scores(load_scorer(embedded_prior("toy-scorer"), CPU), wanted, drawn)
    scores = {f"{name}_joint": value for name, value in said.items()}
    return scores | given_views_scores(prior, sets, params.objects, n_steps=params.steps, seed=params.seed)


def scorer(folder: Path) -> dict[str, float]:
    """Captions and views of real renders told."""
    params = card_params("scorer_card", scorer_card.Params)
    return scorer_scores(
        load_scorer(folder, CPU), held_out_world(OBJECTS, 3), params.captions, params.draws, params.seed
    )[0]


def card_params(name: str, model: Any) -> Any:
    """A card's parameters, as `params.yaml` in the current folder has them."""
    return check_params(model, yaml.safe_load(Path("params.yaml").read_text())[name], name)


if __name__ == "__main__":
    main()
