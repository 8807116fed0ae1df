"""How well are scenes edited? `python benchmarks/edit_scenes.py [--scenes N] [--variants ...] [--set STAGE.NAME=X]`.

Posed renders of held-out toy objects become a capture; it is fitted, and edited by an instruction whose exact result is
known, once by each variant of `dataset_update`. Measured over white at cameras that nobody fitted to (per_frame makes
pictures at the capture's own only): PSNR to the true edited renders, PSNR over the object's pixels that the edit does
not change beside that of the unedited fit, and by the toy scorer the directional similarity and its consistency between
neighbouring frames (Haque et al. 2023, section 4.2). The unedited fit's PSNR to the edited truth is what doing nothing
gives. `iterative` is the stage as it is by default; the others are in the form that the paper compares with, without
consensus. Stages run as in a flow, in one process; scenes that are finished with the same settings are not made again.
"""

import argparse
import contextlib
import io
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from results import add_write_option, markdown_table, write_results
from text_to_3d import WORLD_SEED
from torch import Tensor

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.images.files import contact_sheet, from_bytes, write_png
from prior3d.metrics import psnr_db
from prior3d.rendering.scene import occupied_cells, render_scene_view
from prior3d.toyworld.edits import Edit, sample_edit
from prior3d.toyworld.renders import render_toy, toy_orbit
from stages.artifacts.capture import load_posed_images
from stages.artifacts.fields import load_drawn, load_scene_field
from stages.contract.entry import execute
from stages.contract.parameters import merged
from stages.dataset_update import Params

VARIANTS = ("iterative", "one_time", "per_frame", "sds")
SIZE, N_VIEWS, N_TEST = 64, 24, 8
FIGURES = ("psnr", "unnamed", "unnamed_loss", "direction", "consistency", "seconds", "processor")
SETTINGS = {
    "scene_preparation": {},
    "scene_fit": {"resolutions": [33, 65], "steps": [200, 500], "rendering": {"rays_per_step": 1024, "n_bins": 32},
                  "splats": {"counts": [1000, 2000, 4000], "steps": [200, 300, 1000],
                             "image_fractions": [0.5, 1.0, 1.0]},
                  "held_out_every": 0},
    "dataset_update": {"rendering": {"rays_per_step": 1024, "n_bins": 32}, "held_out_every": 0,
                       "preview_scales": [[], []]},
}  # fmt: skip
OWN_FORM = {
    "consensus": {"enabled": False},
    "edit": {"noise_range": [0.02, 0.98]},
}  # of what the method is compared with, as Haque et al. did


def cameras(n: int, offset_deg: float) -> Cameras:
    """Cameras spread over azimuths and elevations as the toy world's are."""
    place = np.arange(n)
    return orbit_cameras(toy_orbit(place * 137.508 + offset_deg, -5 + 55 * (place * 0.618034 % 1)), SIZE, SIZE)


def pictures(toy, rig: Cameras) -> np.ndarray:
    """[views, size, size, 3] over white."""
    return render_toy(toy, rig).over((1.0, 1.0, 1.0))


def write_capture(folder: Path, edit: Edit, rig: Cameras) -> None:
    """The object before the edit, as a capture in the Blender layout with intrinsics."""
    made, frames = render_toy(edit.before, rig), []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for view in range(rig.views):
        mask = made.mask[view][..., None]
        straight = np.clip(made.rgb[view] / np.maximum(mask, 1e-6), 0, 1)
        write_png(folder / "images" / f"{view:03d}.png", np.concatenate([straight, mask], -1))
        frames.append({"file_path": f"images/{view:03d}.png", "transform_matrix": rig.c2w[view].tolist()})
    focal = float(rig.focal_pixels[0])
    (folder / "transforms.json").write_text(json.dumps({"fl_x": focal, "w": SIZE, "h": SIZE, "frames": frames}))


def stage(run: Path, name: str, given: dict[str, str]) -> float:
    """Run a stage in a run's folder; the seconds it took."""
    began = time.perf_counter()
    words = [word for key, path in given.items() for word in (f"--{key}", path)]
    with contextlib.redirect_stdout(io.StringIO()):  # progress lines
        code = execute(f"stages.{name}", words, run)
    if code != 0:
        raise SystemExit(f"{name} failed in {run}")
    return time.perf_counter() - began


