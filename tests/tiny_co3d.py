"""A small category in CO3Dv2's layout, rendered with known cameras."""

import gzip
import json
import math

import numpy as np

from prior3d.images.files import write_png

CENTRE, SCALE = np.array([3.0, -1.0, 0.5]), 4.0  # of the object in the sequence's own world
HEIGHT, WIDTH, FOCAL = 96, 128, 150.0  # pixels


def look_at(place, target):
    back = (place - target) / np.linalg.norm(place - target)
    right = np.cross([0, 0, 1], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back], axis=1)


def write_category(folder, kind="ndc_isotropic", n_frames=5):
    """A red ball with a blue ball on its +x side, seen from a ring; cameras look beside it on purpose."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for i in range(n_frames):
        angle = 2 * math.pi * i / n_frames
        place = CENTRE + SCALE * np.array([3.5 * math.cos(angle), 3.5 * math.sin(angle), 1.0])
        axes = look_at(place, CENTRE + SCALE * np.array([0.0, 0.1, 0.15]))
        image, mask = draw(place, axes, principal=(70.0, 45.0))
        write_png(folder / f"images/{i}.png", image)
        write_png(folder / f"images/{i}.mask.png", mask)
        rotation = axes * np.array([-1, 1, -1])  # PyTorch3D's left, up, forward as columns
        half = np.array([WIDTH, HEIGHT]) / 2
        unit = np.full(2, half.min()) if kind == "ndc_isotropic" else half
        viewpoint = {
            "R": rotation.tolist(),
            "T": (-place @ rotation).tolist(),
            "focal_length": (FOCAL / unit).tolist(),
            "principal_point": ((half - [70.0, 45.0]) / unit).tolist(),
            "intrinsics_format": kind,
        }
        paths = {"image": {"path": f"{folder.name}/images/{i}.png"}, "mask": {"path": f"images/{i}.mask.png"}}
        frames.append({"sequence_name": "one", "frame_number": i, "viewpoint": viewpoint, **paths})
    write_annotations(folder, frames)
    return folder


def write_annotations(folder, frames):
    for name, content in (("frame", frames), ("sequence", [{"sequence_name": "one", "category": "ball"}])):
        (folder / f"{name}_annotations.jgz").write_bytes(gzip.compress(json.dumps(content).encode()))


def draw(place, axes, principal):
    """Two balls, by their rays; the mask is of both."""
    row, column = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack([(column - principal[0]) / FOCAL, (principal[1] - row) / FOCAL, -np.ones_like(row)], -1) @ axes.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    image, mask = np.full((HEIGHT, WIDTH, 3), 0.3), np.zeros((HEIGHT, WIDTH))
    for offset, radius, colour in (((0, 0, 0), 0.6, (0.8, 0, 0)), ((0.5, 0, 0), 0.3, (0, 0, 0.8))):
        towards = CENTRE + SCALE * np.array(offset) - place
        along = rays @ towards
        hit = towards @ towards - along**2 < (SCALE * radius) ** 2
        image[hit], mask[hit] = colour, 1
    return image, mask
