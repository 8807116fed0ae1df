"""Losses of score distillation at equal processor time: `python benchmarks/distillation.py [--prompts N] [--images N]`.

Each loss makes a latent field from each prompt and seed (`coarse_nerf`), paints the exact bare mesh of an object with
the same caption (`latent-paint`), and makes a field from one image and its caption (`image_nerf`). First a step of each
loss is timed; a loss then gets as many steps as fit into the same processor seconds. Fields from text are judged as the
decoder shows them, without refinement, which is not the loss's work; fields from images before views are refreshed; of
paint both are. Every figure stands beside that of exact objects or, from images, of a field without a prior. FOLDER
gets the runs, `text.json`, `paint.json`, `image.json` and contact sheets: exact objects, then a loss a row. What is
there already is not made again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distilling.figures import (
    Truth,
    embedded,
    lab_colours,
    mean_diversity,
    palette_error,
    saturation,
    second_fronts,
    truth_of,
)
from distilling.making import DISTILLED, decoded_field, decoded_paint, prepare, run_stages, seconds_a_step
from distilling.pictures import exact_views, field_views, front_and_back, image_figures, object_at, places
from results import add_write_option, markdown_table, write_results
from skimage.color import deltaE_ciede2000, rgb2lab
from text_to_3d import N_CAPTIONS, PROMPTS, WORLD_SEED, cameras, hits, world_until

from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.images.files import contact_sheet, write_png
from prior3d.meshes.painted_files import load_painted
from prior3d.meshes.raster import render_mesh
from prior3d.toyworld.objects import ToyObject, caption, draw_design, kind_of_caption, object_generator, sample_object
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import render_toy

LOSSES = ("sds", "csd", "ism", "vsd", "x0")
NO_PRIOR = "no prior"  # a row of its own with images
# Written down before the first of them ran: things with a front and a back take turns with patterns
FIRST = (
    "a blue chair",
    "a red mug with white stripes",
    "a brown teddy bear",
    "a green mushroom with yellow dots",
    "a white duck",
    "a blue house with a red roof",
)
ORDER = (*FIRST, *(prompt for prompt in PROMPTS if prompt not in FIRST))
N_TRUE = 4  # exact objects of each caption
RIG = cameras()
GREY = BACKGROUNDS["grey"]


def objects_of(text: str) -> list[ToyObject]:
    """The first held-out objects with a caption."""
    kind, found, index = kind_of_caption(text), list[ToyObject](), 0
    while len(found) < N_TRUE:
        design = draw_design(object_generator(WORLD_SEED, index, "held-out"), kind.noun)
        if caption(kind, design.main, design.pattern, design.named_part, design.accent) == text:
            found.append(sample_object(WORLD_SEED, index, "held-out", kind.noun))
        index += 1
    return found


def text_figures(folder: Path, truth: Truth, scorer: Scorer, place: int, captions: list[str]) -> dict[str, Any]:
    """The figures of one object that was made from a prompt."""
    images, opacity = decoded_field(folder, RIG)
    colours, looks = lab_colours(images, opacity), embedded(scorer, images)
    there = len(colours) > 0
    return {
        "found": float(np.mean(hits(scorer, images, place, captions))),
        "colour": palette_error(colours, truth.colours) if there else float("nan"),
        "saturation": saturation(colours) / saturation(truth.colours) if there else float("nan"),
        "fronts": second_fronts(looks, truth) / (len(looks) - 1),
        "looks": looks.tolist(),
    }


def exact_figures(
    truth: Truth, objects: list[ToyObject], scorer: Scorer, place: int, captions: list[str]
) -> dict[str, Any]:
    """The same figures of the first exact object, judged by the others."""
    mask = render_toy(objects[0], RIG).mask
    first, rest = lab_colours(truth.images[0], mask), truth.colours[(mask > 0.99).sum() :]
    return {
        "found": float(np.mean(hits(scorer, truth.images[0], place, captions))),
        "colour": palette_error(first, rest),
        "saturation": saturation(first) / saturation(truth.colours),
        "fronts": second_fronts(truth.embeddings[0], truth, but=0) / (len(RIG.c2w) - 1),
    }


def paint_figures(folder: Path, toy: ToyObject) -> dict[str, Any]:
    """Colour error, pixel by pixel, of a painted mesh to the object that it was taken from: latents, then texture."""
    true = render_toy(toy, RIG)
    there = true.mask > 0.99
    shown = render_mesh(load_painted(folder / "texture_refinement"), RIG, background=GREY[0]).rgb
    wanted = rgb2lab(true.over(GREY))[there]
    latents, texture = (rgb2lab(images.clip(0, 1))[there] for images in (decoded_paint(folder, RIG)[0], shown))
    grey = np.full_like(wanted, rgb2lab(np.full(3, 0.5)))
    return {
        "latents": float(deltaE_ciede2000(latents, wanted).mean()),
        "colour": float(deltaE_ciede2000(texture, wanted).mean()),
        "grey": float(deltaE_ciede2000(grey, wanted).mean()),
        "saturation": saturation(latents) / saturation(wanted),
    }


class Campaign:
    """All objects of a benchmark run, and their figures."""

    def __init__(self, args: argparse.Namespace, scorer: Scorer) -> None:
        self.args, self.scorer = args, scorer
        self.wanted = {"text": ORDER[: args.prompts], "paint": ORDER[: args.paint], "image": places(args.images)}
        _, others = world_until(set(ORDER), N_CAPTIONS)
        self.captions = [*ORDER, *others]
        self.objects = {prompt: objects_of(prompt) for prompt in ORDER[: max(args.prompts, args.paint)]}
        self.truth = {prompt: truth_of(toys, RIG, scorer) for prompt, toys in self.objects.items()}
        args.out.mkdir(parents=True, exist_ok=True)
        self.rows = {kind: self.kept(kind) for kind in self.wanted}

    def kept(self, kind: str) -> list[dict[str, Any]]:
        """The rows of objects that are there."""
        file = self.args.out / f"{kind}.json"
        rows: list[dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else []
        return rows

    def take(self, kind: str, loss: str) -> None:
        """Make all objects of a kind with one loss."""
        stage, seeds = DISTILLED[kind], range(self.args.seeds if kind == "text" else 1)
        done = {(row["loss"], row["prompt"], row["seed"]): row for row in self.rows[kind]}
        again = self.wanted[kind][: self.args.repeated]  # the objects that are made from more than one seed
        open_ones = [
            (p, s) for p in self.wanted[kind] for s in seeds if (loss, p, s) not in done and (s == 0 or p in again)
        ]
        if not open_ones:
            return
        chosen = f"{stage}.sds.weight=0" if loss == NO_PRIOR else f"{stage}.sds.loss.kind={loss}"
        sets, first = [chosen, *(s for s in self.args.set if s.startswith(f"{stage}."))], self.wanted[kind][0]
        one = seconds_a_step(self.args.out / f"timing-{kind}", kind, first, sets, self.object(kind, first))
        steps = next(
            (row["steps"] for key, row in done.items() if key[0] == loss), max(1, round(self.args.seconds / one))
        )
        print(f"{loss}: {stage} {1000 * one:.0f} ms a step, {steps} steps", flush=True)
        for prompt, seed in open_ones:
            self.make(kind, loss, prompt, seed, [*sets, f"{stage}.steps={steps}"], steps)

    def object(self, kind: str, place: str) -> ToyObject:
        """The exact object of a prompt, or of the image at a place."""
        return object_at(place) if kind == "image" else self.objects[place][0]

    def folder(self, kind: str, loss: str, prompt: str, seed: int = 0) -> Path:
        """Where an object is."""
        return Path(self.args.out / f"{kind}-{loss}-{prompt.replace(' ', '-')}-{seed}")

    def make(self, kind: str, loss: str, prompt: str, seed: int, sets: list[str], steps: int) -> None:
        """Make one object, and keep its figures."""
        folder, toy = self.folder(kind, loss, prompt, seed), self.object(kind, prompt)
        prepare(folder, kind, prompt, seed, sets, toy)
        spent, found = run_stages(folder, kind), dict[str, Any]()
        if kind == "text":
            found = text_figures(folder, self.truth[prompt], self.scorer, ORDER.index(prompt), self.captions)
        elif kind == "image":
            found = image_figures(folder, prompt)
        else:
            found = paint_figures(folder, toy)
        row = {"loss": loss, "prompt": prompt, "seed": seed, "steps": steps, "seconds": spent[DISTILLED[kind]], **found}
        self.rows[kind].append(row)
        (self.args.out / f"{kind}.json").write_text(json.dumps(self.rows[kind]))
        told = {key: round(value, 3) for key, value in found.items() if isinstance(value, float)}
        print(f"  {prompt}, seed {seed}: {told}, {sum(spent.values()):.0f} s", flush=True)

    def exact(self) -> list[dict[str, Any]]:
        """The figures of exact objects."""
        return [
            exact_figures(self.truth[p], self.objects[p], self.scorer, ORDER.index(p), self.captions)
            for p in self.wanted["text"]
        ]

    def sheet(self, kind: str) -> None:
        """A contact sheet: exact objects in the first row, then a loss a row, each object from front and back."""
        if kind == "image":
            rigs = {place: front_and_back(place, 64) for place in self.wanted[kind]}
            rows = [[view for place, rig in rigs.items() for view in exact_views(place, rig)]]
            for loss in losses_of(kind, self.args):
                made = [field_views(self.folder(kind, loss, place), rig) for place, rig in rigs.items()]
                rows.append([view for views in made for view in views])
            write_png(self.args.out / f"{kind}.png", contact_sheet(rows))
            return
        show = decoded_field if kind == "text" else decoded_paint
        rows = [[self.truth[prompt].images[0][view] for prompt in self.wanted[kind] for view in (0, 2)]]
        for loss in self.args.losses:
            images = [show(self.folder(kind, loss, prompt), RIG)[0] for prompt in self.wanted[kind]]
            rows.append([image[view] for image in images for view in (0, 2)])
        write_png(self.args.out / f"{kind}.png", contact_sheet(rows))


def losses_of(kind: str, args: argparse.Namespace) -> list[str]:
    """The rows of a kind's table."""
    return [*args.losses, NO_PRIOR] if kind == "image" else list(args.losses)


