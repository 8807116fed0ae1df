"""Figures of a made object beside exact renders of objects with the same caption."""

from dataclasses import dataclass

import numpy as np
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from prior3d.cameras import Cameras
from prior3d.diffusion.scorer import Scorer
from prior3d.toyworld.objects import ToyObject
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import render_toy

MOST_COLOURS = 400  # pixels of a set that are compared; the differences of all pairs are computed


@dataclass(frozen=True)
class Truth:
    """Exact objects of one caption.

    Attributes:
        images: [objects, views, h, w, 3] over grey; the first view of each is its front.
        colours: [pixels, 3] CIELAB of what they show.
        embeddings: [objects, views, width] unit embeddings of the images.
    """

    images: np.ndarray
    colours: np.ndarray
    embeddings: torch.Tensor


def embedded(scorer: Scorer, images: np.ndarray) -> torch.Tensor:
    """Unit embeddings of images [views, h, w, 3]."""
    pixels = torch.from_numpy(np.ascontiguousarray(images, np.float32)).movedim(-1, 1)
    with torch.no_grad():
        return scorer.embed_images(pixels)


def lab_colours(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """CIELAB [pixels, 3] of the pixels that an object wholly covers."""
    found: np.ndarray = rgb2lab(images.clip(0, 1))[mask > 0.99]
    return found


def truth_of(objects: list[ToyObject], cameras: Cameras, scorer: Scorer) -> Truth:
    """Renders of exact objects, with their colours and embeddings."""
    renders = [render_toy(toy, cameras) for toy in objects]
    images = [render.over(BACKGROUNDS["grey"]) for render in renders]
    colours = [lab_colours(image, render.mask) for image, render in zip(images, renders, strict=True)]
    return Truth(np.stack(images), np.concatenate(colours), torch.stack([embedded(scorer, image) for image in images]))


def thinned(colours: np.ndarray) -> np.ndarray:
    """Evenly chosen rows, in the order of lightness, at most `MOST_COLOURS`."""
    order = np.argsort(colours[:, 0], kind="stable")
    return colours[order[np.linspace(0, len(order) - 1, min(MOST_COLOURS, len(order))).astype(int)]]


def palette_error(made: np.ndarray, true: np.ndarray) -> float:
    """How far two sets of colours are apart (CIEDE2000): from each colour to the nearest of the other, both ways."""
    differences = deltaE_ciede2000(thinned(made)[:, None], thinned(true)[None])
    return float((differences.min(1).mean() + differences.min(0).mean()) / 2)


def saturation(colours: np.ndarray) -> float:
    """Mean chroma, in CIELAB."""
    return float(np.hypot(colours[:, 1], colours[:, 2]).mean())


def second_fronts(views: torch.Tensor, truth: Truth, but: int | None = None) -> int:
    """How many views that are no fronts look most like an exact front: embeddings [views, width], the front first.

    Args:
        views: of the object.
        truth: whose mean embedding of each view is compared.
        but: an object of the truth that is left out: the one that is judged.
    """
    kept = [index for index in range(len(truth.embeddings)) if index != but]
    nearest = (views @ truth.embeddings[kept].mean(0).T).argmax(-1)
    return int((nearest[1:] == 0).sum())


def diversity(embeddings: list[torch.Tensor]) -> float:
    """Mean of one minus the cosine between the same views of objects of several seeds; not a number for one seed."""
    pairs = [(a, b) for i, a in enumerate(embeddings) for b in embeddings[:i]]
    return float(np.mean([(1 - (a * b).sum(-1)).mean().item() for a, b in pairs])) if pairs else float("nan")


def mean_diversity(looks: list[list[torch.Tensor]]) -> float:
    """Over the objects that were made from more than one seed; no number where none was."""
    found = [diversity(each) for each in looks if len(each) > 1]
    return float(np.mean(found)) if found else float("nan")
