"""The scorer's training: what is no negative, that it learns, goes on after a kill, and is a CLIP folder."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPModel, CLIPProcessor

from prior3d.diffusion.scorer import load_scorer
from prior3d.toyworld.objects import kind_of_caption
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.compositing import composite
from stages.training.datasets.pairs import draw_pairs
from stages.training.datasets.tokenizer import build_tokenizer
from stages.training.scorer import FOLDER, Params, stage
from stages.training.scorer.losses import contrastive_loss, image_features, patches_to_see
from stages.training.trainer import Trainer
from tests.toy_training import training_job, write_world

TINY = {"batch": 16, "width": 32, "vision_layers": 2, "text_layers": 1, "patch": 4, "threads": 1, "learning_rate": 2e-3}


@pytest.fixture
def project(tmp_path):
    write_world(tmp_path / "data/world")
    return tmp_path


def train(project, key="key", **params):
    stage.run(training_job(project, "scorer", key, world="data/world"), Params(**TINY | params))


def test_pairs_with_the_same_caption_are_no_negatives():
    logits = torch.tensor([[2.0, 9.0, 0.0], [9.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    loss = contrastive_loss(logits, ["a red ball", "a red ball", "a cube"])
    row = [math.log(1 + math.exp(-2.0)), math.log(1 + math.exp(-1.0)), math.log(1 + 2 * math.exp(-3.0))]
    assert loss.item() == pytest.approx(sum(row) / 3, abs=1e-6)  # symmetric, so rows and columns cost the same
    apart = contrastive_loss(logits, ["a red ball", "a blue ball", "a cube"])
    assert apart > 4


def test_the_model_is_small():
    models = stage.build(Params(), build_tokenizer(), 64)
    assert sum(p.numel() for model in models.values() for p in model.parameters()) <= 1_500_000


def test_it_learns_which_caption_is_whose_and_loads_as_a_clip_folder(project, capsys):
    train(project, steps=260)
    assert '"step": 241' in capsys.readouterr().out
    world = RenderedDataset(project / "data/world", "held-out")
    images = composite(torch.from_numpy(world.rgba), torch.ones(len(world), 3))
    trained = load_scorer(project / FOLDER, torch.device("cpu"))
    own = torch.arange(len(world)) // 2
    assert trained.r_precision(images, own, world.captions) >= 0.9
    untrained = load_scorer(_untrained(project / "untrained"), torch.device("cpu"))
    assert untrained.r_precision(images, own, world.captions) < 0.5
    processor = CLIPProcessor.from_pretrained(project / FOLDER)
    picture = (images[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    inputs = processor(text=world.captions, images=picture, return_tensors="pt", padding=True)
    with torch.no_grad():
        theirs = CLIPModel.from_pretrained(project / FOLDER, dtype=torch.float32)(**inputs)
    ours = trained.similarity(images[:1], world.captions)
    torch.testing.assert_close(theirs.image_embeds @ theirs.text_embeds.T, ours, atol=1e-3, rtol=1e-3)
    assert trained.view_logits(images[:3]).shape == (3, 4)


def _untrained(folder):
    tokenizer = build_tokenizer()
    torch.manual_seed(1)
    stage.build(Params(**TINY), tokenizer, 32)["clip"].save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text("{}")
    return folder


def test_a_training_that_was_killed_ends_in_the_same_bits(project, monkeypatch):
    train(project, "straight", steps=6)
    weights = project / FOLDER / "model.safetensors"
    straight = weights.read_bytes()
    weights.unlink()
    whole, calls = stage.pair_loss, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "pair_loss", killed)
        patch.setattr(Trainer, "update", _update_and_save(Trainer.update))
        train(project, "killed", steps=6)
    assert not weights.exists()
    train(project, "killed", steps=6)
    assert weights.read_bytes() == straight


def _update_and_save(update):
    def saving(trainer, loss):
        update(trainer, loss)
        trainer.save()

    return saving


def test_a_warm_start_begins_with_the_weights_on_disk_and_counts_their_samples(project):
    train(project, "first", steps=3)
    before = load_file(project / FOLDER / "model.safetensors")
    train(project, "second", steps=1, warm_start=True, learning_rate=1e-9)
    after = load_file(project / FOLDER / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert '"samples_before": 48' in (project / FOLDER / "training.json").read_text()


def test_patches_without_object_are_left_out_first():
    alpha = torch.zeros(2, 1, 32, 32)
    alpha[0, :, 8:16, 8:12] = 1  # two patches, the second in the row below
    alpha[1] = 1
    generator = torch.Generator().manual_seed(0)
    seen = patches_to_see(alpha, Params(patch=4, patches_seen=0.25), generator)
    assert seen.shape == (2, 16)
    assert all(len(set(row.tolist())) == 16 for row in seen)
    assert {2 * 8 + 2, 3 * 8 + 2} <= set(seen[0].tolist())
    again = patches_to_see(alpha, Params(patch=4, patches_seen=0.25), generator)
    assert set(seen[0].tolist()) != set(again[0].tolist()), "the others are drawn anew"


def test_seeing_all_patches_is_what_the_model_itself_does_and_order_is_nothing():
    torch.manual_seed(0)
    vision = stage.build(Params(**TINY), build_tokenizer(), 32)["clip"].vision_model
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        theirs = vision(pixel_values=pixels).pooler_output
        torch.testing.assert_close(image_features(vision, pixels, None), theirs)
        shuffled = torch.randperm(64).expand(2, -1)
        torch.testing.assert_close(image_features(vision, pixels, shuffled), theirs, atol=1e-5, rtol=1e-5)
        part = image_features(vision, pixels, shuffled[:, :9])
    assert not torch.allclose(part, theirs, atol=1e-3)


def test_the_mask_of_a_mirrored_picture_is_mirrored_with_it(project):
    world = RenderedDataset(project / "data/world", "train")
    batch = draw_pairs(world, 32, 0.0, 0.0, torch.Generator().manual_seed(0))
    corner = batch.images[:, :, :1, :1]
    differs = (batch.images - corner).abs().amax(dim=1, keepdim=True) > 0.02
    assert not (differs & (batch.alpha == 0)).any()


def test_the_kind_of_a_caption():
    assert kind_of_caption("a fir tree with a red trunk").noun == "fir tree"
    assert kind_of_caption("an orange ice cream with a red cone").noun == "ice cream"
    assert kind_of_caption("a snowman").front
    with pytest.raises(ValueError, match="'a dragon' names no category"):
        kind_of_caption("a dragon")
