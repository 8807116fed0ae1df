"""Trainings of the inpainting and the instruct prior: how they begin, go on, and what comes out."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionInstructPix2PixPipeline
from safetensors.torch import load_file

from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.diffusion.inpainting import load_inpainting
from prior3d.diffusion.instruct import load_instruct
from prior3d.diffusion.text_to_image import load_text_to_image
from stages.artifacts.datasets import EditDataset, RenderedDataset
from stages.training import conditional, inpainting, instruct
from stages.training.datasets import masks
from stages.training.datasets.texts import InstructionDataset, tokenize
from stages.training.datasets.tokenizer import build_tokenizer
from stages.training.diffusion_loss import v_loss, v_schedule
from stages.training.inpainting import stage as inpainting_stage
from stages.training.instruct import stage as instruct_stage
from stages.training.scores.inpainting import inpainting_scores
from stages.training.scores.instruct import instruct_scores
from stages.training.scores.pixels import psnr_where
from stages.training.trainer import Trainer
from tests.tiny_prior import write_tiny_prior
from tests.toy_training import give_toy_words, training_job, write_world

TINY = {"batch": 4, "threads": 1, "steps": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A toy prior of tiny width that takes cameras, a world and edits, all at 64 x 64."""
    root = tmp_path_factory.mktemp("data")
    write_tiny_prior(root / "data/priors/toy", camera=True, sample_size=16, prediction_type="v_prediction")
    shutil.rmtree(root / "data/priors/toy/tokenizer-source")
    give_toy_words(root / "data/priors/toy")
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


@pytest.fixture
def project(data, tmp_path, monkeypatch):
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    for module in (inpainting_stage, instruct_stage):  # ten images of twenty-odd steps take long
        sheet = module.sample_sheet
        monkeypatch.setattr(module, "sample_sheet", lambda prior, held_out, sheet=sheet: sheet(prior, held_out, 2, 2))
    return tmp_path


def train(project, name, key="key", **params):
    """Train an inpainting or an instruct prior; the folder that it is in."""
    declared, module = {
        "inpainting": (inpainting, inpainting_stage),
        "instruct": (instruct, instruct_stage),
    }[name]
    data = {"world": "data/world"} if name == "inpainting" else {"edits": "data/edits"}
    job = training_job(project, name, key, text_to_image="data/priors/toy", **data)
    module.run(job, declared.Params(**TINY | params))
    return project / declared.FOLDER


@pytest.mark.parametrize("channels", [8, 9])
def test_at_first_it_predicts_what_the_text_to_image_model_does(project, channels):
    folder = project / "data/priors/toy"
    toy = load_text_to_image(folder, torch.device("cpu"))
    unet = conditional.open_unet(folder / "unet", channels)
    seen = torch.randn(2, channels, 16, 16, generator=torch.Generator().manual_seed(0))
    rest = torch.tensor([3, 900]), toy.embed(["a red", "a cube"]), torch.ones(2, 16)
    with torch.no_grad():
        was, now = (net(x, *rest).sample for net, x in ((toy.diffusion.unet, seen[:, :4]), (unet, seen)))
    torch.testing.assert_close(now, was, atol=1e-5, rtol=1e-5)


