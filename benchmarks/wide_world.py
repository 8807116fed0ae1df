"""What a joint-view prior knows of the wider world: `python benchmarks/wide_world.py --prior FOLDER --scorer FOLDER`.

Of each noun that the sets name, a few captions are drawn as rings of four views and judged by the scorer, which looks
for each view's caption among all of them; real renders of the same objects are judged beside. The objects were trained
on (most kinds have one only), the samples are drawn from the captions alone. Then held-out objects are given as one
view and their caption, and the ring's other views are compared with the exact ones; `--beside` does the same with
another prior, which may lack words.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from results import add_write_option, markdown_table, write_results

from prior3d.cameras import view_words
from prior3d.diffusion.joint_views import JointViewsPrior, load_joint_views
from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.images.files import contact_sheet, write_png
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.palette import BACKGROUNDS, COLOURS
from prior3d.toyworld.renders import toy_orbit
from prior3d.toyworld.shapes import CATEGORIES
from prior3d.wideworld.kinds import NEW_KINDS
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.sets import RING
from stages.training.scores.joint_views import EXTRA, draw, first_image, images_of

CPU, WHITE = torch.device("cpu"), list(BACKGROUNDS).index("white")
GROUPS = ("toy world", "procedural, new", "real objects")
KNOWN_FROM = 0.8  # of the real renders' share


@dataclass(frozen=True)
class Chosen:
    """An object whose caption is drawn: its number in the dataset, caption and noun."""

    number: int
    caption: str
    noun: str


def noun_of(caption: str) -> str:
    """What a caption names, without article, colours and details: `lantern` of `a brown and red lantern`."""
    words = caption.partition(" with ")[0].split()
    while words and (words[0] in COLOURS or words[0] in ("a", "an", "and")):
        words = words[1:]
    return " ".join(words)


def group_of(noun: str) -> str:
    """Which part of the world a noun is of; a kind that is in several counts for the first."""
    if noun in {kind.noun for kind in CATEGORIES}:
        return GROUPS[0]
    return GROUPS[1] if noun in {kind.noun for kind in NEW_KINDS} else GROUPS[2]


def chosen_captions(dataset: RenderedDataset, each: int, nouns: int) -> list[Chosen]:
    """The first captions of every noun that differ, up to `each`; of the first `nouns` nouns, 0: of all."""
    found: dict[str, dict[str, Chosen]] = {}
    for number, caption in enumerate(dataset.captions):
        if caption and len(mine := found.setdefault(noun_of(caption), {})) < each:
            mine.setdefault(caption, Chosen(number, caption, noun_of(caption)))
    wanted = sorted(found)[: nouns or None]
    return [one for noun in wanted for one in found[noun].values()]


@torch.no_grad()
def ring_of(prior: JointViewsPrior, dataset: RenderedDataset, one: Chosen, steps: int, guidance: float) -> torch.Tensor:
    """A ring drawn from a caption over white, as the dataset's cameras see it: [RING, 3, h, w]."""
    views = torch.from_numpy(dataset.views[first_image(dataset, one.number) + torch.arange(RING).numpy()])
    texts = [full_caption(one.caption, word, "white") for word in view_words(toy_orbit(*views.T))]
    generator = torch.Generator().manual_seed(one.number)
    return prior.sample(
        prior.embed(texts), prior.orbit(views[:, 0], views[:, 1]), given=None, null_text=prior.embed([""]),
        guidance_scale=guidance, num_inference_steps=steps, generator=generator,
    ).cpu()  # fmt: skip


@torch.no_grad()
def shares(scorer: Scorer, images: list[torch.Tensor], chosen: list[Chosen]) -> dict[str, float]:
    """By noun: the share of views whose own caption is the nearest of all."""
    captions = list(dict.fromkeys(one.caption for one in chosen))
    found: dict[str, list[float]] = {}
    for ring, one in zip(images, chosen, strict=True):
        nearest = scorer.similarity(ring, captions).argmax(-1).cpu()
        found.setdefault(one.noun, []).append(float((nearest == captions.index(one.caption)).float().mean()))
    return {noun: sum(each) / len(each) for noun, each in found.items()}


def known(drawn: dict[str, float], real: dict[str, float]) -> list[str]:
    """Nouns whose share is at least `KNOWN_FROM` of the real renders', which must be found at all."""
    return [noun for noun, share in drawn.items() if real[noun] > 0 and share >= KNOWN_FROM * real[noun]]


def kinds_table(drawn: dict[str, float], real: dict[str, float]) -> str:
    """A group of nouns a row."""
    rows, good = [], set(known(drawn, real))
    for group in (*GROUPS, "all"):
        mine = [noun for noun in drawn if group in ("all", group_of(noun))]
        if mine:
            means = [sum(share[noun] for noun in mine) / len(mine) for share in (drawn, real)]
            rows.append([group, len(mine), *(f"{mean:.1%}" for mean in means), len(good & set(mine))])
    return markdown_table(["nouns", "how many", "drawn", "real renders", f"at {KNOWN_FROM:g} of real or above"], rows)