def mean(rows: list[dict[str, Any]], key: str) -> float:
    """Of the rows where the figure is a number."""
    return float(np.nanmean([row[key] for row in rows]))


def text_table(campaign: Campaign) -> str:
    """A loss a row, exact objects last."""
    table, figures = [], ("found", "colour", "saturation", "fronts")
    for loss in campaign.args.losses:
        rows = [row for row in campaign.rows["text"] if row["loss"] == loss]
        looks = [[torch.tensor(row["looks"]) for row in rows if row["prompt"] == p] for p in campaign.wanted["text"]]
        cells = [*(mean(rows, key) for key in figures), mean_diversity(looks)]
        table.append([loss, rows[0]["steps"], f"{mean(rows, 'seconds'):.1f}", *map(cell, cells)])
    exact = campaign.exact()
    again = campaign.wanted["text"][: campaign.args.repeated]
    looks = [list(campaign.truth[p].embeddings[: campaign.args.seeds]) for p in again]
    cells = [*(mean(exact, key) for key in figures), mean_diversity(looks)]
    header = ["loss", "steps", "s", "R-Precision", "colour error", "saturation", "second fronts", "diversity"]
    return markdown_table(header, [*table, ["exact", "", "", *map(cell, cells)]])


def paint_table(campaign: Campaign) -> str:
    """A loss a row, a grey object last."""
    table, figures = [], ("latents", "colour", "saturation")
    for loss in campaign.args.losses:
        rows = [row for row in campaign.rows["paint"] if row["loss"] == loss]
        cells = [cell(mean(rows, key)) for key in figures]
        table.append([loss, rows[0]["steps"], f"{mean(rows, 'seconds'):.1f}", *cells])
    grey = cell(mean(campaign.rows["paint"], "grey"))
    header = ["loss", "steps", "s", "colour error of the latents", "of the finished texture", "saturation"]
    return markdown_table(header, [*table, ["grey", "", "", grey, grey, "0.000"]])


