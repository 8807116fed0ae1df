"""Held-out objects and edits that scores and sample sheets are made of."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.objects import kind_of_caption
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.datasets import EditDataset, RenderedDataset
from stages.training.datasets.compositing import background_colours, composite
from stages.training.datasets.masks import half

MARGIN_DEG = 15.0  # a view so far from all borders between view words is mistaken for no other by a little


@dataclass(frozen=True)
class HeldOut:
    """Held-out renders of objects whose captions all differ.

    Attributes:
        images: [n, 3, 64, 64] in [0, 1], over named backgrounds.
        captions: [n] without view and background.
        words: [n] view words.
        backgrounds: [n] their names.
        azimuth_deg, elevation_deg: [n].
    """

    images: Tensor
    captions: list[str]
    words: list[str]
    backgrounds: list[str]
    azimuth_deg: Tensor
    elevation_deg: Tensor

    @property
    def fronted(self) -> Tensor:
        """Whose kind has a front: [n]."""
        return torch.tensor([kind_of_caption(caption).front for caption in self.captions])

    @property
    def clear(self) -> Tensor:
        """Which views are `MARGIN_DEG` or more from those of another word: [n]."""
        clear = torch.ones(len(self.words), dtype=torch.bool)
        for turn, tilt in ((MARGIN_DEG, 0.0), (-MARGIN_DEG, 0.0), (0.0, MARGIN_DEG), (0.0, -MARGIN_DEG)):
            words = view_words(toy_orbit(self.azimuth_deg + turn, self.elevation_deg + tilt))
            clear &= torch.tensor([a == b for a, b in zip(words, self.words, strict=True)])
        return clear


def held_out(dataset: RenderedDataset, n: int, seed: int = 0) -> HeldOut:
    """Choose one render each of `n` different captions of a dataset, each over a drawn background.

    Raises:
        ValueError: the dataset has fewer different captions.
    """
    generator = torch.Generator().manual_seed(seed)
    n_views = len(dataset) // len(dataset.captions)
    first_of = {caption: i for i, caption in reversed(list(enumerate(dataset.captions)))}
    if len(first_of) < n:
        raise ValueError(f"the dataset has {len(first_of)} different captions, but {n} are asked for; render more")
    order = torch.randperm(len(first_of), generator=generator)[:n].tolist()
    objects = torch.tensor([list(first_of.values())[i] for i in order])
    index = objects * n_views + torch.randint(n_views, (n,), generator=generator)
    chosen = torch.randint(len(BACKGROUNDS), (n,), generator=generator)
    images = composite(torch.from_numpy(dataset.rgba[index.numpy()]), background_colours()[chosen]).contiguous()
    views = torch.from_numpy(np.array(dataset.views[index.numpy()]))
    names = list(BACKGROUNDS)
    return HeldOut(
        images,
        [dataset.caption(i) for i in index.tolist()],
        view_words(toy_orbit(views[:, 0], views[:, 1])),
        [names[i] for i in chosen.tolist()],
        views[:, 0],
        views[:, 1],
    )


@dataclass(frozen=True)
class HalfMasked:
    """Different objects with one half of each missing.

    Attributes:
        images: [n, 3, h, w].
        masks: [n, 1, h, w], 1 in the hole.
        captions: [n].
        cameras: [n, CAMERA_DIM].
        alpha: [n, 1, h, w].
    """

    images: Tensor
    masks: Tensor
    captions: list[str]
    cameras: Tensor
    alpha: Tensor


def half_masked(dataset: RenderedDataset, n: int, seed: int) -> HalfMasked:
    """Choose `n` different objects and mask half of each."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.arange(n) * (len(dataset) // n)
    chosen = torch.randint(len(BACKGROUNDS), (n,), generator=generator)
    rgba = torch.from_numpy(dataset.rgba[index.numpy()])
    alpha = rgba[..., 3].float() / 255
    views = torch.from_numpy(dataset.views[index.numpy()])
    words = view_words(toy_orbit(views[:, 0], views[:, 1]))
    names = [list(BACKGROUNDS)[i] for i in chosen.tolist()]
    captions = [full_caption(dataset.caption(int(index[i])), words[i], names[i]) for i in range(n)]
    masks = torch.stack([half(a, generator) for a in alpha])[:, None].float()
    images = composite(rgba, background_colours()[chosen])
    return HalfMasked(images, masks, captions, camera_embedding(views[:, 0], views[:, 1]), alpha[:, None])


@dataclass(frozen=True)
class EditPairs:
    """Images before and after exact edits.

    Attributes:
        before: [n, 3, h, w].
        after: [n, 3, h, w].
        instructions: [n].
        cameras: [n, CAMERA_DIM].
    """

    before: Tensor
    after: Tensor
    instructions: list[str]
    cameras: Tensor


def edit_pairs(edits: EditDataset, n: int, seed: int, kinds: tuple[str, ...]) -> EditPairs:
    """Choose pairs of these kinds of edits, spread over all there are."""
    generator = torch.Generator().manual_seed(seed)
    fitting = torch.tensor([i for i in range(edits.n_pairs) if edits.record(i)["kind"] in kinds])
    pair = fitting[torch.arange(n) * len(fitting) // n]
    colours = background_colours()[torch.randint(len(BACKGROUNDS), (n,), generator=generator)]
    before, after = (composite(torch.from_numpy(edits.rgba[2 * pair.numpy() + i]), colours) for i in (0, 1))
    views = torch.from_numpy(edits.views[2 * pair.numpy()])
    instructions = [edits.record(int(p))["instruction"] for p in pair]
    return EditPairs(before, after, instructions, camera_embedding(views[:, 0], views[:, 1]))
