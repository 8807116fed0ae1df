"""The scorer's card and scores: counted by hand on a judge that knows what it confuses."""

import json

import pytest
import torch

from stages.artifacts.datasets import RenderedDataset
from stages.contract.entry import execute
from stages.training.scorer import FOLDER
from stages.training.scores.scorer import Mistake, scorer_scores, what_differs
from tests.stages.training.test_scorer import train
from tests.toy_training import write_world


class Judge:
    """Sees colours but no shapes, and takes every view for a front view."""

    def similarity(self, images, captions):
        seen = images[:, :, 16, 16]
        return torch.stack([-(seen - own).square().sum(1) for own in self.colours(captions)], dim=1)

    def r_precision(self, images, own, captions):
        return float((self.similarity(images, captions).argmax(1) == own).float().mean())

    def view_logits(self, images):
        return torch.eye(4)[torch.zeros(len(images), dtype=torch.long)]

    def colours(self, captions):
        known = {"red": (0.85, 0.07, 0.09), "blue": (0.12, 0.26, 0.86), "green": (0.10, 0.60, 0.18)}
        known["yellow"] = (0.97, 0.85, 0.1)
        return [torch.tensor(known[caption.split()[1]]) for caption in captions]


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Balls and cubes, of which cubes have a front."""
    write_world(tmp_path / "data/world")
    monkeypatch.setattr(
        "stages.training.datasets.held_out.kind_of_caption",
        lambda caption: type("Kind", (), {"front": caption.endswith("cube")}),
    )
    return RenderedDataset(tmp_path / "data/world", "held-out")


def test_a_judge_without_shapes_finds_half(world):
    scores, mistakes = scorer_scores(Judge(), world, n_captions=8, draws=3)
    assert scores["top1"] == scores["top1_least"] == scores["top1_halved"] == 0.5  # the first of two of a colour
    assert len(mistakes) == 12
    assert all(m.caption.split()[1] == m.taken_for.split()[1] and m.caption != m.taken_for for m in mistakes)
    assert 0 < scores["view_word"] < 1, "azimuth 0 is front, 180 is not"
    assert scores["clear_view_word"] == scores["view_word"], "both are far from every border"


def test_what_captions_say_differently_is_counted():
    image = torch.zeros(3, 2, 2)
    mug = Mistake(image, "a red mug", "a red ball")
    dots = Mistake(image, "a red ball with white dots", "a red ball with blue stripes")
    assert mug.differs == "kind" and dots.differs == "second colour, pattern or part"
    assert what_differs([mug, dots, mug]) == [("kind", 2), ("second colour, pattern or part", 1)]


def test_the_card_is_written_beside_the_weights(tmp_path, monkeypatch):
    write_world(tmp_path / "data/world")
    train(tmp_path, steps=2)
    (tmp_path / "params.yaml").write_text("scorer_card: {captions: 6, draws: 2, threads: 1}")
    monkeypatch.setattr(
        "stages.training.datasets.held_out.kind_of_caption", lambda caption: type("Kind", (), {"front": True})
    )
    monkeypatch.setattr("stages.training.scores.scorer.facts", lambda caption: (caption.split()[2], 0, 0, 0))
    assert execute("stages.training.scorer_card", ["--world", "data/world"], tmp_path) == 0
    scores = json.loads((tmp_path / FOLDER / "scores.json").read_text())
    assert set(scores) == {"top1", "top1_least", "top1_halved", "view_word", "clear_view_word"}
    text = (tmp_path / FOLDER / "README.md").read_text()
    assert f"| own caption nearest of 6 | {scores['top1']:.1%} |" in text and "**Trained on** 32 pairs" in text
    assert (tmp_path / FOLDER / "mistakes.png").stat().st_size > 100
