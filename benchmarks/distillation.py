"""Losses of score distillation at equal processor time: `python benchmarks/distillation.py [--prompts N] [--images N]`.

Each loss makes a latent field from each prompt and seed (`coarse_nerf`), paints the exact bare mesh of an object with
the same caption (`latent-paint`), and makes a field from one image and its caption (`image_nerf`). First a step of each
loss is timed; a loss then gets as many steps as fit into the same processor seconds. `x0:0.6` is the loss x0 with 0.6
times the steps of SDS. Fields from text are judged as the decoder shows them, without refinement, which is not the
loss's work; those of the first prompts also as textured meshes, by the rest of `latent-nerf`. Fields from images are
judged before views are refreshed; of paint both are. Every figure stands beside that of exact objects or, from images,
of a field without a prior. FOLDER gets the runs, a JSON file and a contact sheet of each kind: exact objects, then a
loss a row. What is there already is not made again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distilling.figures import truth_of
from distilling.judging import RIG, exact_figures, mesh_views, objects_of, paint_figures, text_figures
from distilling.making import (
    DISTILLED,
    MESH,
    decoded_field,
    decoded_paint,
    prepare,
    run_stages,
    seconds_a_step,
    write_local_settings,
)
from distilling.pictures import exact_views, field_views, front_and_back, image_figures, object_at, places
from distilling.tables import image_table, mesh_table, paint_table, text_table
from results import add_write_option, write_results
from text_to_3d import N_CAPTIONS, PROMPTS, world_until

from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.errors import Prior3dError
from prior3d.images.files import contact_sheet, write_png
from prior3d.toyworld.objects import ToyObject

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


class Campaign:
    """All objects of a benchmark run, and their figures."""

    def __init__(self, args: argparse.Namespace, scorer: Scorer) -> None:
        self.args, self.scorer = args, scorer
        self.wanted = {
            "text": ORDER[: args.prompts],
            MESH: ORDER[: min(args.prompts, args.meshes)],
            "paint": ORDER[: args.paint],
            "image": places(args.images),
        }
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
        seeds = range(self.args.seeds if kind == "text" else 1)
        done = {(row["loss"], row["prompt"], row["seed"]) for row in self.rows[kind]}
        again = self.wanted[kind][: self.args.repeated]  # the objects that are made from more than one seed
        open_ones = [
            (p, s) for p in self.wanted[kind] for s in seeds if (loss, p, s) not in done and (s == 0 or p in again)
        ]
        if not open_ones:
            return
        if kind == MESH:
            for prompt, _ in open_ones:
                self.finish(loss, prompt)
            return
        stage = DISTILLED[kind]
        name = loss.split(":")[0]
        chosen = f"{stage}.sds.weight=0" if name == NO_PRIOR else f"{stage}.sds.loss.kind={name}"
        sets = [chosen, *(s for s in self.args.set if s.startswith(f"{stage}."))]
        steps = self.steps(kind, loss, sets)
        for prompt, seed in open_ones:
            self.make(kind, loss, prompt, seed, [*sets, f"{stage}.steps={steps}"], steps)

    def steps(self, kind: str, loss: str, sets: list[str]) -> int:
        """As many as the loss had before; else a share of those of SDS, or what fits into the seconds.

        Raises:
            Prior3dError: a share is asked for, and SDS made nothing.
        """
        taken = {row["loss"]: row["steps"] for row in self.rows[kind]}
        _, _, share = loss.partition(":")
        if loss in taken:
            return int(taken[loss])
        if share and "sds" not in taken:
            raise Prior3dError(f"{loss} is a share of the steps of sds: name sds before it in --losses")
        if share:
            return max(1, round(float(share) * taken["sds"]))
        first = self.wanted[kind][0]
        one = seconds_a_step(self.args.out / f"timing-{kind}", kind, first, sets, self.object(kind, first))
        steps = max(1, round(self.args.seconds / one))
        print(f"{loss}: {DISTILLED[kind]} {1000 * one:.0f} ms a step, {steps} steps", flush=True)
        return steps

    def object(self, kind: str, place: str) -> ToyObject:
        """The exact object of a prompt, or of the image at a place."""
        return object_at(place) if kind == "image" else self.objects[place][0]

    def folder(self, kind: str, loss: str, prompt: str, seed: int = 0) -> Path:
        """Where an object is."""
        return Path(self.args.out / f"{kind}-{loss.replace(':', '-')}-{prompt.replace(' ', '-')}-{seed}")

    def make(self, kind: str, loss: str, prompt: str, seed: int, sets: list[str], steps: int) -> None:
        """Make one object, and keep its figures."""
        folder, toy = self.folder(kind, loss, prompt, seed), self.object(kind, prompt)
        prepare(folder, kind, prompt, seed, sets, toy)
        spent, found = run_stages(folder, kind), dict[str, Any]()
        if kind == "text":
            found = self.judged(prompt, decoded_field(folder, RIG))
        elif kind == "image":
            found = image_figures(folder, prompt)
        else:
            found = paint_figures(folder, toy)
        row = {"loss": loss, "prompt": prompt, "seed": seed, "steps": steps, "seconds": spent[DISTILLED[kind]], **found}
        self.keep(kind, row, sum(spent.values()))

    def finish(self, loss: str, prompt: str) -> None:
        """Make a textured mesh of the field that a loss made from a prompt, and keep its figures."""
        made = next(r for r in self.rows["text"] if (r["loss"], r["prompt"], r["seed"]) == (loss, prompt, 0))
        folder = self.folder("text", loss, prompt)
        write_local_settings(folder)
        spent = run_stages(folder, MESH)
        found = self.judged(prompt, mesh_views(folder))
        row = {"loss": loss, "prompt": prompt, "seed": 0, "steps": made["steps"], "seconds": made["seconds"], **found}
        self.keep(MESH, row, sum(spent.values()))

    def judged(self, prompt: str, views: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
        """The figures of what a prompt became."""
        return text_figures(views, self.truth[prompt], self.scorer, ORDER.index(prompt), self.captions)

    def keep(self, kind: str, row: dict[str, Any], seconds: float) -> None:
        """Write and print an object's figures."""
        self.rows[kind].append(row)
        (self.args.out / f"{kind}.json").write_text(json.dumps(self.rows[kind]))
        told = {key: round(value, 3) for key, value in row.items() if isinstance(value, float)}
        print(f"  {row['loss']}, {row['prompt']}, seed {row['seed']}: {told}, {seconds:.0f} s", flush=True)

    def exact(self, kind: str) -> list[dict[str, Any]]:
        """The figures of exact objects."""
        return [
            exact_figures(self.truth[p], self.objects[p], self.scorer, ORDER.index(p), self.captions)
            for p in self.wanted[kind]
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
        rows = [[self.truth[prompt].images[0][view] for prompt in self.wanted[kind] for view in (0, 2)]]
        for loss in self.args.losses:
            images = [self.shown(kind, loss, prompt) for prompt in self.wanted[kind]]
            rows.append([image[view] for image in images for view in (0, 2)])
        write_png(self.args.out / f"{kind}.png", contact_sheet(rows))

    def shown(self, kind: str, loss: str, prompt: str) -> np.ndarray:
        """An object over grey, [views, h, w, 3]."""
        if kind == MESH:
            return mesh_views(self.folder("text", loss, prompt))[0]
        show = decoded_field if kind == "text" else decoded_paint
        return show(self.folder(kind, loss, prompt), RIG)[0]

    def table(self, kind: str) -> str:
        """The table of a kind."""
        rows, losses = self.rows[kind], losses_of(kind, self.args)
        if kind == "text":
            again = self.wanted[kind][: self.args.repeated]
            looks = [list(self.truth[prompt].embeddings[: self.args.seeds]) for prompt in again]
            return text_table(rows, losses, self.exact(kind), looks)
        if kind == MESH:
            return mesh_table(rows, losses, self.exact(kind))
        return {"paint": paint_table, "image": image_table}[kind](rows, losses)


def losses_of(kind: str, args: argparse.Namespace) -> list[str]:
    """The rows of a kind's table."""
    return [*args.losses, NO_PRIOR] if kind == "image" else list(args.losses)


def loss_name(word: str) -> str:
    """A loss, or one with a share of the steps of SDS, such as `x0:0.6`; an error that argparse shows."""
    name, _, share = word.partition(":")
    if name not in LOSSES or (":" in word and not (share.replace(".", "", 1).isdigit() and float(share) > 0)):
        raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(LOSSES)}, nor one with a share, as in x0:0.6")
    return word


NAMES = {
    "text": "From text",
    MESH: "The textured meshes of these fields, behind `rgb_refinement`",
    "paint": "Painted meshes",
    "image": "From one image, 16 novel views",
}


def main() -> None:
    """Make everything, print the tables, write the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scorer", type=Path, default=Path("data/priors/toy-scorer"), help="folder of the judge")
    parser.add_argument("--losses", nargs="+", type=loss_name, default=list(LOSSES), help="only these losses")
    parser.add_argument("--prompts", type=int, default=24, help="objects made from text, of 24 prompts; 0: none")
    parser.add_argument("--meshes", type=int, default=24, help="objects made from text that become meshes; 0: none")
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
    for kind, name in NAMES.items():
        if campaign.wanted[kind]:
            campaign.sheet(kind)
            parts.append(f"{name}:\n\n{campaign.table(kind)}")
    print("\n\n".join(parts))
    if args.write:
        write_results(args.write, "distillation", "\n\n".join(parts))


if __name__ == "__main__":
    main()
