"""What is made by a loss, judged beside exact objects."""

from pathlib import Path
from typing import Any

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab
from text_to_3d import WORLD_SEED, cameras, hits

from distilling.figures import Truth, embedded, lab_colours, palette_error, saturation, second_fronts
from distilling.making import decoded_paint
from prior3d.diffusion.scorer import Scorer
from prior3d.meshes.files import load_glb
from prior3d.meshes.painted_files import load_painted
from prior3d.meshes.raster import render_mesh
from prior3d.toyworld.objects import ToyObject, caption, draw_design, kind_of_caption, object_generator, sample_object
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import render_toy

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


def text_figures(
    views: tuple[np.ndarray, np.ndarray], truth: Truth, scorer: Scorer, place: int, captions: list[str]
) -> dict[str, Any]:
    """The figures of one object that was made from a prompt, by its images over grey and its mask in them."""
    images, opacity = views
    colours, looks = lab_colours(images, opacity), embedded(scorer, images)
    there = len(colours) > 0
    return {
        "found": float(np.mean(hits(scorer, images, place, captions))),
        "colour": palette_error(colours, truth.colours) if there else float("nan"),
        "saturation": saturation(colours) / saturation(truth.colours) if there else float("nan"),
        "fronts": second_fronts(looks, truth) / (len(looks) - 1),
        "looks": looks.tolist(),
    }


def mesh_views(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A run's textured mesh over grey, [views, h, w, 3], and its mask."""
    found = render_mesh(load_glb(folder / "texture_baking" / "mesh.glb"), RIG, background=GREY[0])
    return found.rgb, found.mask


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
