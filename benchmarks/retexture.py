"""How well does one image colour a bare mesh? `python benchmarks/retexture.py [--objects N] [words for prior3d run]`.

Held-out toy objects lose their colours. `retexture` gets each exact mesh, its caption, and one image of 128 pixels from
a random azimuth and 0 to 40 degrees up. The painted mesh is compared with exact renders from 16 other cameras at 64
pixels over white, and from the image's own, after `inpainting` and after `texture_refinement`. The baseline is the
same mesh in the mean colour of the image. Intervals are 95 % bootstraps over the objects.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import trimesh
from image_to_3d import SIZE, cell, novel_cameras, picture_of, sharpness, stage_seconds
from PIL import Image
from results import add_write_option, markdown_table, write_results
from sketch_shape import make
from text_to_3d import WORLD_SEED

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.images.files import contact_sheet, from_bytes, to_uint8, write_png
from prior3d.meshes.mesh import TexturedMesh
from prior3d.meshes.painted_files import load_uv_mesh
from prior3d.meshes.raster import render_mesh
from prior3d.metrics import psnr_db, ssim
from prior3d.toyworld.objects import ToyObject, sample_object
from prior3d.toyworld.renders import render_toy, toy_orbit

IMAGE_SIZE = 128
STAGES = ("inpainting", "texture_refinement")
FIGURES = ("psnr", "ssim", "given_psnr", "sharpness")
WHITE = (1.0, 1.0, 1.0)


def viewpoint(index: int) -> tuple[float, float]:
    """Azimuth and elevation from which object `index` is seen, in degrees."""
    rng = np.random.default_rng([WORLD_SEED, index, 128])
    return float(rng.uniform(0, 360)), float(rng.uniform(0, 40))


def own_camera(index: int, size: int) -> Cameras:
    """The given image's camera."""
    azimuth_deg, elevation_deg = viewpoint(index)
    return orbit_cameras(toy_orbit(torch.tensor([azimuth_deg]), torch.tensor([elevation_deg])), size, size)


def judge(toy: ToyObject, index: int, made: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """Figures of renders [views, h, w, 3] at the other cameras and of one [h, w, 3] at the image's own."""
    true = render_toy(toy, novel_cameras(viewpoint(index)[0])).over(WHITE)
    given = render_toy(toy, own_camera(index, SIZE)).over(WHITE)[0]
    return {
        "psnr": float(np.mean([psnr_db(a, b) for a, b in zip(true, made, strict=True)])),
        "ssim": float(np.mean([ssim(a, b) for a, b in zip(true, made, strict=True)])),
        "given_psnr": psnr_db(given, seen),
        "sharpness": sharpness(made, true),
    }


def of_one_colour(toy: ToyObject, index: int, image: np.ndarray) -> dict[str, float]:
    """Figures of the mesh in the mean colour of the image [h, w, 4]."""
    colour = np.average(image[..., :3].reshape(-1, 3), axis=0, weights=image[..., 3].reshape(-1))
    masks = [
        render_toy(toy, cameras).mask[..., None]
        for cameras in (novel_cameras(viewpoint(index)[0]), own_camera(index, SIZE))
    ]
    made, seen = (mask * colour + (1 - mask) for mask in masks)
    return judge(toy, index, made.astype(np.float32), seen[0].astype(np.float32))


def painted_by(run: Path, stage: str) -> TexturedMesh:
    """The mesh with the texture of a stage."""
    mesh = load_uv_mesh(run / "mesh_preparation")
    file = run / stage / ("mesh.png" if (run / stage / "mesh.png").is_file() else "texture.png")
    return mesh.split(mesh.world_vertices(), from_bytes(file.read_bytes()))


def of_texture(toy: ToyObject, index: int, run: Path, stage: str) -> dict[str, float]:
    """Figures of the mesh with the texture of a stage."""
    cameras = (novel_cameras(viewpoint(index)[0]), own_camera(index, SIZE))
    made, seen = (render_mesh(painted_by(run, stage), each, background=1.0).rgb for each in cameras)
    return judge(toy, index, made, seen[0])


def sheet_rows(toy: ToyObject, index: int, mesh: TexturedMesh) -> list[list[np.ndarray]]:
    """Eight exact renders all round, from the image's azimuth on, and below them those of a painted mesh."""
    azimuths = (viewpoint(index)[0] + np.arange(8) * 45.0) % 360
    cameras = orbit_cameras(toy_orbit(azimuths, np.full(8, 20.0)), 96, 96)
    true = render_toy(toy, cameras).over(WHITE)
    return [list(true), list(render_mesh(mesh, cameras, background=1.0).rgb)]


def paint(toy: ToyObject, index: int, args: argparse.Namespace, words: list[str]) -> tuple[Path, np.ndarray]:
    """The run of one object, made if it is not there, and its image [h, w, 4]."""
    inputs = args.project / "retexture"
    inputs.mkdir(exist_ok=True)
    mesh, picture, name = inputs / f"{index:02d}.ply", inputs / f"{index:02d}.png", f"retexture-{index:02d}"
    azimuth_deg, elevation_deg = viewpoint(index)
    image = picture_of(toy, azimuth_deg, elevation_deg, IMAGE_SIZE)
    run = args.project / "data" / "runs" / name
    if not (run / STAGES[-1] / "mesh.glb").is_file():
        trimesh.Trimesh(toy.vertices, toy.faces, process=False).export(mesh)
        Image.fromarray(to_uint8(image)).save(picture)
        given = ["--mesh", str(mesh.resolve()), "--image", str(picture.resolve()), "--prompt", toy.caption]
        camera = ["--camera", f"{azimuth_deg:.4f},{elevation_deg:.4f},40", "--stop-after", STAGES[-1]]
        make("retexture", name, [*given, *camera, *words], args.project)
    return run, image


def main() -> None:
    """Paint them, print a line each, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path.cwd(), help="a prior3d project (default: this folder)")
    parser.add_argument("--objects", type=int, default=8, help="how many held-out objects")
    parser.add_argument("--sheet", type=Path, help="a PNG: exact renders above the painted meshes, all round")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures of each object")
    add_write_option(parser, "retexture", "pictures_on_meshes")
    args, words = parser.parse_known_args()
    torch.set_num_threads(1)
    args.project = args.project.resolve()
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in ("one colour", *STAGES)}
    seconds, sheet = [], []
    for index in range(args.objects):
        toy = sample_object(WORLD_SEED, index, "held-out")
        run, image = paint(toy, index, args, words)
        rows["one colour"].append(of_one_colour(toy, index, image))
        for stage in STAGES:
            rows[stage].append(of_texture(toy, index, run, stage))
        seconds.append(stage_seconds(run))
        sheet += sheet_rows(toy, index, painted_by(run, STAGES[-1]))
        told = "  ".join(f"{name} {rows[STAGES[-1]][-1][name]:.3f}" for name in FIGURES)
        print(f"{index:02d} {toy.caption[:34]:34} {told}  {seconds[-1]:.0f} s", flush=True)
    table = [
        [name, str(len(found)), *(cell([row[key] for row in found]) for key in FIGURES)] for name, found in rows.items()
    ]
    text = markdown_table(["", "n", *FIGURES], table) + f"\n\nseconds of an object's stages: {np.mean(seconds):.0f}"
    print(text)
    if args.sheet:
        write_png(args.sheet, contact_sheet(sheet))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))
    if args.write:
        write_results(args.write, "retexture", text)


if __name__ == "__main__":
    main()
