"""Small worlds for the training stages: coloured shapes that need no ray caster, in the layout of `data/world`."""

import json
from pathlib import Path

import numpy as np

from stages.contract.job import Job
from stages.training.datasets.tokenizer import build_tokenizer

SHAPES = {"ball": 0, "cube": 1}
COLOURS = {
    "red": (0.85, 0.07, 0.09),
    "blue": (0.12, 0.26, 0.86),
    "green": (0.10, 0.60, 0.18),
    "yellow": (0.97, 0.85, 0.1),
}


def write_world(folder: Path, size: int = 32, views: int = 2) -> Path:
    """Write both splits: every colour and shape once, captioned, the ball a disc and the cube a larger square."""
    folder.mkdir(parents=True, exist_ok=True)
    captions = [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES]
    for split in ("train", "held-out"):
        rgba = np.concatenate([picture(caption, size, view) for caption in captions for view in range(views)])
        np.save(folder / f"{split}.rgba.npy", rgba)
        angles = np.array([[180.0 * view, 10.0] for _ in captions for view in range(views)], np.float32)
        np.save(folder / f"{split}.views.npy", angles)
        (folder / f"{split}.captions.json").write_text(json.dumps(captions))
    return folder


def picture(caption: str, size: int, view: int = 0) -> np.ndarray:
    """[1, size, size, 4] uint8, premultiplied; the second view is a little smaller."""
    _, colour, shape = caption.split()
    row, column = np.mgrid[:size, :size] - (size - 1) / 2
    radius = size * (0.40 if SHAPES[shape] else 0.24) * (1 - 0.1 * view)
    inside = np.maximum(abs(row), abs(column)) < radius if SHAPES[shape] else np.hypot(row, column) < radius
    rgba = np.zeros((1, size, size, 4))
    rgba[0, inside] = (*COLOURS[colour], 1)
    return np.round(rgba * 255).astype(np.uint8)


def training_job(root: Path, name: str, key: str = "key", **inputs: str) -> Job:
    """A training's job in a project's root, with inputs relative to it; `key` names its folder of checkpoints."""
    work = root / ".work" / "training" / name / key
    work.mkdir(parents=True, exist_ok=True)
    return Job(name, root, {input_name: root / path for input_name, path in inputs.items()}, work)


def give_toy_words(toy: Path) -> None:
    """The toy world's tokenizer, which can spell any word, and a text encoder with as many rows."""
    from transformers import CLIPTextModel  # seconds to import, and most tests of trainings need none

    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 16
    tokenizer.save_pretrained(toy / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(toy / "text_encoder")
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    encoder.save_pretrained(toy / "text_encoder")
