"""Objects made from one image: what the stages read, and how a field compares with the exact object."""

from pathlib import Path

import numpy as np
import torch
from image_to_3d import WORLD_SEED, novel_cameras, picture_of, viewpoint
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.images.files import to_uint8
from prior3d.metrics import psnr_db, ssim
from prior3d.rendering import render_without_gradient
from prior3d.toyworld.objects import ToyObject, sample_object
from prior3d.toyworld.renders import render_toy, toy_orbit
from stages.artifacts.fields import load_object_field

WHITE, N_SAMPLES = 1.0, 64


def object_at(place: str) -> ToyObject:
    """The held-out object of a place such as `3 a green fish`: benchmarks/image_to_3d.py has the same ones."""
    return sample_object(WORLD_SEED, int(place.split()[0]), "held-out")


def places(count: int) -> tuple[str, ...]:
    """Names of the first objects: number and caption."""
    return tuple(f"{i} {sample_object(WORLD_SEED, i, 'held-out').caption}" for i in range(count))


def write_picture(folder: Path, place: str) -> None:
    """Write the object's image and the camera that sees it so."""
    azimuth_deg, elevation_deg = viewpoint(int(place.split()[0]))
    image = to_uint8(picture_of(object_at(place), azimuth_deg, elevation_deg))
    Image.fromarray(image).save(folder / "inputs" / "image.png")
    (folder / "inputs" / "camera.txt").write_text(f"{azimuth_deg:.4f},{elevation_deg:.4f},40\n", encoding="utf-8")


def front_and_back(place: str, size: int) -> Cameras:
    """The camera of the image and the one that looks from behind."""
    azimuth_deg, elevation_deg = viewpoint(int(place.split()[0]))
    azimuths = torch.tensor([azimuth_deg, azimuth_deg + 180]) % 360
    return orbit_cameras(toy_orbit(azimuths, torch.tensor([elevation_deg, 20.0])), size, size)


def field_views(folder: Path, cameras: Cameras) -> np.ndarray:
    """Renders of the field over white, [views, h, w, 3]."""
    field = load_object_field(folder / "image_nerf", torch.device("cpu"))
    white = torch.full((3,), WHITE)
    return render_without_gradient(field, cameras, N_SAMPLES, white)[0].numpy().clip(0, 1)


def exact_views(place: str, cameras: Cameras) -> np.ndarray:
    """Exact renders over white, [views, h, w, 3]."""
    exact: np.ndarray = render_toy(object_at(place), cameras).over((WHITE, WHITE, WHITE))
    return exact


def image_figures(folder: Path, place: str) -> dict[str, float]:
    """PSNR, SSIM and, where the exact object is, CIEDE2000 of 16 novel views of the field; PSNR of its own view."""
    cameras = novel_cameras(viewpoint(int(place.split()[0]))[0])
    made, true = field_views(folder, cameras), exact_views(place, cameras)
    there = render_toy(object_at(place), cameras).mask > 0.99
    own = front_and_back(place, cameras.height)
    return {
        "psnr": float(np.mean([psnr_db(a, b) for a, b in zip(true, made, strict=True)])),
        "ssim": float(np.mean([ssim(a, b) for a, b in zip(true, made, strict=True)])),
        "colour": float(deltaE_ciede2000(rgb2lab(made)[there], rgb2lab(true)[there]).mean()),
        "own": psnr_db(exact_views(place, own)[0], field_views(folder, own)[0]),
    }
