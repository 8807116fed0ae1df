"""The initializer of a concept: the nearest word by the scorer, the best pair by the prior, and the sentences."""

import numpy as np
import pytest
import torch

from prior3d.cameras import orbit_cameras
from prior3d.diffusion import initial_token
from prior3d.diffusion.concepts import kinds, vocabulary
from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.initial_token import find_initial_token, inversion_prompt, nearest_phrases, words_of_prompt
from prior3d.diffusion.scorer import Scorer, load_scorer
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.errors import Prior3dError
from prior3d.images.object_image import ObjectImage, Viewpoint
from prior3d.settings.textual_inversion import InitializerSettings, InversionPromptSettings
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.renders import render_toy, toy_orbit
from tests.tiny_prior import write_tiny_prior

IMAGE = ObjectImage(np.ones((8, 8, 4), np.float32), Viewpoint(180.0, 10.0, 40.0, 3.2))
LIKENESS = {"ball": 0.9, "red": 0.8, "cube": 0.3}  # any other word: 0.1


class ByWords(Scorer):
    """Finds an image as like a text as the mean of its words' likenesses."""

    def __init__(self):
        self.image_size, self.device = 8, torch.device("cpu")

    def similarity(self, images, texts):
        one = [np.mean([LIKENESS.get(word, 0.1) for word in text.split()[1:]]) for text in texts]
        return torch.tensor(one, dtype=torch.float32).expand(len(images), -1)


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return load_text_to_image(write_tiny_prior(tmp_path_factory.mktemp("p") / "p", camera=True), torch.device("cpu"))


def found(prior, num_vectors, **settings):
    return find_initial_token(
        prior,
        ByWords(),
        IMAGE,
        InitializerSettings(**{"captions": "none"} | settings),
        InversionPromptSettings(),
        num_vectors=num_vectors,
        generator=torch.Generator().manual_seed(0),
    )


@pytest.fixture(scope="module")
def toy():
    return load_text_to_image(embedded_prior("toy"), torch.device("cpu"))


def test_the_scorer_picks_a_single_word(prior):
    chosen = found(prior, 1)
    assert chosen.word == "ball" and chosen.likeness == pytest.approx(0.9) and chosen.n_candidates > 3


def test_the_nearest_come_first_and_no_more_than_there_are():
    assert nearest_phrases(ByWords(), IMAGE, ["cube", "red", "ball"], 2)[0] == ["ball", "red"]
    assert nearest_phrases(ByWords(), IMAGE, ["cube"], 5)[0] == ["cube"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["ball", "cube"], ["ball", "cube", "red ball", "red cube"]),
        ([], ["ball", "ball red", "red", "red ball"]),  # a byte-pair vocabulary: it is not known what names a kind
    ],
)
def test_the_prior_picks_among_the_nearest_pairs_and_two_words(prior, monkeypatch, named, expected):
    told = []
    monkeypatch.setattr(initial_token, "kinds", lambda prior: named)

    def losses(prior, image, phrases, prompting, n_noise_levels, generator):
        told.append((phrases, n_noise_levels))
        return torch.tensor([1.0, 0.5, 2.0, 2.0])

    monkeypatch.setattr(initial_token, "denoising_losses", losses)
    chosen = found(prior, 2, n_words=2, n_pairs=9, n_noise_levels=3)
    assert told == [(told[0][0], 3)] and sorted(told[0][0]) == expected
    assert chosen.word == told[0][0][1] and chosen.likeness == pytest.approx(0.9)


def test_captions_that_fit_the_vectors_and_the_vocabulary_are_compared_too(prior, monkeypatch):
    told = []
    captions = ["a red cube", "a red ball with a blue cube", "a zzz ball"]
    monkeypatch.setattr(initial_token, "kinds", lambda prior: ["ball"])
    monkeypatch.setattr(initial_token, "likely_captions", lambda scorer, images, n: captions[:n])
    monkeypatch.setattr(prior, "unknown_words", lambda text: [w for w in text.split() if w == "zzz"])

    def losses(prior, image, phrases, prompting, n_noise_levels, generator):
        told.append(phrases)
        return torch.tensor([float(phrase != phrases[-1]) for phrase in phrases])

    monkeypatch.setattr(initial_token, "denoising_losses", losses)
    assert found(prior, 2, captions="toy").word == "red cube"
    assert found(prior, 5, captions="toy").word == "red ball with blue cube" and "zzz ball" not in told[-1]
    assert found(prior, 5, captions="toy", n_captions=1).word == "red cube"
    assert found(prior, 5, captions="none").word == "ball"


def test_a_toy_object_begins_as_its_whole_caption(toy):
    prior = toy
    thing = sample_object(7, 1, "held-out")
    orbit = toy_orbit(torch.tensor([30.0]), torch.tensor([20.0]))
    seen = render_toy(thing, orbit_cameras(orbit, 64, 64), supersampling=2)
    mask = seen.mask[0][..., None]
    pixels = np.concatenate([seen.rgb[0] / np.maximum(mask, 1e-3), mask], -1).clip(0, 1).astype(np.float32)
    chosen = find_initial_token(
        prior,
        load_scorer(embedded_prior("toy-scorer"), torch.device("cpu")),
        ObjectImage(pixels, Viewpoint(30.0, 20.0, 40.0, 3.2)),
        InitializerSettings(),
        InversionPromptSettings(),
        num_vectors=6,
        generator=torch.Generator().manual_seed(0),
    )
    assert f"an {chosen.word}" == thing.caption == "an orange vase with pink dots"


@pytest.mark.parametrize(
    ("prompt", "num_vectors", "words"),
    [
        ("a brown teddy bear with a red belly", 6, "brown teddy bear with red belly"),
        ("a brown teddy bear in a red chair", 2, "teddy bear"),
        ("a crimson toadstool", 6, "red mushroom"),  # read as known words
        ("Boat, blue!", 6, "boat blue"),
        ("zzz", 6, ""),
    ],
)
def test_a_persons_words_are_what_a_concept_begins_as(toy, prompt, num_vectors, words):
    assert words_of_prompt(toy, prompt, num_vectors) == words


def test_phrases_are_compared_with_the_same_noise(prior):
    def losses(phrases):
        generator = torch.Generator().manual_seed(0)
        return initial_token.denoising_losses(prior, IMAGE, phrases, InversionPromptSettings(), 4, generator)

    both = losses(["ball", "cube"])
    assert both[0] != both[1] and torch.equal(both, torch.cat([losses(["ball"]), losses(["cube"])]))


def test_a_vocabulary_without_words(prior, monkeypatch):
    monkeypatch.setattr(initial_token, "vocabulary", lambda prior, longest: [])
    with pytest.raises(Prior3dError, match="holds no whole words; name one as initializer_token"):
        found(prior, 1)


def test_sentences_name_view_and_background_if_told_to():
    named = inversion_prompt(InversionPromptSettings(), "a {}", "ball", 180.0, 10.0, "grey")
    assert named == "a ball, back view, grey background"
    plain = InversionPromptSettings(view_words=False, named_backgrounds=False)
    assert inversion_prompt(plain, "one {}", "ball", 180.0, 10.0, "grey") == "one ball"


def test_the_embedded_vocabulary_names_kinds_and_holds_no_ends_of_words(toy):
    words = vocabulary(toy, 10_000)
    assert {"orange", "boat", "dots", "black"} <= set(words) and not {"ack", "ink", "air"} & set(words)
    assert {"teddy bear", "boat", "fir tree"} <= set(kinds(toy)) and "orange" not in kinds(toy)