def prepare(run: Path, edit: Edit, prior: str, sets: dict) -> float:
    """Write a run's files and fit the scene; the seconds of fitting."""
    (run / "inputs").mkdir(parents=True, exist_ok=True)
    write_capture(run / "inputs" / "scene", edit, cameras(N_VIEWS, 0.0))
    (run / "inputs" / "instruction.txt").write_text(edit.instruction + "\n")
    (run / "inputs" / "prior.json").write_text(json.dumps({"name": prior, "digest": "benchmark"}))
    (run / "local.yaml").write_text(yaml.safe_dump({"device": "cpu"}))
    settings = {name: merged(values, sets.get(name, {})) for name, values in SETTINGS.items()}
    for variant in VARIANTS:
        form = {} if variant == "iterative" else OWN_FORM
        own = merged(merged(SETTINGS["dataset_update"], form), {"variant": variant})
        settings[variant] = merged(own, sets.get("dataset_update", {}))
    (run / "params.yaml").write_text(yaml.safe_dump(settings))
    if (run / "scene_fit" / "field.json").is_file():
        return json.loads((run / "scene_fit.cost.json").read_text())["seconds"]
    stage(run, "scene_preparation", {"scene": "inputs/scene"})
    return stage(run, "scene_fit", {"images": "scene_preparation"})


def seen_by(folder: Path, rig: Cameras) -> np.ndarray:
    """[views, size, size, 3] what a stage's field, or its splats, show over white."""
    drawn = load_drawn(folder)
    if drawn is not None:
        return drawn.render_views(rig, torch.ones(3))[0].clamp(0, 1).numpy()
    field = load_scene_field(folder)
    return render_scene_view(field, rig, 48, occupied_cells(field), 1.0)[0].clamp(0, 1).numpy()


def judged(made: np.ndarray, before: np.ndarray, after: np.ndarray, fitted: np.ndarray, masks: np.ndarray,
           scorer: Scorer | None, edit: Edit) -> dict[str, float]:  # fmt: skip
    """All figures of one result [views, size, size, 3]."""
    same = (np.abs(before - after).max(-1) < 1e-3) & (masks > 0.99)
    found = {"psnr": psnr_db(made, after), "unnamed": float("nan"), "unnamed_fit": float("nan")}
    if same.sum() > 50:
        found |= {"unnamed": psnr_db(made[same], after[same]), "unnamed_fit": psnr_db(fitted[same], before[same])}
        found["unnamed_loss"] = found["unnamed_fit"] - found["unnamed"]
    if scorer is not None:
        first, second = (torch.from_numpy(np.ascontiguousarray(p, np.float32)).movedim(-1, 1) for p in (before, made))
        texts = scorer.embed_texts([edit.before.caption, edit.after.caption])
        change = scorer.embed_images(second) - scorer.embed_images(first)
        found["direction"] = float(cosine(change, (texts[1] - texts[0]).expand_as(change)).mean())
        found["consistency"] = float(cosine(change[:-1], change[1:]).mean())
    return found


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Row by row."""
    return torch.nn.functional.cosine_similarity(first, second, dim=-1)


def one_scene(index: int, kind: str, args: argparse.Namespace, scorer: Scorer | None, sets: dict) -> list[dict]:
    """Fit, edit by every variant, measure, and leave a sheet of images."""
    edit = sample_edit(WORLD_SEED, index, "held-out", kind)
    run = args.out / f"scene_{index:02d}"
    seconds_fit = prepare(run, edit, args.prior, sets)
    rig, ring_order = cameras(N_TEST, 60.0), torch.argsort((torch.arange(N_TEST) * 137.508 + 60) % 360)
    rig = rig[ring_order]
    own = load_posed_images(run / "scene_preparation").cameras.resized(SIZE, SIZE)
    truth = {name: (pictures(edit.before, r), pictures(edit.after, r), render_toy(edit.before, r).mask)
             for name, r in (("test", rig), ("own", own))}  # fmt: skip
    fits = {"test": seen_by(run / "scene_fit", rig), "own": seen_by(run / "scene_fit", own)}
    rows = [{"scene": index, "variant": "nothing", "instruction": edit.instruction, "caption": edit.before.caption,
             "seconds": seconds_fit, "fit_psnr": psnr_db(fits["test"], truth["test"][0]),
             **judged(fits["test"], truth["test"][0], truth["test"][1], fits["test"], truth["test"][2], scorer, edit)}]  # fmt: skip # noqa: E501
    sheet = [list(truth["test"][0]), list(truth["test"][1]), list(fits["test"])]
    for variant in args.variants:
        given = {"field": "scene_fit", "images": "scene_preparation", "instruction": "inputs/instruction.txt",
                 "prior": "inputs/prior.json", "name": variant}  # fmt: skip
        began = time.process_time()
        seconds = stage(run, "dataset_update", given)
        processor = time.process_time() - began
        at = "own" if variant == "per_frame" else "test"
        made = edited_pictures(run / variant) if at == "own" else seen_by(run / variant, rig)
        figures = judged(made, truth[at][0], truth[at][1], fits[at], truth[at][2], scorer, edit)
        rows.append(
            {
                "scene": index,
                "variant": variant,
                "instruction": edit.instruction,
                "seconds": seconds,
                "processor": processor,
            }
            | figures
        )
        sheet.append(list(made[:N_TEST]))
        print(line(rows[-1]), flush=True)
    write_png(args.out / f"scene_{index:02d}.png", contact_sheet(sheet))
    print(line(rows[0]), flush=True)
    return rows


def edited_pictures(folder: Path) -> np.ndarray:
    """[views, size, size, 3] of a finished stage's `edited`."""
    return np.stack([from_bytes(file.read_bytes()) for file in sorted((folder / "edited").glob("*.png"))])


