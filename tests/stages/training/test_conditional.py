"""Trainings of the inpainting and the instruct prior: how they begin, go on, and what comes out."""

import json
import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionInstructPix2PixPipeline
from transformers import CLIPTextModel

from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.loading import load_inpainting, load_instruct, load_text_to_image
from stages.training import conditional, inpainting, instruct, masks
from stages.training.common import Edits, Trainer, World
from stages.training.conditional_scores import inpainting_scores, instruct_scores, psnr_where
from stages.training.text_to_image import tokenize, v_loss
from stages.training.tokenizer import build_tokenizer
from tests.tiny_prior import write_tiny_prior
from tests.toy_training import write_world

TINY = {"batch": 4, "threads": 1, "steps": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A toy prior of tiny width that takes cameras, a world and edits, all at 64 x 64."""
    root = tmp_path_factory.mktemp("data")
    write_tiny_prior(root / "data/priors/toy", camera=True, sample_size=16, prediction_type="v_prediction")
    shutil.rmtree(root / "data/priors/toy/tokenizer-source")
    _give_toy_words(root / "data/priors/toy")
    world = write_world(root / "data/world", size=64)
    edits = root / "data/edits"
    edits.mkdir()
    for split in ("train", "held-out"):
        shutil.copy(world / f"{split}.rgba.npy", edits)
        shutil.copy(world / f"{split}.views.npy", edits)
        kinds = ("colour", "pattern", "category", "colour") * 2
        told = [f"make it {colour}" for colour in ("red", "blue", "green", "yellow", "white", "black", "grey", "pink")]
        records = [
            {"kind": kind, "instruction": words, "before": "a ball", "after": "a red ball"}
            for kind, words in zip(kinds, told, strict=True)
        ]
        (edits / f"{split}.edits.json").write_text(json.dumps(records))
    return root


def _give_toy_words(toy):
    """The toy world's tokenizer, which can spell any word, and a text encoder with as many rows."""
    tokenizer = build_tokenizer()
    tokenizer.model_max_length = 16
    tokenizer.save_pretrained(toy / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(toy / "text_encoder")
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    encoder.save_pretrained(toy / "text_encoder")


@pytest.fixture
def project(data, tmp_path, monkeypatch):
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for module in (inpainting, instruct):  # ten pictures of twenty-odd steps take long
        monkeypatch.setattr(module, "demonstration", partial(module.demonstration, n=2, n_steps=2))
    return tmp_path


@pytest.mark.parametrize("channels", [8, 9])
def test_at_first_it_predicts_what_the_text_to_image_model_does(project, channels):
    toy = load_text_to_image(conditional.TOY, torch.device("cpu"))
    unet = conditional.open_unet(conditional.TOY / "unet", channels)
    seen = torch.randn(2, channels, 16, 16, generator=torch.Generator().manual_seed(0))
    rest = torch.tensor([3, 900]), toy.embed(["a red", "a cube"]), torch.ones(2, 16)
    with torch.no_grad():
        was, now = (net(x, *rest).sample for net, x in ((toy.diffusion.unet, seen[:, :4]), (unet, seen)))
    torch.testing.assert_close(now, was, atol=1e-5, rtol=1e-5)


def test_inpainting_is_a_whole_pipeline_whose_frozen_parts_are_the_toy_priors(project, capsys):
    inpainting.train(inpainting.Params(**TINY))
    assert '"step": 0, "total": 2' in capsys.readouterr().out
    for file in ("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        assert (inpainting.OUT / file).read_bytes() == (conditional.TOY / file).read_bytes()
    prior = load_inpainting(inpainting.OUT, torch.device("cpu"))
    assert prior.camera_conditioned and prior.diffusion.unet.conv_in.weight[:, 4:].abs().max() > 0
    theirs = StableDiffusionInpaintPipeline.from_pretrained(inpainting.OUT)
    assert theirs.unet.config.in_channels == 9
    assert json.loads((inpainting.OUT / "training.json").read_text())["samples"] == 8
    assert (inpainting.WORK / "samples.png").is_file()
    scores = inpainting_scores(prior, World(project / "data/world", "held-out"), 4, n_steps=2)
    assert set(scores) == {"hole_psnr_db", "object_in_hole_psnr_db", "known_psnr_db", "vae_known_psnr_db"}
    assert all(0 < score < 60 for score in scores.values())


def test_instruct_knows_the_words_of_instructions_and_trains_the_text_encoder(project):
    instruct.train(instruct.Params(**TINY))
    prior = load_instruct(instruct.OUT, torch.device("cpu"))
    assert prior.unknown_words("turn the ball into a cube") == []
    assert load_text_to_image(conditional.TOY, torch.device("cpu")).unknown_words("turn it red") == ["turn", "it"]
    assert StableDiffusionInstructPix2PixPipeline.from_pretrained(instruct.OUT).unet.config.in_channels == 8
    scores = instruct_scores(prior, Edits(project / "data/edits", "held-out"), 4, n_steps=2)
    assert scores["nothing_done_psnr_db"] < 40 and all(0 < score < 60 for score in scores.values())


@pytest.mark.slow
@pytest.mark.parametrize("module", [inpainting, instruct])
def test_a_training_that_was_killed_ends_in_the_same_bits(module, project, monkeypatch):
    params = module.Params(**TINY | {"steps": 3})
    module.train(params)
    weights = module.OUT / "unet/diffusion_pytorch_model.safetensors"
    straight = weights.read_bytes()
    shutil.rmtree(module.WORK)
    shutil.rmtree(module.OUT)
    update = Trainer.update

    def killed(trainer, loss):
        update(trainer, loss)
        trainer.save()
        if trainer.step == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        module.train(params)
    monkeypatch.setattr(Trainer, "update", update)
    module.train(params)
    assert weights.read_bytes() == straight


def test_a_warm_start_begins_with_its_own_weights_and_counts_their_samples(project):
    from safetensors.torch import load_file

    instruct.train(instruct.Params(**TINY))
    before = load_file(instruct.OUT / "unet/diffusion_pytorch_model.safetensors")
    shutil.rmtree(instruct.WORK)
    instruct.train(instruct.Params(**TINY | {"steps": 1, "learning_rate": 1e-9, "warm_start": True}))
    after = load_file(instruct.OUT / "unet/diffusion_pytorch_model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    facts = json.loads((instruct.OUT / "training.json").read_text())
    assert (facts["samples"], facts["samples_before"]) == (4, 8)


def test_what_is_dropped_is_dropped_alone_or_with_the_other(project):
    edits = Edits(project / "data/edits", "train")

    class Ones:
        def __getitem__(self, index):
            return torch.ones(len(index[0]), 4, 16, 16)

    params = instruct.Params(batch=6000, drop_instruction=0.1, drop_image=0.2, drop_both=0.3, drop_camera=0.4)
    told = instruct.ToldEdits(edits, build_tokenizer(), "cpu")
    _, tokens, camera, condition = instruct.draw_batch(Ones(), told, params, torch.Generator().manual_seed(0))
    text, image = (tokens == told.tokens[0]).all(dim=1).numpy(), (condition.amax(dim=(1, 2, 3)) == 0).numpy()
    assert (text & ~image).mean() == pytest.approx(0.1, abs=0.02)
    assert (image & ~text).mean() == pytest.approx(0.2, abs=0.02)
    assert (image & text).mean() == pytest.approx(0.3, abs=0.025)
    assert (camera == 0).all(dim=1).float().mean() == pytest.approx(0.4, abs=0.03)


def test_everything_in_a_batch_of_edits_is_of_the_same_pair(project):
    edits, tokenizer = Edits(project / "data/edits", "train"), build_tokenizer()

    class Numbers:
        """In place of latents, the number of the image."""

        def __getitem__(self, index):
            return index[0].float().view(-1, 1, 1, 1).expand(-1, 4, 16, 16)

    params = instruct.Params(batch=40, drop_instruction=0, drop_image=0, drop_both=0, drop_camera=0)
    told = instruct.ToldEdits(edits, tokenizer, "cpu")
    after, tokens, camera, before = instruct.draw_batch(Numbers(), told, params, torch.Generator().manual_seed(0))
    pair = (before[:, 0, 0, 0] / 2).long()
    assert len(pair.unique()) > 4 and torch.equal(after, before + 1)
    assert torch.equal(tokens, tokenize(tokenizer, [edits.record(p)["instruction"] for p in pair.tolist()]))
    views = torch.from_numpy(edits.views)[2 * pair]
    assert torch.equal(camera, camera_embedding(views[:, 0], views[:, 1]))


@pytest.mark.parametrize(("power", "mean"), [(1.0, 0.5), (0.5, 2 / 3)])
def test_a_power_below_one_draws_strong_noise_more_often(power, mean):
    seen = []

    def unet(noisy, timesteps, text, class_labels):
        seen.append(timesteps)
        return SimpleNamespace(sample=torch.zeros_like(noisy[:, :4]))

    latents = torch.ones(512, 4, 2, 2)
    generator = torch.Generator().manual_seed(0)
    v_loss(unet, torch.zeros(512, 1, 1), latents, torch.zeros(512, 1), torch.ones(1000), generator, None, power)
    assert seen[0].float().mean() / 1000 == pytest.approx(mean, abs=0.01)  # of u^power: 1 / (power + 1)
    assert seen[0].min() >= 0 and seen[0].max() <= 999


def test_masks_are_holes_of_every_kind():
    alpha = torch.zeros(64, 64)
    alpha[16:48, 20:40] = 1
    generator = torch.Generator().manual_seed(0)
    for kind in (masks.half, masks.box, masks.outside_box, masks.strokes, masks.patch):
        drawn = torch.stack([kind(alpha, generator) for _ in range(40)])
        assert drawn.dtype == torch.bool and 0.02 < drawn.float().mean() < 0.9
    halves = torch.stack([masks.half(alpha, generator) for _ in range(40)])[:, alpha > 0].float().mean(dim=1)
    assert 0.4 < halves.mean() < 0.6 and halves.min() > 0.1 and halves.max() < 0.9
    patches = torch.stack([masks.patch(alpha, generator) for _ in range(40)])
    assert not patches[:, :10].any(), "a patch lies on the object"
    many = masks.random_masks(alpha.expand(30, -1, -1), generator)
    assert many.shape == (30, 1, 64, 64) and set(many.unique().tolist()) == {0.0, 1.0}


def test_psnr_of_some_pixels():
    first, second = torch.zeros(2, 3, 2, 2), torch.zeros(2, 3, 2, 2)
    second[0, :, 0, 0], second[0, :, 1, 1] = 0.1, 0.9
    where = torch.zeros(2, 1, 2, 2, dtype=torch.bool)
    where[0, 0, 0, :] = True
    # squared errors 0.01 and 0 in the two pixels that count; the second image has none
    assert psnr_where(first, second, where) == pytest.approx(-10 * np.log10(0.005), abs=1e-4)