def image_table(campaign: Campaign) -> str:
    """A loss a row, a field without a prior last."""
    table = []
    for loss in losses_of("image", campaign.args):
        rows = [row for row in campaign.rows["image"] if row["loss"] == loss]
        cells = [cell(mean(rows, key)) for key in ("psnr", "ssim", "colour", "own")]
        table.append([loss, rows[0]["steps"], f"{mean(rows, 'seconds'):.1f}", *cells])
    return markdown_table(["loss", "steps", "s", "PSNR, dB", "SSIM", "colour error", "own view, dB"], table)


def cell(value: float) -> str:
    """A figure; a dash where there is none."""
    return "-" if np.isnan(value) else f"{value:.3f}"


TABLES = {
    "text": ("From text", text_table),
    "paint": ("Painted meshes", paint_table),
    "image": ("From one image, 16 novel views", image_table),
}


def main() -> None:
    """Make everything, print the tables, write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scorer", type=Path, default=Path("data/priors/toy-scorer"), help="folder of the judge")
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES), help="only these losses")
    parser.add_argument("--prompts", type=int, default=24, help="objects made from text, of 24 prompts; 0: none")
    parser.add_argument("--paint", type=int, default=24, help="exact meshes painted from the prompts; 0: none")
    parser.add_argument("--images", type=int, default=10, help="objects made from one image; 0: none")
    parser.add_argument("--seeds", type=int, default=2, help="seeds of each object made from text")
    parser.add_argument("--repeated", type=int, default=len(ORDER), help="objects that get more than one seed")
    parser.add_argument("--seconds", type=float, default=28.0, help="processor seconds of distillation per object")
    parser.add_argument("--set", action="append", default=[], metavar="STAGE.NAME=VALUE", help="for all losses")
    parser.add_argument("--out", type=Path, default=Path("distillation"), help="folder of runs, figures and sheets")
    add_write_option(parser, "distillation", "distillation")
    args = parser.parse_args()
    args.out = args.out.resolve()
    torch.set_num_threads(1)
    campaign = Campaign(args, load_scorer(args.scorer, torch.device("cpu")))
    for kind in campaign.wanted:
        for loss in losses_of(kind, args) if campaign.wanted[kind] else ():
            campaign.take(kind, loss)
    parts = []
    for kind, (name, table) in TABLES.items():
        if campaign.wanted[kind]:
            campaign.sheet(kind)
            parts.append(f"{name}:\n\n{table(campaign)}")
    print("\n\n".join(parts))
    if args.write:
        write_results(args.write, "distillation", "\n\n".join(parts))


if __name__ == "__main__":
    main()