@torch.no_grad()
def given_one(prior: JointViewsPrior, held_out: RenderedDataset, objects: list[int], steps: int) -> list[float]:
    """Mean PSNR in dB of the ring, given another view and the caption, of each held-out object."""
    decibels, ring = [], list(range(RING))
    for number in objects:
        generator = torch.Generator().manual_seed(number)
        made = draw(prior, held_out, number, [EXTRA], ring, WHITE, "captioned", steps, generator)
        error = (made - images_of(held_out, number, ring, WHITE)).square().mean(dim=(1, 2, 3))
        decibels.append(float((-10 * error.clamp(min=1e-5).log10()).mean()))
    return decibels


def given_table(priors: dict[str, JointViewsPrior], held_out: RenderedDataset, n: int, steps: int) -> str:
    """A prior a row, a group of held-out objects a column."""
    named = [i for i, caption in enumerate(held_out.captions) if caption]
    objects = {g: [i for i in named if group_of(noun_of(held_out.captions[i])) == g][:n] for g in GROUPS}
    objects["without a name"] = [i for i, caption in enumerate(held_out.captions) if not caption][:n]
    objects = {group: numbers for group, numbers in objects.items() if numbers}
    rows = []
    for name, prior in priors.items():
        found = [given_one(prior, held_out, numbers, steps) for numbers in objects.values()]
        rows.append([name, *(f"{sum(each) / len(each):.2f}" for each in found)])
    return markdown_table(["PSNR in dB", *(f"{group} ({len(each)})" for group, each in objects.items())], rows)


def sheet(images: list[torch.Tensor], dataset: RenderedDataset, chosen: list[Chosen], path: Path, most: int) -> None:
    """Objects in columns of two rows, eight to a line: a real ring's first two views above the drawn ones."""
    step, rows = max(1, len(chosen) // most), []
    picked = list(range(0, len(chosen), step))[:most]
    for first in range(0, len(picked), 8):
        line = picked[first : first + 8]
        for source in ("real", "drawn"):
            row = []
            for i in line:
                ring = images_of(dataset, chosen[i].number, [0, 1], WHITE) if source == "real" else images[i][:2]
                row += [view.permute(1, 2, 0).clamp(0, 1).numpy() for view in ring]
            rows.append(row)
    write_png(path, contact_sheet(rows))


def main() -> None:
    """Draw, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", type=Path, default=Path("data/priors/wide-mv"), help="a joint-view prior")
    parser.add_argument("--beside", type=Path, action="append", default=[], help="others, for the held-out objects")
    parser.add_argument("--scorer", type=Path, default=Path("data/priors/wide-scorer"), help="folder of the judge")
    parser.add_argument("--sets", type=Path, default=Path("data/wide"), help="rendered sets of the wider world")
    parser.add_argument("--each", type=int, default=2, help="captions of each noun")
    parser.add_argument("--nouns", type=int, default=0, help="only the first nouns; 0: all")
    parser.add_argument("--objects", type=int, default=40, help="held-out objects of each group")
    parser.add_argument("--steps", type=int, default=10, help="denoising steps")
    parser.add_argument("--guidance", type=float, default=2.5, help="guidance on the caption")
    parser.add_argument("--sheet", type=Path, help="a PNG: real renders above drawn ones")
    parser.add_argument("--out", type=Path, help="a JSON file for the shares of each noun")
    add_write_option(parser, "wide_world", "priors")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset, held_out = (RenderedDataset(args.sets, split) for split in ("train", "held-out"))
    priors = {path.name: load_joint_views(path, CPU) for path in (args.prior, *args.beside)}
    scorer, prior = load_scorer(args.scorer, CPU), priors[args.prior.name]
    chosen = chosen_captions(dataset, args.each, args.nouns)
    images = [ring_of(prior, dataset, one, args.steps, args.guidance) for one in chosen]
    drawn = shares(scorer, images, chosen)
    real = shares(scorer, [images_of(dataset, one.number, list(range(RING)), WHITE) for one in chosen], chosen)
    parts = [f"Rings of {len(chosen)} captions, four views each:", kinds_table(drawn, real)]
    print("\n\n".join(parts), flush=True)
    if args.out:
        told: dict[str, Any] = {"drawn": drawn, "real": real, "known": known(drawn, real)}
        args.out.write_text(json.dumps(told, indent=1), encoding="utf-8")
    if args.sheet:
        sheet(images, dataset, chosen, args.sheet, 48)
    if args.objects:
        parts += ["Held-out objects, given one view and the caption:"]
        parts += [given_table(priors, held_out, args.objects, args.steps)]
        print("\n\n".join(parts[2:]))
    if args.write:
        write_results(args.write, "wide_world", "\n\n".join(parts))


if __name__ == "__main__":
    main()
