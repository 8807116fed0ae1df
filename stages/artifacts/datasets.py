"""What trainings take: rendered images with captions, edits in words, and the folders of priors and their parts."""

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prior3d.diffusion.folders import check_joint_views_folder, check_prior_folder, weight_files
from prior3d.errors import Prior3dError
from prior3d.limits import read_json
from prior3d.toyworld.palette import PATTERNS

SPLITS = ("train", "held-out")
RENDER_AGAIN = "run the stage that renders it: dvc repro"


class RenderedDataset:
    """The renders of one split, in memory (random reads of a mapped file fall back to the disk, and wait).

    Attributes:
        rgba: [n, size, size, 4] uint8, premultiplied.
        views: [n, 2] azimuth and elevation in degrees.
        captions: one an object; `caption(i)` is that of image i.
    """

    def __init__(self, folder: Path, split: str):
        """Read a split.

        Raises:
            Prior3dError: a file of it is missing.
        """
        self.rgba, self.views = (_array(folder / f"{split}.{name}.npy") for name in ("rgba", "views"))
        self.captions: list[str] = read_json(_whole(folder / f"{split}.captions.json"))

    def __len__(self) -> int:
        return len(self.rgba)

    def caption(self, image: int) -> str:
        """The caption of image `image`."""
        return self.captions[image // (len(self.rgba) // len(self.captions))]

    @cached_property
    def patterned(self) -> Tensor:
        """[m] indices of the images whose captions end in a pattern's name."""
        return torch.tensor([i for i in range(len(self)) if self.caption(i).endswith(PATTERNS)], dtype=torch.long)


class EditDataset:
    """The rendered edits of one split, in memory.

    Attributes:
        rgba: [n, size, size, 4] uint8, premultiplied; an image before an edit, then the same after it.
        views: [n, 2] azimuth and elevation in degrees.
        records: one an edit, with its kind, its instruction and the captions before and after.
    """

    def __init__(self, folder: Path, split: str):
        """Read a split.

        Raises:
            Prior3dError: a file of it is missing.
        """
        self.rgba, self.views = (_array(folder / f"{split}.{name}.npy") for name in ("rgba", "views"))
        edits = _whole(folder / f"{split}.edits.json")
        self.records: list[dict[str, str]] = read_json(edits)

    def __len__(self) -> int:
        return len(self.rgba)

    @property
    def n_pairs(self) -> int:
        """How many pairs there are; pair i is of images 2 i and 2 i + 1."""
        return len(self.rgba) // 2

    def record(self, pair: int) -> dict[str, str]:
        """The kind, instruction and captions of a pair."""
        return self.records[pair // (self.n_pairs // len(self.records))]


def check_rendered(folder: Path) -> None:
    """Check that both splits of a rendered dataset have all their files."""
    _check_files(folder, "rgba.npy", "views.npy", "captions.json")


def check_edits(folder: Path) -> None:
    """Check that both splits of an edit dataset have all their files."""
    _check_files(folder, "rgba.npy", "views.npy", "edits.json")


def check_autoencoder(folder: Path) -> None:
    """Check that an autoencoder's folder has its configuration and its weights."""
    _whole(folder / "config.json")
    weight_files(folder, "vae")


def check_text_to_image(folder: Path) -> None:
    """Check that a folder is a text-to-image prior with all its parts."""
    check_prior_folder(folder, "text_to_image")


def check_joint_views(folder: Path) -> None:
    """Check that a folder is a joint-view prior with all its parts."""
    check_joint_views_folder(folder)


def check_scorer(folder: Path) -> None:
    """Check that a folder holds a scorer's configuration and weights."""
    for name in ("config.json", "model.safetensors", "view_head.safetensors"):
        _whole(folder / name)


def _check_files(folder: Path, *endings: str) -> None:
    for split in SPLITS:
        for ending in endings:
            _whole(folder / f"{split}.{ending}")


def _array(path: Path) -> NDArray:
    return np.asarray(np.load(_whole(path)))


def _whole(path: Path) -> Path:
    if not path.is_file():
        raise Prior3dError(f"{path}: there is no such file; {RENDER_AGAIN}")
    return path
