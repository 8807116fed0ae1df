import json
import os
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from prior3d.toyworld.objects import sample_object
from stages.training import common
from stages.training.common import Trainer, World, composite, load_weights, schedule
from stages.training.text_to_image import samples_seen
from stages.training.tokenizer import MAX_TOKENS, build_tokenizer, vocabulary, with_words
from stages.training.vae import build, random_crop, whiten


def test_every_word_of_the_toy_world_is_one_token_and_unknown_words_fall_apart():
    tokenizer = build_tokenizer()
    assert all(len(tokenizer.tokenize(word)) == 1 for word in vocabulary())
    assert len(tokenizer.tokenize("zebra")) > 1
    assert tokenizer.model_max_length == MAX_TOKENS
    longest = max((sample_object(0, i).caption for i in range(200)), key=len)
    ids = tokenizer(f"{longest}, overhead view, white background").input_ids
    assert len(ids) < MAX_TOKENS and tokenizer.decode(ids, skip_special_tokens=True).startswith(longest.split()[0])


def test_every_process_gives_a_word_the_same_number():
    build = (
        "import json; from stages.training.tokenizer import build_tokenizer as b; print(json.dumps(b().get_vocab()))"
    )
    here = build_tokenizer().get_vocab()
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        said = subprocess.run([sys.executable, "-c", build], env=env, capture_output=True, text=True, check=True).stdout
        assert json.loads(said) == here


def test_new_words_leave_the_old_ones_their_numbers(tmp_path):
    from transformers import CLIPTokenizer

    old = build_tokenizer()
    old.save_pretrained(tmp_path)
    words = ["make", "it", "paint", "remove", "turn", "into"]
    for tokenizer in (old, CLIPTokenizer.from_pretrained(tmp_path)):
        new = with_words(tokenizer, words)
        assert all(len(new.tokenize(word)) == 1 for word in [*words, *vocabulary()])
        assert all(new.get_vocab()[entry] == number for entry, number in old.get_vocab().items())
        assert sorted(new.get_vocab().values()) == list(range(len(new)))
        text = "a teddy bear with a red belly, front view"
        assert new(text).input_ids == old(text).input_ids


def test_the_tokenizer_survives_saving(tmp_path):
    from transformers import CLIPTokenizer

    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    text = "a red mushroom with white dots, front view"
    assert again(text).input_ids == tokenizer(text).input_ids


def run_training(folder, total, stop_at=None):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    trainer = Trainer(folder, {"model": model}, 1e-2, total, seed=4, seconds_between_checkpoints=0)
    for step in trainer.steps():
        x = torch.randn(8, 3, generator=trainer.generator)
        trainer.update((model(x) - x[:, :2]).square().mean())
        if step == stop_at:
            trainer.save()
            return None
    return model.state_dict() | {f"average.{k}": v for k, v in trainer.averaged("model").state_dict().items()}


