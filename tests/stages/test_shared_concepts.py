"""Words that others have found for a text encoder, as they share them: `learned_embeds.safetensors`."""

import pytest
import torch
from safetensors.torch import save_file

from prior3d.diffusion.concepts import add_concept
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.errors import Prior3dError
from stages.artifacts.priors import load_concept
from tests.tiny_prior import write_tiny_prior


def shared(folder, tensors):
    folder.mkdir(parents=True)
    save_file(tensors, str(folder / "learned_embeds.safetensors"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_prior(tmp_path_factory.mktemp("priors") / "p")


@pytest.mark.parametrize(
    ("name", "rows", "token", "n"),
    [
        ("<cat-toy>", (16,), "<cat-toy>", 1),
        ("<Mid_Journey>", (2, 16), "<mid-journey>", 2),
        ("emb_params", (3, 16), "<my-style>", 3),
    ],
)
def test_a_shared_word_is_learned_by_a_prior_of_its_width(tmp_path, folder, name, rows, token, n):
    concept = load_concept(shared(tmp_path / "My Style", {name: torch.randn(rows)}))
    assert concept.token == token and concept.embeddings.shape == (n, 16) and concept.text_encoder_digest == ""
    prior = load_text_to_image(folder, torch.device("cpu"))
    without = prior.embed(["a red ball"])
    add_concept(prior, concept)
    assert prior.unknown_words(f"a {token}") == []
    assert not torch.equal(prior.embed([f"a {token}"]), without)


def test_what_is_refused(tmp_path, folder):
    two = shared(tmp_path / "two", {"<a>": torch.zeros(16), "<b>": torch.zeros(16)})
    with pytest.raises(Prior3dError, match="found 2 words"):
        load_concept(two)
    with pytest.raises(Prior3dError, match="values that are not finite"):
        load_concept(shared(tmp_path / "broken", {"<a>": torch.full((16,), torch.nan)}))
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "learned_embeds.bin").write_bytes(b"x")
    with pytest.raises(Prior3dError, match="a pickle, which can run code and is never opened; convert it"):
        load_concept(tmp_path / "pickled")
    wide = load_concept(shared(tmp_path / "wide", {"<a>": torch.zeros(768)}))
    with pytest.raises(Prior3dError, match="its embeddings are 768 wide, the prior's text encoder is 16 wide"):
        add_concept(load_text_to_image(folder, torch.device("cpu")), wide)
