"""How well a joint-view prior draws objects that it was not trained on: errors, numbers, and a sheet of images."""

import torch
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.compositing import background_colours, composite
from stages.training.datasets.latents import Latents
from stages.training.datasets.set_batches import KINDS, draw_sets
from stages.training.datasets.sets import RING
from stages.training.joint_loss import frames_of, joint_v_errors
from stages.training.scores.pixels import rows_of

EXTRA = RING  # the number of an object's first view that is not of the ring
SAID = {"captioned": 0.0, "uncaptioned": 1.0}  # what fraction of texts is left out
DROPS = {"view_word": 0.0, "background": 0.0, "camera": 0.0}
SETS_AT_ONCE = 8


@torch.no_grad()
def v_errors(prior: JointViewsPrior, held_out: RenderedDataset, n: int, seed: int = 0) -> dict[str, float]:
    """Held-out error of the velocity, by kind of set, with captions and without: `v_error_{kind}_{captioned}`.

    The same sets, noise and timesteps serve both, and every prior that is asked.

    Args:
        prior: the prior.
        held_out: sets of views.
        n: sets of each kind, a multiple of 8.
        seed: of sets, noise and timesteps.
    """
    objects = len(held_out.captions)
    latents, n_views = Latents(prior.diffusion.vae, torch.from_numpy(held_out.rgba)), len(held_out) // objects
    scores = {}
    for kind, name in enumerate(KINDS):
        for said, silent in SAID.items():
            shares = tuple(float(i == kind) for i in range(len(KINDS)))
            drops = DROPS | {"caption": silent, "caption_given": silent}
            total, count = torch.zeros(()), 0
            for part in range(n // SETS_AT_ONCE):
                generator = torch.Generator().manual_seed(seed + 1000 * part + kind)
                batch = draw_sets(SETS_AT_ONCE, shares, objects, n_views, len(BACKGROUNDS), 0.0, generator)
                frames = frames_of(batch, held_out, latents, drops, generator)
                total += joint_v_errors(
                    prior.diffusion.unet, prior.embed, batch, frames, prior.schedule, 0.75, generator
                ).sum()
                count += int((~batch.given).sum())
            scores[f"v_error_{name}_{said}"] = float(total) / count
    return scores


@torch.no_grad()
def given_views_scores(
    prior: JointViewsPrior, held_out: RenderedDataset, n: int, counts: tuple[int, ...] = (1, 2, 3), n_steps: int = 10,
    seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """Mean PSNR in dB of the ring's other views, given a further view and, beyond one, views of the ring.

    Args:
        prior: the prior.
        held_out: sets of views.
        n: objects, the first of those whose captions differ.
        counts: of given views, 1 to 3.
        n_steps: DDIM steps, without guidance.
        seed: of the noise.

    Returns:
        `given_{count}_captioned_psnr_db`, and the same uncaptioned.
    """
    scores = {}
    objects = distinct_objects(held_out, n)
    for count in counts:
        for said in SAID:
            generator, decibels = torch.Generator().manual_seed(seed), []
            for index, one in enumerate(objects):
                given, wanted = [EXTRA, *range(count - 1)], list(range(count - 1, RING))
                background = index % len(BACKGROUNDS)
                drawn = draw(prior, held_out, one, given, wanted, background, said, n_steps, generator)
                decibels.append(_psnr_db(drawn, images_of(held_out, one, wanted, background)))
            scores[f"given_{count}_{said}_psnr_db"] = float(torch.cat(decibels).mean())
    return scores


def draw(
    prior: JointViewsPrior, held_out: RenderedDataset, index: int, given: list[int], wanted: list[int],
    background: int, said: str, n_steps: int, generator: torch.Generator, guidance_scale: float = 1.0,
) -> Tensor:  # fmt: skip
    """Wanted views of a held-out object, some of its views given: [wanted, 3, h, w]."""
    frames = [*given, *wanted]
    views = torch.from_numpy(held_out.views[first_image(held_out, index) + torch.tensor(frames).numpy()])
    orbit = prior.orbit(views[:, 0], views[:, 1])
    name = list(BACKGROUNDS)[background]
    texts = [""] * len(frames)
    if said == "captioned":
        texts = [full_caption(held_out.captions[index], word, name) for word in view_words(toy_orbit(*views.T))]
    clean = images_of(held_out, index, given, background) if given else None
    return prior.sample(
        prior.embed(texts), orbit, given=clean, null_text=prior.embed([""]), guidance_scale=guidance_scale,
        num_inference_steps=n_steps, generator=generator,
    ).cpu()  # fmt: skip


def distinct_objects(dataset: RenderedDataset, n: int) -> list[int]:
    """The numbers of the first n objects whose captions differ.

    Raises:
        ValueError: there are fewer.
    """
    found = list({caption: i for i, caption in reversed(list(enumerate(dataset.captions)))}.values())
    if len(found) < n:
        raise ValueError(f"the dataset has {len(found)} different captions, but {n} are asked for; render more")
    return sorted(found)[:n]


def first_image(dataset: RenderedDataset, index: int) -> int:
    """The number of an object's first image."""
    return index * (len(dataset) // len(dataset.captions))


def images_of(dataset: RenderedDataset, index: int, views: list[int], background: int) -> Tensor:
    """Some views of an object over a named background: [views, 3, h, w]."""
    place = first_image(dataset, index) + torch.tensor(views).numpy()
    colours = background_colours()[background].expand(len(views), 3)
    return composite(torch.from_numpy(dataset.rgba[place]), colours).contiguous()


@torch.no_grad()
def sample_sheet(
    prior: JointViewsPrior, held_out: RenderedDataset, objects: int = 6, n_steps: int = 10, seed: int = 0
) -> Tensor:
    """Three rows an object, [3, height, width]: a view and the true ring; drawn with its caption; without."""
    rows = []
    for index, one in enumerate(distinct_objects(held_out, objects)):
        background, ring = index % len(BACKGROUNDS), list(range(RING))
        first = images_of(held_out, one, [EXTRA], background)
        rows.append(torch.cat([first, images_of(held_out, one, ring, background)]))
        for said in SAID:
            generator = torch.Generator().manual_seed(seed)
            drawn = draw(prior, held_out, one, [EXTRA], ring, background, said, n_steps, generator)
            rows.append(torch.cat([torch.ones_like(first), drawn]))
    return rows_of(*rows)


def _psnr_db(images: Tensor, truth: Tensor) -> Tensor:
    """Of each image, at most 50 dB."""
    return -10 * (images - truth).square().mean(dim=(1, 2, 3)).clamp(min=1e-5).log10()