def test_inpainting_is_a_whole_pipeline_whose_frozen_parts_are_the_toy_priors(project, capsys):
    folder = train(project, "inpainting")
    assert '"step": 1, "total": 2' in capsys.readouterr().out
    for file in ("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        assert (folder / file).read_bytes() == (project / "data/priors/toy" / file).read_bytes()
    prior = load_inpainting(folder, torch.device("cpu"))
    assert prior.camera_conditioned and prior.diffusion.unet.conv_in.weight[:, 4:].abs().max() > 0
    theirs = StableDiffusionInpaintPipeline.from_pretrained(folder)
    assert theirs.unet.config.in_channels == 9
    assert json.loads((folder / "training.json").read_text())["samples"] == 8
    assert (project / ".work/training/inpainting/key/samples.png").is_file()
    scores = inpainting_scores(prior, RenderedDataset(project / "data/world", "held-out"), 4, n_steps=2)
    assert set(scores) == {"hole_psnr_db", "object_in_hole_psnr_db", "known_psnr_db", "vae_known_psnr_db"}
    assert all(0 < score < 60 for score in scores.values())


def test_instruct_knows_the_words_of_instructions_and_trains_the_text_encoder(project):
    folder = train(project, "instruct")
    prior = load_instruct(folder, torch.device("cpu"))
    assert prior.unknown_words("turn the ball into a cube") == []
    toy = load_text_to_image(project / "data/priors/toy", torch.device("cpu"))
    assert toy.unknown_words("turn it red") == ["turn", "it"]
    assert StableDiffusionInstructPix2PixPipeline.from_pretrained(folder).unet.config.in_channels == 8
    scores = instruct_scores(prior, EditDataset(project / "data/edits", "held-out"), 4, n_steps=2)
    assert scores["nothing_done_psnr_db"] < 40 and all(0 < score < 60 for score in scores.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inpainting", "instruct"])
def test_a_training_that_was_killed_ends_in_the_same_bits(name, project, monkeypatch):
    weights = train(project, name, "straight", steps=3) / "unet/diffusion_pytorch_model.safetensors"
    straight = weights.read_bytes()
    shutil.rmtree(weights.parents[1])
    update = Trainer.update

    def killed(trainer, loss):
        update(trainer, loss)
        trainer.save()
        if trainer.step == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "update", killed)
        train(project, name, "killed", steps=3)
    train(project, name, "killed", steps=3)
    assert weights.read_bytes() == straight


def test_a_warm_start_begins_with_its_own_weights_and_counts_their_samples(project):
    folder = train(project, "instruct", "first")
    before = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    train(project, "instruct", "second", steps=1, learning_rate=1e-9, warm_start=True)
    after = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    facts = json.loads((folder / "training.json").read_text())
    assert (facts["samples"], facts["samples_before"]) == (4, 8)


def test_what_is_dropped_is_dropped_alone_or_with_the_other(project):
    edits = EditDataset(project / "data/edits", "train")

    class Ones:
        def __getitem__(self, index):
            return torch.ones(len(index[0]), 4, 16, 16)

    params = instruct.Params(batch=6000, drop_instruction=0.1, drop_image=0.2, drop_both=0.3, drop_camera=0.4)
    instructions = InstructionDataset(edits, build_tokenizer(), "cpu")
    generator = torch.Generator().manual_seed(0)
    _, tokens, camera, condition = instruct_stage.draw_batch(Ones(), instructions, params, generator)
    text, image = (tokens == instructions.tokens[0]).all(dim=1).numpy(), (condition.amax(dim=(1, 2, 3)) == 0).numpy()
    assert (text & ~image).mean() == pytest.approx(0.1, abs=0.02)
    assert (image & ~text).mean() == pytest.approx(0.2, abs=0.02)
    assert (image & text).mean() == pytest.approx(0.3, abs=0.025)
    assert (camera == 0).all(dim=1).float().mean() == pytest.approx(0.4, abs=0.03)


def test_everything_in_a_batch_of_edits_is_of_the_same_pair(project):
    edits, tokenizer = EditDataset(project / "data/edits", "train"), build_tokenizer()

    class Numbers:
        """In place of latents, the number of the image."""

        def __getitem__(self, index):
            return index[0].float().view(-1, 1, 1, 1).expand(-1, 4, 16, 16)

    params = instruct.Params(batch=40, drop_instruction=0, drop_image=0, drop_both=0, drop_camera=0)
    instructions = InstructionDataset(edits, tokenizer, "cpu")
    generator = torch.Generator().manual_seed(0)
    after, tokens, camera, before = instruct_stage.draw_batch(Numbers(), instructions, params, generator)
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
    conditioning = torch.zeros(512, 1, 1), torch.zeros(512, 1)
    v_loss(unet, conditioning, latents, v_schedule("cpu"), generator, timestep_power=power)
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
