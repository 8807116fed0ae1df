"""Scenes of many posed pictures each, and what a step of training draws from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prior3d.cameras import Cameras, orbit_cameras
from prior3d.errors import Prior3dError
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.compositing import background_colours, composite


class PosedDataset:
    """Pictures with their cameras, grouped by scenes.

    Attributes:
        rgba: [n, size, size, 4] uint8, premultiplied.
        cameras: [n].
        scenes: for each scene the numbers of its pictures.
    """

    def __init__(self, rgba: NDArray[np.uint8], cameras: Cameras, scenes: list[Tensor]):
        """Take pictures; every camera's size is theirs."""
        self.rgba, self.cameras, self.scenes = rgba, cameras, scenes
        self.colours, self.pixels = background_colours(), torch.from_numpy(rgba)

    def __len__(self) -> int:
        return len(self.rgba)

    def to(self, device: str) -> "PosedDataset":
        """The same with pictures and cameras in a device's memory; `scenes` and `rgba` stay where they are."""
        moved = PosedDataset(self.rgba, self.cameras.to(device), self.scenes)
        moved.colours, moved.pixels = self.colours.to(device), self.pixels.to(device)
        return moved

    def images(self, index: Tensor, background: Tensor) -> Tensor:
        """Pictures [n] over named backgrounds [n], by their number: [n, 3, size, size] in [0, 1]."""
        return composite(self.pixels[index], self.colours[background])


def toy_views(folder: Path, split: str) -> PosedDataset:
    """The toy objects of one split, as the stage render_views leaves them."""
    dataset = RenderedDataset(folder, split)
    views, size = torch.from_numpy(dataset.views), dataset.rgba.shape[1]
    cameras = orbit_cameras(toy_orbit(views[:, 0], views[:, 1]), size, size)
    return PosedDataset(dataset.rgba, cameras, list(torch.arange(len(dataset)).chunk(len(dataset.captions))))


@dataclass(frozen=True)
class SceneBatch:
    """Numbers of pictures of one step: contexts [scenes, contexts], queries [scenes, queries], background [scenes]."""

    contexts: Tensor
    queries: Tensor
    background: Tensor

    def to(self, device: str) -> "SceneBatch":
        """The same numbers on a device."""
        return SceneBatch(self.contexts.to(device), self.queries.to(device), self.background.to(device))

    def context_images(self, dataset: PosedDataset) -> Tensor:
        """[scenes, contexts, 3, size, size]."""
        n = self.contexts.shape[1]
        images = dataset.images(self.contexts.flatten(), self.background.repeat_interleave(n))
        return images.view(-1, n, *images.shape[1:])

    @property
    def query_background(self) -> Tensor:
        """[scenes * queries]."""
        return self.background.repeat_interleave(self.queries.shape[1])


def draw_scenes(
    dataset: PosedDataset, n_scenes: int, n_contexts: int, n_queries: int, generator: torch.Generator
) -> SceneBatch:
    """Draw scenes, and from each contexts and queries that are different pictures: no query is ever a context.

    Raises:
        Prior3dError: no scene has as many pictures.
    """
    enough = [scene for scene in dataset.scenes if len(scene) >= n_contexts + n_queries]
    if not enough:
        most = max((len(scene) for scene in dataset.scenes), default=0)
        raise Prior3dError(
            f"training pictures: {n_contexts} contexts and {n_queries} queries are drawn from a scene, but the largest "
            f"has {most} pictures; give scenes of more pictures, or lower contexts or queries"
        )
    contexts, queries = [], []
    for number in torch.randint(len(enough), (n_scenes,), generator=generator).tolist():
        scene = enough[number]
        order = scene[torch.randperm(len(scene), generator=generator)]
        contexts.append(order[:n_contexts])
        queries.append(order[n_contexts : n_contexts + n_queries])
    background = torch.randint(len(BACKGROUNDS), (n_scenes,), generator=generator)
    return SceneBatch(torch.stack(contexts), torch.stack(queries), background)
