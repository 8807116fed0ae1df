"""What a caption says, as numbers."""

import math

import pytest
import torch

from prior3d.toyworld.objects import sample_object
from stages.training.datasets.caption_facts import SIZES, facts, facts_loss


def test_facts_of_captions():
    mushroom = facts("a red mushroom with white dots")
    assert mushroom == facts("a red mushroom with white dots")
    assert mushroom[:2] == facts("a red mushroom")[:2]
    assert facts("a red mushroom")[2:] == (0, 0)
    assert facts("a snowman with a black hat")[1] == 0  # its colour is not said
    assert facts("an orange mug with red stripes")[2] == mushroom[1]
    bearers = [facts(f"a red vase with white {what}")[3] for what in ("dots", "stripes", "base")]
    assert len({0, *bearers}) == 4


def test_facts_are_places_within_their_sizes():
    for index in range(100):
        found = facts(sample_object(0, index).caption)
        assert all(0 <= place < size for place, size in zip(found, SIZES, strict=True))


def test_the_loss_is_the_mean_of_four_cross_entropies():
    even = facts_loss(torch.zeros(2, sum(SIZES)), ["a red mushroom", "a blue mug with red dots"])
    assert even.item() == pytest.approx(sum(math.log(size) for size in SIZES) / 4, abs=1e-6)
    sure = torch.full((1, sum(SIZES)), -30.0)
    first = 0
    for place, size in zip(facts("a red mushroom"), SIZES, strict=True):
        sure[0, first + place], first = 30.0, first + size
    assert facts_loss(sure, ["a red mushroom"]).item() == pytest.approx(0, abs=1e-6)
