"""Training on the wider world: its sets on disk, new words, and families that begin with the toy family's weights."""

import json

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from prior3d.errors import Prior3dError
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.pairs import draw_pairs, has_front
from stages.training.datasets.rendering import RenderSettings
from stages.training.datasets.sets import RING
from stages.training.datasets.texts import CaptionedDataset, said_of
from stages.training.datasets.tokenizer import build_tokenizer, new_words, with_words
from stages.training.datasets.wide_sets import RealSource, Shares, render_wide_sets
from stages.training.families import begin_with_oldest, family_folder
from stages.training.joint_views import FOLDER as JOINT
from stages.training.render_wide import stage as render_wide
from stages.training.scorer.stage import grow
from stages.training.text_to_image import FOLDER as TOY
from stages.training.vae import FOLDER as VAE
from stages.training.vae import Params as VaeParams
from stages.training.vae import stage as vae_stage
from tests.toy_training import training_job, write_world


@pytest.fixture
def wide(tmp_path):
    """Eight held-out and twenty training sets of the wider world, without real objects."""
    pytest.importorskip("numba")
    for split, n in (("train", 20), ("held-out", 8)):
        settings = RenderSettings(n_views=6, size=32, chunk=4)
        render_wide_sets(tmp_path / "wide", split, n, Shares(), RealSource(tmp_path), settings)
    return tmp_path / "wide"


def test_sets_have_a_ring_and_captions_or_none(wide):
    dataset = RenderedDataset(wide, "train")
    assert dataset.rgba.shape == (120, 32, 32, 4) and dataset.rgba[..., 3].mean() > 5
    azimuth = dataset.views[:RING, 0]
    assert np.diff(np.sort(azimuth)) == pytest.approx([90.0] * 3, abs=1e-3)
    silent = [caption == "" for caption in dataset.captions]
    assert 2 < sum(silent) < 18 and all(c.startswith(("a ", "an ")) for c in dataset.captions if c)
    assert (dataset.rgba[..., :3] <= dataset.rgba[..., 3:]).all()  # premultiplied


def test_of_a_thing_without_a_name_view_and_background_are_said(wide):
    assert said_of("", "front view", "white") == "front view, white background"
    assert said_of("", None, None) == "" and said_of("a cat", "front view", None) == "a cat, front view"
    dataset = RenderedDataset(wide, "train")
    tokenizer = with_words(build_tokenizer(), new_words(build_tokenizer(), dataset.captions))
    captions = CaptionedDataset(dataset, tokenizer, "cpu")
    assert captions.rows.shape == (120, 2, 4)
    assert not new_words(tokenizer, dataset.captions)


def test_new_words_come_behind_the_known():
    tokenizer = build_tokenizer()
    words = new_words(tokenizer, ["a red giraffe", "a grey rubik's cube and a teapot"])
    assert words == ["giraffe", "rubik", "teapot"]
    grown = with_words(tokenizer, words)
    text = "a red mushroom with white dots"
    assert grown(text).input_ids == tokenizer(text).input_ids
    assert len(grown("a giraffe").input_ids) == len(grown("a car").input_ids)


def test_pairs_are_judged_small_and_real_kinds_have_no_known_front(wide):
    assert has_front("a red double bus") and has_front("a blue cat with red ears")
    assert not has_front("a white refrigerator") and not has_front("")
    world = RenderedDataset(wide, "train")
    world.rgba = np.repeat(np.repeat(world.rgba, 4, axis=1), 4, axis=2)  # 128 pixels
    batch = draw_pairs(world, 6, 0.5, 0.01, torch.Generator().manual_seed(0))
    assert batch.images.shape == (6, 3, 64, 64) and batch.alpha.shape == (6, 1, 64, 64)


def test_a_scorer_grows_and_keeps_its_words():
    shape = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**shape, "vocab_size": 20, "max_position_embeddings": 8, "eos_token_id": 2, "bos_token_id": 1}
    vision = {**shape, "image_size": 16, "patch_size": 8}
    clip = CLIPModel(CLIPConfig(projection_dim=8, text_config=text, vision_config=vision)).eval()
    tokens = torch.tensor([[1, 7, 9, 2]])
    with torch.no_grad():
        before = clip.get_text_features(input_ids=tokens).pooler_output
        grow(clip, 27)
        assert torch.equal(clip.get_text_features(input_ids=tokens).pooler_output, before)
        assert clip.get_text_features(input_ids=torch.tensor([[1, 26, 2]])).pooler_output.isfinite().all()
    assert clip.config.text_config.vocab_size == 27


def test_families_lie_side_by_side_and_begin_with_the_oldest(tmp_path):
    assert family_folder(tmp_path, VAE, "toy") == tmp_path / VAE
    assert family_folder(tmp_path, VAE, "wide") == tmp_path / "data/priors/wide/vae"
    assert family_folder(tmp_path, JOINT, "wide") == tmp_path / "data/priors/wide-mv"
    with pytest.raises(Prior3dError, match="write it in letters and numbers"):
        family_folder(tmp_path, VAE, "../up")
    (tmp_path / TOY / "unet").mkdir(parents=True)
    (tmp_path / TOY / "unet/w").write_text("old")
    wide = begin_with_oldest(tmp_path, TOY, "wide", ("unet",))
    (wide / "unet/w").write_text("new")
    begin_with_oldest(tmp_path, TOY, "wide", ("unet",))
    assert (wide / "unet/w").read_text() == "new" and (tmp_path / TOY / "unet/w").read_text() == "old"


def test_an_autoencoder_of_another_family_leaves_the_toy_one_alone(tmp_path):
    write_world(tmp_path / "data/world")
    small = {"channels": (8, 16, 16), "batch": 2, "threads": 1, "steps": 2, "crop_share": 0.0}
    vae_stage.run(training_job(tmp_path, "training.vae", "a", world="data/world"), VaeParams(**small))
    weights = tmp_path / VAE / "diffusion_pytorch_model.safetensors"
    before = weights.read_bytes()
    params = VaeParams(**small, family="wide", warm_start=True)
    vae_stage.run(training_job(tmp_path, "training.vae", "b", world="data/world"), params)
    other = family_folder(tmp_path, VAE, "wide") / weights.name
    assert weights.read_bytes() == before != other.read_bytes()


def test_the_stage_needs_real_objects_only_if_it_draws_them(tmp_path):
    pytest.importorskip("numba")
    counts = {
        "train_objects": 20,
        "held_out_objects": 20,
        "train_views": 6,
        "held_out_views": 6,
        "size": 16,
        "workers": 1,
    }
    job = training_job(tmp_path, "training.render_wide")
    with pytest.raises(Prior3dError, match="priors fetch-objects"):
        render_wide.run(job, render_wide.Params(**counts))
    render_wide.run(job, render_wide.Params(**counts, real_share=0.0))
    assert len(json.loads((tmp_path / "data/wide/train.captions.json").read_text())) == 20
