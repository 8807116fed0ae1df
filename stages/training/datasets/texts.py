"""Captions and instructions of datasets as tokens, with the cameras, in the memory of the device that trains."""

from typing import Any

import torch
from torch import Tensor

from prior3d.cameras import view_words
from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.toyworld.captions import full_caption
from prior3d.toyworld.palette import BACKGROUNDS
from prior3d.toyworld.renders import toy_orbit
from stages.artifacts.datasets import EditDataset, RenderedDataset


class CaptionedDataset:
    """Every caption that an image of a rendered dataset can have.

    Attributes:
        tokens: [texts, model_max_length] of every text that is said of any image; the first is empty.
        rows: [n, 2, backgrounds + 1] the text of image i without and with its view word, without and with a background.
        cameras: [n, CAMERA_DIM] embedded.
        patterned: [m] the images of patterned objects.
    """

    def __init__(self, dataset: RenderedDataset, tokenizer: Any, device: str):
        views = torch.from_numpy(dataset.views)
        words = view_words(toy_orbit(views[:, 0], views[:, 1]))
        texts: dict[str, int] = {"": 0}
        rows = [
            texts.setdefault(said_of(dataset.caption(i), view, background), len(texts))
            for i in range(len(dataset))
            for view in (None, words[i])
            for background in (None, *BACKGROUNDS)
        ]
        self.tokens = tokenize(tokenizer, list(texts)).to(device)
        self.rows = torch.tensor(rows, device=device).view(len(dataset), 2, -1)
        self.cameras = camera_embedding(views[:, 0], views[:, 1]).to(device)
        self.patterned = dataset.patterned.to(device)

    def draw(
        self, image: Tensor, background: Tensor, drops: tuple[float, float, float, float], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Captions and cameras of images [n] over backgrounds [n].

        Whole captions, cameras, view words and backgrounds are left out with the probabilities `drops`.

        Returns:
            Tokens [n, model_max_length] and camera embeddings [n, CAMERA_DIM].
        """
        device = self.rows.device
        drawn = torch.rand(len(image), 4, generator=generator, device=device)
        caption, camera, view, named = (drawn >= torch.tensor(drops, device=device)).long().T
        row = self.rows[image, view, named * (background + 1)]
        return self.tokens[caption * row], self.cameras[image] * camera[:, None]


def said_of(caption: str, view: str | None, background: str | None) -> str:
    """As `full_caption`; of a thing without a name only the view and the background are said."""
    return full_caption(caption, view, background).removeprefix(", ")


class InstructionDataset:
    """The instruction of each pair of images.

    Attributes:
        tokens: [instructions, model_max_length] of every instruction there is; the first is empty.
        rows: [pairs] the instruction of each pair.
        cameras: [pairs, CAMERA_DIM] embedded.
    """

    def __init__(self, edits: EditDataset, tokenizer: Any, device: str):
        texts: dict[str, int] = {"": 0}
        rows = [texts.setdefault(edits.record(pair)["instruction"], len(texts)) for pair in range(edits.n_pairs)]
        self.tokens, self.rows = tokenize(tokenizer, list(texts)).to(device), torch.tensor(rows, device=device)
        views = torch.from_numpy(edits.views[::2])
        self.cameras = camera_embedding(views[:, 0], views[:, 1]).to(device)


def tokenize(tokenizer: Any, texts: list[str]) -> Tensor:
    """Token ids [n, model_max_length]."""
    return tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
