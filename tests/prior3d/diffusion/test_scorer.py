"""Scores against hand-computed values, and every way in which a scorer's folder can be broken."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from prior3d.diffusion.scorer import direction_cosine, load_scorer, retrieval_precision
from prior3d.errors import Prior3dError
from tests.tiny_scorer import write_tiny_scorer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return write_tiny_scorer(tmp_path_factory.mktemp("scorers") / "intact")


@pytest.fixture
def folder(intact, tmp_path):
    return shutil.copytree(intact, tmp_path / "scorer")


def images(n, side=16):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(n))


def test_retrieval_by_hand():
    similarity = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.1, 0.3], [0.0, 0.8, 0.7], [0.5, 0.4, 0.45]])
    assert retrieval_precision(similarity, torch.tensor([0, 2, 2, 0])) == 0.75


def test_many_texts_are_embedded_as_each_by_itself(intact):
    scorer = load_scorer(intact, CPU)
    texts = ["a red ball", "ball", "a red cube, front view", "a red ball"]
    assert torch.allclose(scorer.embed_many_texts(texts, at_once=3), scorer.embed_texts(texts), atol=1e-6)


def test_directions_by_hand():
    before, after = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]]), torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    cosines = direction_cosine(before, after, torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]))
    assert cosines.tolist() == pytest.approx([1.0, -0.5, 0.0])


def test_similarities_are_cosines(intact):
    scorer = load_scorer(intact, CPU)
    pictures, texts = images(3), ["a red ball", "a cube"]
    similarity = scorer.similarity(pictures, texts)
    assert similarity.shape == (3, 2) and similarity.abs().max() <= 1
    features = scorer.model.get_image_features(pixel_values=scorer._pixels(pictures)).pooler_output
    words = scorer.embed_texts(["a cube"])[0]
    expected = (features[1] / features[1].norm()) @ words
    assert similarity[1, 1].item() == pytest.approx(expected.item(), abs=1e-6)
    assert scorer.image_similarity(pictures, pictures).tolist() == pytest.approx([1, 1, 1])
    nearest = similarity.argmax(1)
    assert scorer.r_precision(pictures, nearest, texts) == 1
    assert scorer.r_precision(pictures, 1 - nearest, texts) == 0
    ways = scorer.directional_similarity(pictures, pictures.flip(0), *texts)
    e, t = scorer.embed_images(pictures), scorer.embed_texts(texts)
    change, words = e[2] - e[0], t[1] - t[0]
    assert ways[0].item() == pytest.approx((change @ words / change.norm() / words.norm()).item(), abs=1e-5)
    assert ways[1].item() == 0  # the middle image stays itself


def test_agrees_with_transformers(intact):
    from transformers import CLIPModel, CLIPProcessor

    picture = (images(1)[0].permute(1, 2, 0) * 255).round().byte()
    inputs = CLIPProcessor.from_pretrained(intact)(text=["a red cube"], images=picture.numpy(), return_tensors="pt")
    with torch.no_grad():
        theirs = CLIPModel.from_pretrained(intact)(**inputs)
    ours = load_scorer(intact, CPU).similarity(picture.permute(2, 0, 1)[None] / 255, ["a red cube"])
    torch.testing.assert_close(theirs.image_embeds @ theirs.text_embeds.T, ours, atol=1e-5, rtol=1e-5)


def test_gradients_reach_images_of_any_size(intact):
    pictures = images(1, 40).requires_grad_()
    load_scorer(intact, CPU).similarity(pictures, ["a cube"]).sum().backward()
    assert pictures.grad.abs().sum() > 0


def test_oblong_images_and_missing_view_head(intact):
    scorer = load_scorer(intact, CPU)
    with pytest.raises(Prior3dError, match=r"images of \(16, 20\) pixels; crop or pad"):
        scorer.embed_images(torch.zeros(1, 3, 16, 20))
    with pytest.raises(Prior3dError, match="no view_head.safetensors"):
        scorer.view_logits(images(1))


def test_view_head_by_hand(folder):
    save_file({"weight": torch.zeros(4, 16), "bias": torch.arange(4.0)}, folder / "view_head.safetensors")
    assert load_scorer(folder, CPU).view_logits(images(1)).tolist() == [[0, 1, 2, 3]]
    save_file({"weight": torch.zeros(4, 15), "bias": torch.zeros(4)}, folder / "view_head.safetensors")
    with pytest.raises(Prior3dError, match=r"not a view head of this model \(16 wide\)"):
        load_scorer(folder, CPU)


def test_broken_folders(folder, tmp_path):
    with pytest.raises(Prior3dError, match="nowhere: no such folder"):
        load_scorer(tmp_path / "nowhere", CPU)
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k != "logit_scale"}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(Prior3dError, match="missing keys logit_scale"):
        load_scorer(folder, CPU)
    weights["logit_scale"] = torch.tensor(float("nan"))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(Prior3dError, match="logit_scale holds values that are not finite"):
        load_scorer(folder, CPU)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-7])
    with pytest.raises(Prior3dError, match="not a whole safetensors file"):
        load_scorer(folder, CPU)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Prior3dError, match="no model.safetensors .pickle files are never opened"):
        load_scorer(folder, CPU)


def test_folders_of_another_kind(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "bert"}))
    with pytest.raises(Prior3dError, match="model_type 'bert', not 'clip'"):
        load_scorer(folder, CPU)
    (folder / "config.json").write_text("[]")
    with pytest.raises(Prior3dError, match="a JSON object is needed, found list"):
        load_scorer(folder, CPU)
    (folder / "config.json").unlink()
    with pytest.raises(Prior3dError, match="config.json: cannot be read"):
        load_scorer(folder, CPU)


def test_no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    with pytest.raises(Prior3dError, match="lacks tokenizer.json"):
        load_scorer(folder, CPU)
