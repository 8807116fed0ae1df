"""Everything that the toy world says."""

import pytest

from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.vocabulary import all_captions, default_colours, full_captions, short_captions


def test_every_objects_caption_is_among_all_captions():
    known = set(all_captions())
    assert len(known) == len(all_captions()) == 6420
    assert all(sample_object(3, index, "held-out").caption in known for index in range(60))


def test_longer_captions_begin_as_the_short_one():
    for text, (kind, main) in list(short_captions().items())[::40]:
        longer = full_captions(kind, main)
        assert all(other.startswith(f"{text} with ") for other in longer)
        assert bool(longer) == bool(kind.part or kind.patterned)


@pytest.mark.parametrize(
    ("text", "colours"),
    [
        ("a green tree", ["brown"]),
        ("a green tree with a red trunk", []),
        ("a red mushroom with white dots", ["white"]),
        ("a snowman", ["white", "black"]),
        ("a snowman with a red hat", ["white"]),
        ("a blue ball", []),
        ("something else", []),
    ],
)
def test_colours_that_go_without_saying(text, colours):
    assert default_colours(text) == colours
