"""Edits in words: repeatable, in several wordings, and exact: what is not named keeps its pixels to the bit."""

from dataclasses import replace

import numpy as np
import pytest

from prior3d.cameras import orbit_cameras
from prior3d.toyworld.edits import EDIT_KINDS, INSTRUCTION_WORDS, edited_design, sample_edit
from prior3d.toyworld.objects import Design, sample_object
from prior3d.toyworld.renders import render_toy, toy_orbit
from stages.training.datasets.tokenizer import vocabulary

pytest.importorskip("open3d")
N = 400


def views(size=48):
    return orbit_cameras(toy_orbit(np.array([20.0, 130.0, 250.0]), np.array([10.0, 40.0, 75.0])), size, size)


def unchanged_pixels(edit, cameras):
    """Where only parts that the edit does not name are seen: those are painted black, the others white."""
    parts = [
        replace(part, colour="white" if i in edit.changed_parts else "black", pattern=None)
        for i, part in enumerate(edit.before.parts)
    ]
    shown = render_toy(replace(edit.before, parts=tuple(parts)), cameras, supersampling=1)
    return shown.rgb.max(axis=-1) < 0.1  # black is at most 0.07, white at least 0.4


@pytest.mark.parametrize("kind", ["colour", "pattern"])
def test_parts_that_are_not_named_keep_their_pixels_exactly(kind):
    kept = changed = 0
    for index in range(24):
        edit = sample_edit(1, index, "held-out", kind)
        before, after = (render_toy(toy, views(), supersampling=1) for toy in (edit.before, edit.after))
        same = unchanged_pixels(edit, views())
        assert np.array_equal(before.rgb[same], after.rgb[same]), edit.instruction
        for shape in ("mask", "depth", "normal"):
            assert np.array_equal(getattr(before, shape), getattr(after, shape)), edit.instruction
        kept += (same & (before.mask > 0)).sum()
        changed += (before.rgb != after.rgb).any(axis=-1).sum()
        assert edit.changed_parts
    assert kept > 2000 and changed > 2000


def test_an_edit_is_the_same_every_time_and_the_splits_differ():
    for index in range(20):
        one, again, other = (sample_edit(0, index, split) for split in ("train", "train", "held-out"))
        assert (one.instruction, one.after.caption) == (again.instruction, again.after.caption)
        assert np.array_equal(one.before.vertices, again.before.vertices)
        assert not np.array_equal(one.before.vertices, other.before.vertices)


def test_the_object_is_that_of_the_world_where_the_edit_suits_it():
    same = [sample_edit(0, i, kind="category").before.caption == sample_object(0, i).caption for i in range(30)]
    assert all(same)


def test_captions_say_what_becomes_of_the_object():
    before = Design("house", "blue", None, None, "green")
    seen = {}
    rng = np.random.default_rng(0)
    for _ in range(200):
        after, instruction = edited_design(before, "colour", rng)
        seen[instruction] = after
    assert seen["paint the roof green"] == replace(before, named_part="roof", accent="green")
    assert seen["make it pink"] == replace(before, main="pink")
    assert "make it blue" not in seen and "paint the roof red" not in seen, "it has these colours already"
    dotted = Design("mushroom", "red", "dots", None, "white")
    found = {edited_design(dotted, "pattern", rng)[1]: 1 for _ in range(200)}
    assert {"remove the dots", "make it plain red", "turn the dots into stripes", "make the dots blue"} <= set(found)
    assert "make the dots red" not in found and "make the dots white" not in found
    rockets = {}
    while "turn the mushroom into a rocket" not in rockets:
        after, instruction = edited_design(dotted, "category", rng)
        rockets[instruction] = after
    assert rockets["turn the mushroom into a rocket"] == replace(dotted, category="rocket")


def test_what_does_not_suit_is_not_drawn():
    rng = np.random.default_rng(0)
    assert edited_design(Design("chair", "red", None, None, "blue"), "pattern", rng) is None
    snowman = Design("snowman", "white", None, None, "red")
    assert all(edited_design(snowman, "colour", rng)[0].named_part == "hat" for _ in range(20))
    assert edited_design(Design("ball", "red", "dots", None, "blue"), "colour", rng)[0].pattern == "dots"


def test_an_unknown_kind_of_edit_is_named(without_checks):
    with pytest.raises(ValueError, match="unknown kind of edit 'shape': one of colour, pattern, category"):
        sample_edit(0, 0, kind="shape")


def test_every_edit_changes_the_caption_in_known_words_and_many_wordings():
    edits = [sample_edit(0, index) for index in range(N)]
    assert all(edit.before.caption != edit.after.caption for edit in edits)
    words = {word for edit in edits for word in edit.instruction.split()}
    assert words <= {*vocabulary(), *INSTRUCTION_WORDS}
    assert set(INSTRUCTION_WORDS) <= words and not set(INSTRUCTION_WORDS) & set(vocabulary())
    for kind in EDIT_KINDS:
        own = [edit for edit in edits if edit.kind == kind]
        assert len(own) > N / 6
        assert len({edit.instruction.split()[0] for edit in own}) >= 4