def test_training_that_was_stopped_ends_in_the_same_bits(tmp_path):
    straight = run_training(tmp_path / "a", 12)
    run_training(tmp_path / "b", 12, stop_at=5)
    resumed = run_training(tmp_path / "b", 12)
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_a_warm_start_takes_every_weight_and_goes_on_counting_samples(tmp_path):
    torch.manual_seed(0)
    before, after = build((8, 8, 8)), build((8, 8, 8))
    before.half().save_pretrained(tmp_path / "vae")
    load_weights(after, tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    assert all(torch.equal(a, b.float()) for a, b in zip(after.parameters(), before.parameters(), strict=True))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(build((8, 8, 16)), tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    (tmp_path / "training.json").write_text('{"samples": 32, "samples_before": 100}')
    assert samples_seen(tmp_path) == 132
    (tmp_path / "training.json").write_text('{"samples": 32}')
    assert samples_seen(tmp_path) == 32


def test_samples_before_a_warm_start_survive_a_kill(tmp_path):
    first = Trainer(tmp_path, {"model": nn.Linear(1, 1)}, 1e-2, 3, seed=0, samples_before=640)
    first.save()
    assert Trainer(tmp_path, {"model": nn.Linear(1, 1)}, 1e-2, 3, seed=0).samples_before == 640


def test_training_refuses_a_loss_that_is_not_finite(tmp_path):
    model = nn.Linear(1, 1)
    trainer = Trainer(tmp_path, {"model": model}, 1e-2, 3, seed=0)
    next(trainer.steps())
    with pytest.raises(FloatingPointError, match="loss not finite by step 0: lower the learning rate"):
        trainer.update(model(torch.tensor([[float("nan")]])).sum())
    with pytest.raises(FloatingPointError):
        trainer.save()
    assert not trainer.path.exists()


def test_the_schedule_warms_up_stays_and_falls():
    assert schedule(0, 0.0) == pytest.approx(0.01)
    assert schedule(100, 0.1) == schedule(399, 0.399) == 1.0
    assert schedule(700, 0.7) == pytest.approx(0.505)
    assert schedule(999, 0.999) == pytest.approx(0.01, abs=1e-4)
    assert schedule(49, 0.7) == pytest.approx(0.505 / 2)


def test_a_training_by_the_clock_ends_with_it_and_counts_earlier_sittings(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(common, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def sit(most):
        model = {"model": nn.Linear(1, 1)}
        trainer = Trainer(tmp_path, model, 1.0, 1000, seed=0, minutes=1, seconds_between_checkpoints=0)
        rates = []
        for _ in trainer.steps():
            if len(rates) == most:
                break  # killed before the end of this step, behind the checkpoint of the one before
            rates.append(trainer.optimiser.param_groups[0]["lr"])
            clock[0] += 6  # seconds a step
        return trainer, rates

    _, rates = sit(most=4)
    assert rates == pytest.approx([0.01, 0.02, 0.03, 0.04])  # still warming up
    clock[0] += 1000  # between the sittings
    second, rates = sit(most=None)
    assert (second.first, second.done, len(rates)) == (4, 10, 6)
    assert rates[0] == pytest.approx(0.05) and rates[-1] == pytest.approx(0.1 * schedule(1000, 0.9))
    third, rates = sit(most=None)
    assert third.done == 10 and rates == []


def test_a_checkpoint_of_another_device_goes_on_with_numbers_of_its_own(tmp_path):
    first = Trainer(tmp_path, {"model": nn.Linear(1, 1)}, 1e-2, 3, seed=0)
    next(first.steps())
    first.save()
    state = torch.load(first.path, weights_only=True)
    torch.save(state | {"device": "cuda", "generator": torch.zeros(16, dtype=torch.uint8)}, first.path)
    second = Trainer(tmp_path, {"model": nn.Linear(1, 1)}, 1e-2, 3, seed=0)
    assert second.first == 1 and second.generator.initial_seed() == 1


def test_compositing_premultiplied_pixels():
    rgba = torch.tensor([[[[100, 50, 0, 128]]]], dtype=torch.uint8)
    image = composite(rgba, torch.tensor([[1.0, 1.0, 1.0]]))
    expected = (torch.tensor([100.0, 50, 0]) + 127) / 255
    assert torch.allclose(image[0, :, 0, 0], expected)


def test_crops_come_from_the_middle():
    images = torch.zeros(1, 1, 64, 64)
    images[:, :, 8:56, 8:56] = 1
    generator = torch.Generator().manual_seed(0)
    crops = [random_crop(images, 32, generator) for _ in range(50)]
    assert all(crop.shape == (1, 1, 32, 32) and crop.min() == 1 for crop in crops)


def test_whitening_changes_latents_and_keeps_reconstructions():
    torch.manual_seed(0)
    vae = build((8, 8, 8)).eval()
    images = torch.rand(64, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = vae.encode(images).latent_dist.mean
        before = vae.decode(latents).sample
        whiten(vae, latents)
        white = vae.encode(images).latent_dist.mean
        after = vae.decode(white).sample
        spread = vae.encode(images).latent_dist.std
    flat = white.permute(1, 0, 2, 3).flatten(1).double()
    assert torch.allclose(torch.cov(flat), torch.eye(4, dtype=torch.double), atol=2e-2)
    assert flat.mean(dim=1).abs().max() < 1e-2
    assert torch.allclose(before, after, atol=2e-3)
    assert spread.max() < 0.01


def test_a_decoder_only_sitting_leaves_the_encoder_and_needs_one(tmp_path, monkeypatch):
    from safetensors.torch import load_file

    from stages.training import vae
    from tests.toy_training import write_world

    with pytest.raises(ValueError, match="set warm_start too"):
        vae.Params(decoder_only=True)
    write_world(tmp_path / "data/world")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    build((8, 8, 8)).half().save_pretrained(vae.OUT)
    before = load_file(vae.OUT / "diffusion_pytorch_model.safetensors")
    settings = {"channels": [8, 8, 8], "steps": 2, "batch": 2, "crop": 16, "warm_start": True, "decoder_only": True}
    (tmp_path / "params.yaml").write_text(json.dumps({"vae": settings | {"threads": 1}}))
    monkeypatch.setattr(vae, "psnr", lambda vae, world: 0.0)
    vae.main()
    after = load_file(vae.OUT / "diffusion_pytorch_model.safetensors")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}


def test_rendering_a_world_goes_on_where_it_was(tmp_path):
    pytest.importorskip("open3d")
    from stages.training.render_world import draw_object
    from stages.training.rendering import render_split

    arrays = {"rgba": ((2, 16, 16, 4), "uint8"), "views": ((2, 2), "float32")}
    draw = partial(draw_object, seed=0, split="train", rng_key=2, n_views=2, size=16)
    marks = tmp_path / "train.chunks"
    marks.mkdir()
    (marks / "0").touch()  # as if the first chunk had been rendered, and then lost
    render_split(tmp_path, "train", 4, 2, arrays, draw, workers=1)
    rgba = np.load(tmp_path / "train.rgba.npy")
    assert not rgba[:4].any() and rgba[4:].any(axis=(1, 2, 3)).all()
    (marks / "0").unlink()
    render_split(tmp_path, "train", 4, 2, arrays, draw, workers=1)
    (tmp_path / "train.captions.json").write_text('["one", "two", "three", "four"]')
    world = World(tmp_path, "train")
    assert len(world) == 8 and world.caption(5) == "three"
    assert np.array_equal(world.rgba[4:], rgba[4:]), "what was rendered must not be lost"
    assert np.array_equal(world.rgba[2:4], draw(1)["rgba"]) and np.allclose(world.views[2:4], draw(1)["views"])


def test_a_world_grows_and_keeps_what_is_rendered(tmp_path):
    from prior3d.errors import Prior3dError
    from stages.training.rendering import make_room

    path = tmp_path / "train.views.npy"
    make_room(path, (4, 2), "float32")
    np.lib.format.open_memmap(path, mode="r+")[:] = 7
    make_room(path, (4, 2), "float32")
    make_room(path, (6, 2), "float32")
    grown = np.load(path)
    assert grown.shape == (6, 2) and (grown[:4] == 7).all() and (grown[4:] == 0).all()
    for shape in ((5, 2), (8, 3)):
        with pytest.raises(Prior3dError, match=r"float32 \(6, 2\), but the parameters ask for .* delete "):
            make_room(path, shape, "float32")
