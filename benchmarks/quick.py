"""How good is `quick`? `python benchmarks/quick.py [--only text image posed] [words for prior3d run quick ...]`.

text: the 24 prompts of text_to_3d.py. Each mesh is drawn from four azimuths over grey, and the toy scorer looks for its
prompt among 200 captions, beside exact renders of such objects. A false front is a view that is clearly none of the
front, of an object that has one, and that the scorer calls a front view.
image: held-out objects of image_to_3d.py from one image with its camera and without a caption; 16 other views of the
mesh, and its geometry. posed: objects of sparse_views.py from 2, 3 and 6 posed images; 32 other views of the field and
the mesh.

Runs that are there are not computed again, even if parameters changed: break it off and start it again. Seconds are
those of all stages up to the mesh, without starts and report.
"""

import argparse
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import image_to_3d
import numpy as np
import sparse_views
import text_to_3d
import torch
from PIL import Image
from results import add_write_option, markdown_table, write_results

from flows.engine.project import find_project
from flows.methods import METHODS
from flows.request import make_request
from prior3d.cameras import Orbit, orbit_cameras, view_words
from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.images.files import contact_sheet, to_uint8, write_png
from prior3d.meshes.mesh import TexturedMesh
from prior3d.meshes.raster import render_mesh
from prior3d.metrics import psnr_db, ssim
from prior3d.rendering.background import render_images
from prior3d.toyworld.objects import kind_of_caption, sample_object
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import render_toy, toy_orbit
from stages.artifacts.captions import load_caption
from stages.artifacts.fields import load_field
from stages.artifacts.meshes import load_textured_mesh
from stages.contract.entry import execute

PARTS = ("text", "image", "posed")
BORDER_DEG = 15.0  # a view is clear if its word stays the same when the camera moves by so much
SHOWN = 8  # views of a mesh in the sheet
POSED_VIEWS, MOST_OBJECTS = 32, 20


def made(args: argparse.Namespace, name: str, words: list[str]) -> tuple[Path, float] | None:
    """The stages of `prior3d run quick` up to the mesh, in this process: spares the start of each.

    Returns:
        the run's folder, and the seconds of its stages by the clock; None (and its message) if one failed.
    """
    folder = args.project / "data" / "runs" / name
    if args.reuse:
        return (folder, image_to_3d.stage_seconds(folder)) if (folder / "texture_baking").is_dir() else None
    request = make_request(find_project(args.project), METHODS["quick"], ["--name", name, *words, *args.words])
    run, declaration = request.run, request.declaration
    with run.held():
        run.declare(declaration, request.settings, print)
        for stage in declaration.method.stages:
            if stage.name == "evaluation" or (run.folder / stage.name).is_dir():
                continue
            with contextlib.redirect_stdout(io.StringIO()):  # progress lines
                code = execute(stage.module, declaration.argv(stage), run.folder)
            if code:
                print(f"{name}: {stage.name} failed")
                return None
    return run.folder, image_to_3d.stage_seconds(run.folder)


def turned(mesh: TexturedMesh, size: int = 96) -> list[np.ndarray]:
    """The mesh from all round, over white."""
    azimuth_deg = torch.arange(SHOWN) * (360.0 / SHOWN)
    cameras = orbit_cameras(toy_orbit(azimuth_deg, torch.full((SHOWN,), 20.0)), size, size)
    return list(render_mesh(mesh, cameras, background=1.0).rgb)


def clear_views() -> tuple[Orbit, list[str]]:
    """Views of a ring that are clearly of one word, and their words."""
    azimuth_deg = torch.arange(24) * BORDER_DEG
    height = torch.full((24,), text_to_3d.ELEVATION_DEG)
    words = [view_words(toy_orbit(azimuth_deg + turn, height)) for turn in (-BORDER_DEG, 0, BORDER_DEG)]
    clear = torch.tensor([len(set(three)) == 1 for three in zip(*words, strict=True)])
    orbit = toy_orbit(azimuth_deg, height)[clear]
    return orbit, view_words(orbit)


def false_fronts(scorer: Scorer, images: np.ndarray, words: list[str]) -> list[bool]:
    """Of the views that are no front views: whether the scorer calls them so."""
    pixels = torch.from_numpy(np.ascontiguousarray(images, np.float32)).movedim(-1, 1)
    named = scorer.view_logits(pixels).argmax(-1).tolist()
    return [name == 0 for name, word in zip(named, words, strict=True) if word != "front view"]


