"""Sets that a joint-view prior draws from captions, beside real renders and views drawn one by one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.diffusion.scorer import VIEW_WORDS, Scorer
from prior3d.diffusion.text_to_image import TextToImagePrior
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.held_out import HeldOut
from stages.training.datasets.sets import RING
from stages.training.scores.joint_views import distinct_objects, draw, first_image, images_of
from stages.training.scores.text_to_image import kernel_distance, samples, views_obeyed

FRONT = VIEW_WORDS.index("front view")


@dataclass(frozen=True)
class Rings:
    """The rings of some held-out objects whose captions differ: `RING` views of each, one behind the other.

    Attributes:
        objects: their numbers.
        real: their renders, with captions, view words and backgrounds.
        captions: of all objects of the dataset, each once; those of the rings come first.
    """

    objects: list[int]
    real: HeldOut
    captions: list[str]


def rings(held_out: RenderedDataset, n: int) -> Rings:
    """The rings of the first n objects whose captions differ, over one background each."""
    objects = distinct_objects(held_out, n)
    place = torch.tensor([first_image(held_out, one) + view for one in objects for view in range(RING)])
    views = torch.from_numpy(held_out.views[place.numpy()])
    level = [index % len(BACKGROUNDS) for index in range(n)]
    images = [images_of(held_out, one, list(range(RING)), level[i]) for i, one in enumerate(objects)]
    own = [held_out.captions[one] for one in objects]
    real = HeldOut(
        torch.cat(images),
        [caption for caption in own for _ in range(RING)],
        view_words(toy_orbit(*views.T)),
        [list(BACKGROUNDS)[number] for number in level for _ in range(RING)],
        *views.T,
    )
    return Rings(objects, real, list(dict.fromkeys([*own, *held_out.captions])))


def drawn_together(
    prior: JointViewsPrior, held_out: RenderedDataset, wanted: Rings, guidance_scale: float, n_steps: int, seed: int
) -> Tensor:
    """The rings as the joint-view prior draws them from caption and cameras: [n * RING, 3, h, w]."""
    generator, made = torch.Generator().manual_seed(seed), []
    for index, one in enumerate(wanted.objects):
        background = index % len(BACKGROUNDS)
        ring = list(range(RING))
        made.append(draw(prior, held_out, one, [], ring, background, "captioned", n_steps, generator, guidance_scale))
    return torch.cat(made)


def drawn_one_by_one(prior: TextToImagePrior, wanted: Rings, guidance_scale: float, n_steps: int, seed: int) -> Tensor:
    """The same views from the text-to-image prior, each by itself."""
    return samples(prior, wanted.real, guidance_scale, n_steps, seed)


@torch.no_grad()
def ring_scores(scorer: Scorer, wanted: Rings, images: Tensor) -> dict[str, float]:
    """What the judge says of rings [n * RING, 3, h, w], of kinds with a front where views are meant.

    Returns:
        `r_precision` among all captions; `view_word` and `clear_view_word` obeyed; `false_fronts` among `clear_views`
        that show no front; `two_fronts` among `fronted_sets`; `kid` to the real renders.
    """
    real = wanted.real
    own = torch.arange(len(wanted.objects)).repeat_interleave(RING)
    obeyed = views_obeyed(scorer, real, images)
    named = scorer.view_logits(images).argmax(-1).cpu()
    meant = torch.tensor([VIEW_WORDS.index(word) for word in real.words])
    others = real.fronted & real.clear & (meant != FRONT)
    fronts = ((named == FRONT) & real.fronted).view(-1, RING).sum(dim=1)
    return {
        "r_precision": scorer.r_precision(images, own, wanted.captions),
        "view_word": float(obeyed[real.fronted].float().mean()),
        "clear_view_word": float(obeyed[real.fronted & real.clear].float().mean()),
        "false_fronts": float(((named == FRONT) & others).sum()),
        "clear_views": float(others.sum()),
        "two_fronts": float((fronts > 1).sum()),
        "fronted_sets": float(real.fronted.view(-1, RING).any(dim=1).sum()),
        "kid": kernel_distance(scorer.embed_images(images), scorer.embed_images(real.images)),
    }
