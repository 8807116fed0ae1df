"""Unknown words: what is read in their place, what is said of it, and that known prompts stay as they are."""

import pytest
import torch
from transformers import CLIPTokenizer

from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.known_words import GROUPS, LEFT_OUT, READ_AS, STANDS_FOR, read, told_of, unknown_words
from prior3d.diffusion.scorer import load_scorer
from prior3d.toyworld.palette import COLOURS
from prior3d.toyworld.shapes import CATEGORIES
from prior3d.toyworld.vocabulary import all_captions


@pytest.fixture(scope="module", params=["toy", "toy-mv", "toy-inpainting", "toy-instruct"])
def tokenizer(request):
    return CLIPTokenizer.from_pretrained(embedded_prior(request.param) / "tokenizer")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("a red beetle", "a red car"),
        ("an automobile with black wheels", "a car with black wheels"),
        ("a golden airplane", "a yellow plane"),
        ("a beautiful, shiny gray Robot", "a, grey Robot"),
        ("a couch, front view", "a sofa, front view"),
        ("two cars", "two car"),
        ("a red mushrom with white dots", "a red mushroom with white dots"),
        ("a turquoise pine", "a teal fir tree"),
        ("a big apple", "an apple"),
    ],
)
def test_known_words_stand_in(tokenizer, given, wanted):
    assert read(given, unknown_words(tokenizer, given)) == wanted


def test_every_caption_of_the_world_stays_as_it_is(tokenizer):
    for caption in all_captions()[::7]:
        assert not unknown_words(tokenizer, caption)
        assert read(caption, []) == caption


def test_what_stands_in_is_known_and_what_is_replaced_is_not(tokenizer):
    for known in READ_AS:
        assert not unknown_words(tokenizer, known), known
    for word in (*STANDS_FOR, *LEFT_OUT):
        if unknown := unknown_words(tokenizer, word):
            assert unknown[0].read_as is not None, word
    nouns = {kind.noun for kind in CATEGORIES}
    assert {kind for members, _ in GROUPS.values() for kind in members.split(", ")} == nouns
    assert set(COLOURS) <= set(READ_AS)


def test_what_is_read_is_said(tokenizer):
    words = unknown_words(tokenizer, "a cute beetle beside a dog and a xylophone")
    assert told_of(words) == (
        "'cute' is unknown, left out; 'beetle' is unknown, read as 'car'; this prior does not know: beside, dog, "
        "xylophone; near: duck, fish, teddy bear"
    )
    assert read("a dog", unknown_words(tokenizer, "a dog")) == "a dog"


def test_a_large_vocabulary_knows_all():
    class Large:
        def __len__(self):
            return 49408

    assert unknown_words(Large(), "a beetle") == []


def test_a_prior_and_the_scorer_read_the_same_words():
    from prior3d.diffusion.text_to_image import load_text_to_image

    prior = load_text_to_image(embedded_prior("toy"), torch.device("cpu"))
    one, other, letters = (prior.embed([text]) for text in ("a red beetle", "a red car", "a red zzz"))
    assert torch.equal(one, other) and not torch.equal(one, letters)
    scorer = load_scorer(embedded_prior("toy-scorer"), torch.device("cpu"))
    assert torch.equal(scorer.embed_texts(["a red beetle"]), scorer.embed_texts(["a red car"]))