def text_rows(args: argparse.Namespace, scorer: Scorer) -> list[dict[str, Any]]:
    """The 24 prompts."""
    rig, grey = text_to_3d.cameras(), BACKGROUNDS["grey"]
    real, others = text_to_3d.world_until(set(text_to_3d.PROMPTS), text_to_3d.N_CAPTIONS)
    captions, rows = [*text_to_3d.PROMPTS, *others], []
    orbit, words = clear_views()
    around = orbit_cameras(orbit, text_to_3d.SIZE, text_to_3d.SIZE)
    for place, prompt in enumerate(text_to_3d.PROMPTS[: args.objects]):
        run = made(args, "quick-" + prompt.replace(" ", "-"), ["--prompt", prompt])
        if run is None:
            continue
        mesh = load_textured_mesh(run[0] / "texture_baking")
        row: dict[str, Any] = {"thing": prompt, "seconds": run[1]}
        pairs = {
            "mesh": render_mesh(mesh, rig, background=grey[0]).rgb,
            "real": render_toy(real[prompt], rig).over(grey),
        }
        row |= {name: text_to_3d.hits(scorer, images, place, captions) for name, images in pairs.items()}
        if kind_of_caption(prompt).front:
            drawn = render_mesh(mesh, around, background=grey[0]).rgb, render_toy(real[prompt], around).over(grey)
            row |= {
                f"{name}_fronts": false_fronts(scorer, images, words)
                for name, images in zip(("mesh", "real"), drawn, strict=True)
            }
        args.sheet["text"].append(turned(mesh))
        print(f"{prompt:36}{run[1]:7.1f} s   of 4 views: mesh {sum(row['mesh'])}, real {sum(row['real'])}", flush=True)
        rows.append(row)
    return rows


def image_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Held-out objects from one image."""
    rows = []
    for index in range(min(args.objects, MOST_OBJECTS)):
        toy = sample_object(image_to_3d.WORLD_SEED, index, "held-out")
        azimuth_deg, elevation_deg = image_to_3d.viewpoint(index)
        picture = args.project / "pictures" / f"{index:02d}.png"
        picture.parent.mkdir(exist_ok=True)
        Image.fromarray(to_uint8(image_to_3d.picture_of(toy, azimuth_deg, elevation_deg))).save(picture)
        camera = f"--camera={azimuth_deg:.4f},{elevation_deg:.4f},40"
        run = made(args, f"quick-image-{index:02d}", ["--image", str(picture), camera])
        if run is None:
            continue
        folder, seconds = run
        caption = load_caption(folder / "image_captioning")
        figures = image_to_3d.figures(toy, index, folder / "texture_baking")
        rows.append(
            {"thing": toy.caption, "found": caption.text, "ratio": caption.error_ratio, "seconds": seconds} | figures
        )
        args.sheet["image"] += image_to_3d.sheet_rows(toy, index, folder / "texture_baking")
        told = f"{figures['psnr']:.2f} dB, {figures['ssim']:.3f}, F {figures['f_score']:.2f}"
        print(f"{index:02d} {toy.caption:34} found {caption.text:34} {told}  {seconds:.1f} s", flush=True)
    return rows


def posed_rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Held-out objects from a few posed images."""
    places = [(index, n) for index in range(min(args.objects, MOST_OBJECTS)) for n in args.inputs]
    return [row for index, n in places if (row := posed_row(args, index, n)) is not None]


