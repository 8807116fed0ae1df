"""Which models are used, on which side of the split, and whom they are from."""

import hashlib
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from prior3d.cameras import orbit_cameras
from prior3d.realobjects.catalogue import Entry, read_library, refused_by_name
from prior3d.realobjects.fetching import LIBRARIES, need_objects
from prior3d.realobjects.models import Model, read_model, refused_by_shape
from prior3d.rendering.zbuffer import visible
from prior3d.toyworld.renders import toy_orbit

Split = Literal["train", "held-out"]
ENOUGH = 4  # objects of a kind from which on some are held out
ONE_IN = 6  # objects of such a kind are held out
LEAST_COVER = 0.04  # of an image that an object must cover
LICENCE_ADDRESSES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-3.0-US": "https://creativecommons.org/licenses/by/3.0/us/",
}


@dataclass(frozen=True)
class Choice:
    """What became of a catalogue's entries: those that are used, and why the others are not."""

    used: tuple[Entry, ...]
    refused: dict[str, int]


def choose(folder: Path, told: Callable[[int, int], None] = lambda done, total: None) -> Choice:
    """Look at every model of the libraries, and choose the single solid objects.

    Raises:
        Prior3dError: a library is not there, or numba is not installed.
    """
    need_objects(folder)
    used, refused = [], defaultdict[str, int](int)
    entries = [entry for name in LIBRARIES for entry in read_library(folder / name)]
    with Opened(folder) as opened:
        for number, entry in enumerate(entries):
            reason = refused_by_name(entry)
            model = None if reason else opened.model(entry)
            reason = reason or (refused_by_shape(model) or _small(model) if model else None)
            if reason:
                refused[reason] += 1
            else:
                used.append(entry)
            told(number + 1, len(entries))
    return Choice(tuple(used), dict(refused))


class Opened:
    """The libraries of a folder, opened for reading models."""

    def __init__(self, folder: Path):
        """Take a folder with the libraries."""
        self.folder, self._stack = folder, ExitStack()
        self._archives: dict[str, zipfile.ZipFile] = {}

    def __enter__(self) -> "Opened":
        """Nothing is opened before it is asked for."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close what was opened."""
        self._stack.close()
        self._archives.clear()

    def model(self, entry: Entry) -> Model:
        """An entry's model (raises Prior3dError as `read_model` does)."""
        if entry.library not in self._archives:
            archive = zipfile.ZipFile(self.folder / f"{entry.library}.sh3f")
            self._archives[entry.library] = self._stack.enter_context(archive)
        return read_model(self._archives[entry.library], entry)


def splits(entries: Sequence[Entry]) -> dict[str, Split]:
    """The side of each entry, by library and identity: families stay together, and so do near copies.

    Of kinds with four objects or more, one in six is held out, by an order that is drawn from the families' names. A
    kind keeps at least half of its objects for training.
    """
    kinds: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        kinds[entry.kind][entry.family].append(entry)
    sides: dict[str, Split] = {key_of(entry): "train" for entry in entries}
    for families in kinds.values():
        total = sum(len(family) for family in families.values())
        wanted = round(total / ONE_IN) or 1
        out = 0
        for name in sorted(families, key=lambda name: hashlib.sha256(name.encode()).digest()):
            size = len(families[name])
            if total >= ENOUGH and out < wanted and out + size <= max(wanted, total // 3):
                out += size
                sides |= {key_of(entry): "held-out" for entry in families[name]}
    return sides


def key_of(entry: Entry) -> str:
    """An entry's name for machines, unique over the libraries."""
    return f"{entry.library}/{entry.identity}"


def credits(entries: Sequence[Entry]) -> Iterator[str]:
    """The lines of an attribution file: title, author, licence and source of each model, and its side of the split."""
    sides = splits(entries)
    yield "# Models that renders and weights were made from"
    yield ""
    yield "The models were rendered, recoloured, scaled and mirrored. Their authors endorse nothing here. Licences:"
    yield ", ".join(f"[{name}]({address})" for name, address in LICENCE_ADDRESSES.items()) + "."
    yield ""
    yield "| kind | title | author | licence | source | split |"
    yield "|---|---|---|---|---|---|"
    for entry in sorted(entries, key=lambda entry: (entry.kind, key_of(entry))):
        credit = entry.credit
        cells = (entry.kind, credit.title, credit.author, credit.licence, credit.source, sides[key_of(entry)])
        yield "| " + " | ".join(cell.replace("|", "/").replace("\n", " ").strip() for cell in cells) + " |"


def _small(model: Model) -> str | None:
    cameras = orbit_cameras(toy_orbit(torch.tensor([30.0]), torch.tensor([20.0])), 64, 64)
    seen = visible(model.vertices, model.faces, cameras, 1)
    cover = len(np.unique(seen.pixel)) / 64**2
    return f"under {LEAST_COVER:.0%} of the image" if cover < LEAST_COVER else None
