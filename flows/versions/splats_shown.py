"""The Gaussian splats of a version, packed for the page's viewer (`static/splats.js`), without torch.

Twelve 32-bit words a Gaussian: three floats of the centre; the unit quaternion (w, x, y, z) in 16-bit parts of one;
three logarithms of sizes, the opacity, and the colour of all directions in seven 16-bit floats and one that is empty;
nine bytes of colours by direction (harmonics of degree 1, of the largest one in the set), and three that are empty.
"""

import math
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from flows.versions.history import Version
from flows.versions.images import data_url
from flows.versions.splat_export import DESCRIBED, TENSORS, splat_stage
from prior3d.limits import parse_json

MOST_SHOWN = 400_000  # 19 MB of numbers, 26 MB on the page
WORDS, SH_CONSTANT = 12, 0.28209479177387814
OBJECT_ORBIT, OBJECT_FOV = {"azimuth": 30.0, "elevation": 15.0, "radius": 4.1}, 30.0  # as page.js looks at meshes
GREY = 0.5  # behind a place, as in its video


def shown_splats(version: Version) -> tuple[str, dict[str, Any]] | None:
    """The last splats of a version: their md5, and what the viewer needs to show them.

    Returns:
        None where there are none, or where they cannot be read: the rest of the page is there.
    """
    stage = splat_stage(version)
    if stage is None:
        return None
    described, content = (version.read(stage, f"{stage}/{name}") for name in (DESCRIBED, TENSORS))
    try:
        config, tensors = parse_json(described or b""), load(content or b"")
        chosen = most_visible(tensors["scales"], tensors["opacities"])
        packed, largest = pack({name: tensors[name][chosen] for name in SHOWN})
        view = first_view(bool(config["is_object"]), tensors)
    except (SafetensorError, ValueError, KeyError, IndexError, TypeError):
        return None
    numbers = {"count": len(chosen), "of": len(tensors["means"]), "range": largest}
    url = data_url(packed, "application/octet-stream")
    return (version.files(stage) or {})[f"{stage}/{TENSORS}"], {"url": url, **numbers, **view}


SHOWN = ("means", "quats", "scales", "opacities", "sh0", "shN")


def most_visible(scales: np.ndarray, opacities: np.ndarray) -> np.ndarray:
    """Indices, in their order, of at most `MOST_SHOWN` Gaussians: those of the largest area times opacity."""
    if len(scales) <= MOST_SHOWN:
        return np.arange(len(scales))
    area = scales.sum(1) - scales.min(1) - np.log1p(np.exp(-opacities.astype(np.float64)))
    return np.sort(np.argsort(-area, kind="stable")[:MOST_SHOWN])


def pack(tensors: dict[str, np.ndarray]) -> tuple[bytes, float]:
    """Gaussians [n] as the viewer reads them, and the size of the largest colour by direction."""
    n = len(tensors["means"])
    quats = tensors["quats"] / np.linalg.norm(tensors["quats"], axis=1, keepdims=True)
    alpha = 1 / (1 + np.exp(-tensors["opacities"].astype(np.float64)))
    halves = np.zeros((n, 8))
    halves[:, :3], halves[:, 3], halves[:, 4:7] = tensors["scales"], alpha, 0.5 + SH_CONSTANT * tensors["sh0"][:, 0]
    directional = tensors["shN"][:, :3].reshape(n, -1)
    largest = float(np.abs(directional).max(initial=1e-6))
    signed = np.zeros((n, 12), np.int8)
    signed[:, : directional.shape[1]] = np.rint(directional / largest * 127)
    rows = np.concatenate(
        [
            tensors["means"].astype("<f4").view(np.uint8),
            np.rint(quats * 32767).astype("<i2").view(np.uint8),
            halves.astype("<f2").view(np.uint8),
            signed.view(np.uint8),
        ],
        axis=1,
    )
    return rows.tobytes(), largest


def first_view(is_object: bool, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Where the viewer looks from at first: at an object as at a mesh, at a place as the first camera did."""
    if is_object or not len(tensors["cameras.c2w"]):
        return {"orbit": OBJECT_ORBIT, "target": [0.0, 0.0, 0.0], "fov": OBJECT_FOV, "behind": None}
    pose, fov = tensors["cameras.c2w"][0].astype(float), float(tensors["cameras.fov_deg"][0])
    place, back = pose[:3, 3], pose[:3, 2]
    radius = max(float(place @ back), 0.5)  # to where the ray passes the world's centre, if that lies ahead
    orbit = {
        "azimuth": math.degrees(math.atan2(back[1], back[0])),
        "elevation": math.degrees(math.asin(max(-1.0, min(1.0, back[2])))),
        "radius": radius,
    }
    return {"orbit": orbit, "target": (place - radius * back).tolist(), "fov": fov, "behind": GREY}