def line(row: dict) -> str:
    """One row of the table."""
    figures = "".join(f"{row.get(key, float('nan')):9.2f}" for key in ("psnr", "unnamed", "unnamed_fit"))
    scores = "".join(f"{row.get(key, float('nan')):12.3f}" for key in ("direction", "consistency"))
    return f"{row['scene']:>3} {row['instruction']:42}{row['variant']:10}{row['seconds']:8.0f}{figures}{scores}"


def main() -> None:
    """Edit them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=10, help="how many; colour and pattern edits in turn")
    parser.add_argument("--first", type=int, default=0, help="index of the first")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--prior", default="toy-instruct", help="an embedded instruct prior")
    parser.add_argument("--scorer", type=Path, default=Path("data/priors/toy-scorer"), help="folder of the judge")
    parser.add_argument("--out", type=Path, default=Path("edit-scenes"), help="folder for runs, pictures and figures")
    parser.add_argument("--set", action="append", default=[], help="STAGE.PARAMETER=VALUE")
    add_write_option(parser, "edit_scenes", "scenes")
    args = parser.parse_args()
    args.out = args.out.resolve()
    sets: dict[str, dict] = {}
    for text in args.set:
        key, _, value = text.partition("=")
        part = yaml.safe_load(value)
        for name in reversed(key.split(".")):
            part = {name: part}
        sets = merged(sets, part)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    scorer = load_scorer(args.scorer, torch.device("cpu")) if args.scorer.is_dir() else None
    args.out.mkdir(parents=True, exist_ok=True)
    described = {"settings": SETTINGS, "own_form": OWN_FORM, "sets": sets, "variants": args.variants,
                 "defaults": Params().model_dump(mode="json")}  # fmt: skip
    file = args.out / "figures.json"
    found = json.loads(file.read_text()) if file.is_file() else {}
    rows = found["rows"] if found.get("described") == described else []
    for index in range(args.first, args.first + args.scenes):
        if index not in {row["scene"] for row in rows}:
            rows += one_scene(index, "colour" if index % 2 == 0 else "pattern", args, scorer, sets)
            file.write_text(json.dumps({"described": described, "rows": rows}, indent=1))
    lines = table(rows, args.variants)
    for first, (kind, variant, n, *cells) in zip([None, *(row[0] for row in lines)], lines, strict=False):
        if kind != first:
            print(f"\n{kind:10}{'n':>3}" + "".join(f"{key:>24}" for key in FIGURES))
        print(f"{variant:10}{n:>3}" + "".join(f"{cell:>24}" for cell in cells))
    if args.write:
        write_results(args.write, "edit_scenes", markdown_table(["edits", "variant", "scenes", *FIGURES], lines))


def table(rows: list[dict], variants: list[str]) -> list[list[str]]:
    """Means over scenes with 95 % bootstrap intervals, of all and of each kind of edit."""
    lines = []
    for name, kept in (("all", rows), ("colour", [r for r in rows if r["scene"] % 2 == 0]),
                       ("pattern", [r for r in rows if r["scene"] % 2])):  # fmt: skip
        for variant in ("nothing", *variants):
            own = [row for row in kept if row["variant"] == variant]
            cells = [cell([row.get(key, np.nan) for row in own]) for key in FIGURES]
            lines.append([name, variant, str(len(own)), *cells])
    return lines


def cell(values: list[float]) -> str:
    """Mean and interval in one column, of those that are."""
    there = np.array([value for value in values if np.isfinite(value)])
    if not len(there):
        return "-"
    means = there[np.random.default_rng(0).integers(0, len(there), (2000, len(there)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{there.mean():9.2f} [{low:5.2f}, {high:5.2f}]".strip()


if __name__ == "__main__":
    main()