def posed_row(args: argparse.Namespace, index: int, n: int) -> dict[str, Any] | None:
    """One object from n images; None if its run failed or is not there."""
    toy = sample_object(sparse_views.WORLD_SEED, index, "held-out")
    cameras = sparse_views.cameras_of(index, max(args.inputs) + POSED_VIEWS)
    images = args.project / "pictures" / f"posed-{index:03d}-{n}"
    if not (images / "transforms.json").is_file():
        sparse_views.write_folder(images, render_toy(toy, cameras), cameras, n)
    run = made(args, f"quick-posed-{index:03d}-{n}", ["--images", str(images)])
    if run is None:
        return None
    folder, seconds = run
    wanted, level = cameras[slice(max(args.inputs), None)], list(BACKGROUNDS.values())[index % len(BACKGROUNDS)][0]
    placed, truth = sparse_views.placed(folder, wanted), render_toy(toy, wanted).over((level,) * 3)
    shown = {
        "field": render_images(load_field(folder / "view_fit"), placed, 64, level)[0].movedim(1, -1).numpy(),
        "mesh": render_mesh(load_textured_mesh(folder / "texture_baking"), placed, background=level).rgb,
    }
    row: dict[str, Any] = {"object": index, "thing": toy.caption, "inputs": n, "seconds": seconds}
    for name, found in shown.items():
        row[f"{name}_psnr"] = float(np.mean([psnr_db(a, b) for a, b in zip(truth, found, strict=True)]))
        row[f"{name}_ssim"] = float(np.mean([ssim(a, b) for a, b in zip(truth, found, strict=True)]))
    args.sheet["posed"] += [list(truth[:: POSED_VIEWS // SHOWN]), list(shown["mesh"][:: POSED_VIEWS // SHOWN])]
    caption = load_caption(folder / "captioning")
    row |= {"found": caption.text, "ratio": caption.error_ratio}
    told = f"field {row['field_psnr']:.2f} dB, mesh {row['mesh_psnr']:.2f} dB, {row['mesh_ssim']:.3f}"
    print(f"{toy.caption:34} {n} images, found {caption.text:34} {told}  {seconds:.1f} s", flush=True)
    return row


def mean(rows: list[dict[str, Any]], name: str, digits: int) -> str:
    """A mean over rows and its 95 % bootstrap interval."""
    middle, low, high = image_to_3d.interval(np.array([row[name] for row in rows]))
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def summary(found: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """A line each of what was measured: what, of how many, value."""
    lines = []
    if text := found.get("text"):
        shares = {name: np.mean([row[name] for row in text]) for name in ("mesh", "real")}
        fronts = {n: [f for row in text for f in row.get(f"{n}_fronts", ())] for n in ("mesh", "real")}
        lines += [
            ["text: R-Precision of meshes", str(len(text)), f"{shares['mesh']:.1%}"],
            ["text: R-Precision of exact renders", str(len(text)), f"{shares['real']:.1%}"],
            ["text: ratio", str(len(text)), f"{shares['mesh'] / shares['real']:.3f}"],
            ["text: false fronts of meshes", str(len(fronts["mesh"])), str(sum(fronts["mesh"]))],
            ["text: false fronts of exact renders", str(len(fronts["real"])), str(sum(fronts["real"]))],
            ["text: seconds of the stages", str(len(text)), mean(text, "seconds", 1)],
        ]
    if image := found.get("image"):
        n, right = str(len(image)), sum(row["found"] == row["thing"] for row in image)
        lines.append(["one image: caption found word for word", n, str(right)])
        named = {"psnr": "PSNR of 16 other views of the mesh, dB", "ssim": "SSIM", "f_score": "F-score at 0.05"}
        named |= {"volume_iou": "volume IoU", "reference_psnr": "PSNR of the given view, dB"}
        lines += [[f"one image: {told}", n, mean(image, name, 3)] for name, told in named.items()]
        lines.append(["one image: seconds of the stages", n, mean(image, "seconds", 1)])
    for inputs in sorted({row["inputs"] for row in found.get("posed", ())}):
        mine = [row for row in found["posed"] if row["inputs"] == inputs]
        for name in ("field_psnr", "mesh_psnr", "mesh_ssim", "seconds"):
            lines.append([f"{inputs} posed images: {name.replace('_', ', ')}", str(len(mine)), mean(mine, name, 3)])
    return lines


def posed_objects(rows: list[dict[str, Any]]) -> str:
    """A table of the fields' PSNR of each object in dB: its background decides much of it."""
    inputs = sorted({row["inputs"] for row in rows})
    found: dict[int, list[str]] = {row["object"]: [row["thing"], *[""] * len(inputs)] for row in rows}
    for row in rows:
        found[row["object"]][1 + inputs.index(row["inputs"])] = f"{row['field_psnr']:.2f}"
    header = ["object", *(f"{n} images, dB" for n in inputs)]
    return markdown_table(header, found.values())


def write(page: Path, found: dict[str, list[dict[str, Any]]]) -> None:
    """Both tables, each if its parts were measured."""
    header, posed = ["", "n", "value [95 % interval]"], found.get("posed", [])
    if others := {part: rows for part, rows in found.items() if part != "posed"}:
        write_results(page, "quick", markdown_table(header, summary(others)))
    if posed:
        table = markdown_table(header, summary({"posed": posed}))
        write_results(page, "quick_posed", f"{table}\n\n{posed_objects(posed)}")


def main() -> None:
    """Make them, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="a prior3d project (default: this folder)")
    parser.add_argument("--judge", type=Path, default=Path("data/priors/toy-scorer"), help="folder of the judge")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--objects", type=int, default=24, help="prompts or objects of each part, 20 of images at most")
    parser.add_argument("--inputs", type=int, nargs="+", default=[2, 3, 6], help="numbers of posed images")
    parser.add_argument("--reuse", action="store_true", help="judge the runs that are there, without running anything")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures of each object")
    parser.add_argument("--sheets", type=Path, help="a folder for a PNG of each part: objects from all round")
    add_write_option(parser, "quick", "quick")
    args, args.words = parser.parse_known_args()
    args.project = args.project.resolve()
    args.sheet = {part: [] for part in PARTS}
    torch.set_num_threads(1)
    scorer = load_scorer(args.judge, torch.device("cpu"))
    makers = {
        "text": lambda: text_rows(args, scorer),
        "image": lambda: image_rows(args),
        "posed": lambda: posed_rows(args),
    }
    found = {}
    for part in args.only:
        found[part] = makers[part]()
        if args.sheets and args.sheet[part]:
            args.sheets.mkdir(parents=True, exist_ok=True)
            write_png(args.sheets / f"{part}.png", contact_sheet(args.sheet[part]))
        if args.out:
            args.out.write_text(json.dumps(found, indent=1) + "\n")
    lines = summary(found)
    for line in lines:
        print(f"{line[0]:52}{line[1]:>5}  {line[2]}")
    if args.write:
        write(args.write, found)


if __name__ == "__main__":
    main()
