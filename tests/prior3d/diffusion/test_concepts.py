"""New words: only their rows change, prompts understand them, every refusal; both kinds of prediction, with and without
cameras."""

from dataclasses import replace

import pytest
import torch

from prior3d.diffusion.concepts import (
    Concept,
    add_concept,
    check_token,
    initial_embeddings,
    inversion_loss,
    text_encoder_digest,
    vocabulary,
)
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.errors import Prior3dError
from tests.tiny_prior import write_tiny_prior


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p")


@pytest.fixture
def prior(folder):
    return load_text_to_image(folder, torch.device("cpu"))


def ball(prior, num_vectors=1, token="<object>"):
    return Concept(token, "ball", initial_embeddings(prior, "ball", num_vectors), text_encoder_digest(prior))


def test_a_word_that_begins_as_another_means_the_same(prior):
    before = prior.embed(["a red ball"])
    add_concept(prior, ball(prior))
    assert torch.equal(prior.embed(["a red <object>"]), before)
    assert torch.equal(prior.embed(["a red ball"]), before)
    assert prior.unknown_words("a red <object>") == []


def test_several_tokens_stand_for_one_word(prior):
    before = prior.embed(["a ball ball ball"])
    add_concept(prior, ball(prior, 3))
    assert torch.equal(prior.embed(["a <object>"]), before)


@pytest.mark.parametrize(("prediction", "camera"), [("epsilon", False), ("v_prediction", True)])
def test_training_moves_the_new_row_and_no_other(tmp_path, prediction, camera):
    prior = load_text_to_image(
        write_tiny_prior(tmp_path / "p", prediction_type=prediction, camera=camera), torch.device("cpu")
    )
    concept = ball(prior)
    extended = add_concept(prior, concept)
    extended.embeddings.requires_grad_(True)
    text_encoder = prior.diffusion.prompts.text_encoder
    before = {
        name: t.clone()
        for name, t in text_encoder.state_dict().items()
        if not name.endswith("token_embedding.embeddings")
    }
    unet = [p.clone() for p in prior.diffusion.unet.parameters()]
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(2, 4, 8, 8, generator=generator) for _ in range(2))
    seen = torch.ones(2, 16) if camera else None
    optimiser = torch.optim.AdamW([extended.embeddings], lr=0.01)
    found = []
    for _ in range(5):
        optimiser.zero_grad()
        text = prior.diffusion.prompts.embed_with_gradient(["a <object>", "a red <object>"])
        loss = inversion_loss(prior, latents, noise, torch.tensor([300, 600]), text, seen)
        loss.backward()
        optimiser.step()
        found.append(loss.item())
    assert found[-1] < found[0]
    assert not torch.equal(extended.embeddings, concept.embeddings)
    after = text_encoder.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(a, b) for a, b in zip(unet, prior.diffusion.unet.parameters(), strict=True))
    assert text_encoder_digest(prior) == concept.text_encoder_digest


def test_the_loss_is_the_training_loss_of_either_prediction(prior):
    """With a UNet that says nothing the loss is the target's mean square: 1 of noise, by hand of a velocity."""
    prior.diffusion.network = lambda *_: torch.zeros(1, 1, 1, 2)
    latents, noise, at = torch.tensor([[[[3.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0]]]]), torch.tensor([500])
    text = prior.embed(["a red ball"])
    assert inversion_loss(prior, latents, noise, at, text, None).item() == pytest.approx(1.0)
    prior.diffusion.schedule = replace(prior.schedule, target="v_prediction")
    alpha = prior.schedule.signal[500].item()
    target = [alpha**0.5 - (1 - alpha) ** 0.5 * 3, alpha**0.5]
    expected = sum(v * v for v in target) / 2
    assert inversion_loss(prior, latents, noise, at, text, None).item() == pytest.approx(expected, rel=1e-5)


def test_several_words_begin_a_concept(prior):
    found = initial_embeddings(prior, "red ball", 3)
    assert torch.equal(found[0], initial_embeddings(prior, "red")[0])
    assert torch.equal(found[1], found[2]) and torch.equal(found[1], initial_embeddings(prior, "ball")[0])


def test_a_prior_may_learn_two_words(prior):
    ball_embedding, before = ball(prior).embeddings, prior.embed(["a ball red"])
    add_concept(prior, ball(prior))
    add_concept(prior, Concept("<other>", "red", initial_embeddings(prior, "red"), text_encoder_digest(prior)))
    assert torch.equal(prior.embed(["a <object> <other>"]), before)
    assert torch.equal(initial_embeddings(prior, "ball"), ball_embedding)


def test_the_digest_does_not_depend_on_the_precision(folder, prior):
    half = load_text_to_image(folder, torch.device("cpu"), torch.float16)
    assert text_encoder_digest(half) == text_encoder_digest(prior)


def test_the_vocabulary_holds_whole_words(prior):
    assert {"red", "ball", "white"} <= set(vocabulary(prior, 100))
    assert "a" not in vocabulary(prior, 100) and len(vocabulary(prior, 3)) == 3


@pytest.mark.parametrize("token", ["object", "<Object>", "<>", "<a b>", "<" + "x" * 40 + ">"])
def test_malformed_words(token):
    with pytest.raises(Prior3dError, match="small letters between angle brackets"):
        check_token(token)


def test_what_is_refused(prior):
    concept = ball(prior)
    with pytest.raises(Prior3dError, match="must be one known word"):
        initial_embeddings(prior, "elephant")
    with pytest.raises(Prior3dError, match="2 words, but 1 vectors"):
        initial_embeddings(prior, "red ball")
    with pytest.raises(Prior3dError, match="8 wide"):
        add_concept(prior, Concept("<object>", "ball", torch.zeros(1, 8), concept.text_encoder_digest))
    with pytest.raises(Prior3dError, match="another text encoder"):
        add_concept(prior, Concept("<object>", "ball", concept.embeddings, "0" * 32))
    add_concept(prior, concept)
    with pytest.raises(Prior3dError, match="knows that word already"):
        add_concept(prior, concept)
    prior.free_text_encoder()
    with pytest.raises(Prior3dError, match="freed already"):
        add_concept(prior, Concept("<other>", "ball", concept.embeddings, concept.text_encoder_digest))


@pytest.mark.parametrize("camera", [False, True])
def test_a_few_versions_at_once_give_the_same_gradient(tmp_path, camera):
    prior = load_text_to_image(write_tiny_prior(tmp_path / "p", camera=camera), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    latents, noise = (torch.randn(3, 4, 8, 8, generator=generator) for _ in range(2))
    timesteps, seen = torch.tensor([100, 500, 900]), torch.ones(3, 16) if camera else None
    found = []
    for at_once in (0, 2, 1):
        text = prior.embed(["a red ball", "a cube", "a view"]).clone().requires_grad_()
        loss = inversion_loss(prior, latents, noise, timesteps, text, seen, at_once)
        loss.backward()
        found.append((loss.item(), text.grad))
    for value, gradient in found[1:]:
        assert value == pytest.approx(found[0][0], rel=1e-5)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-4, atol=1e-7)
