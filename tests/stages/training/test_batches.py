"""What the trainings draw: latents and texts that lie in the memory of the device that trains."""

import pytest
import torch

from prior3d.diffusion.camera_embedding import camera_embedding
from prior3d.errors import Prior3dError
from prior3d.toyworld.palette import BACKGROUNDS
from stages.artifacts.datasets import RenderedDataset
from stages.training.datasets.compositing import composite
from stages.training.datasets.latents import Latents
from stages.training.datasets.texts import CaptionedDataset, tokenize
from stages.training.datasets.tokenizer import build_tokenizer
from stages.training.text_to_image import Params, stage
from stages.training.text_to_image.stage import draw_batch
from stages.training.trainer import lower_precision
from stages.training.vae.stage import build
from tests.toy_training import training_job, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return RenderedDataset(write_world(tmp_path_factory.mktemp("worlds") / "world"), "train")


@pytest.fixture(scope="module")
def captions(world):
    return CaptionedDataset(world, build_tokenizer(), "cpu")


def test_what_is_said_of_an_image_is_its_caption_with_what_is_kept(world, captions):
    image, background = torch.tensor([0, 3]), torch.tensor([2, 0])
    names = list(BACKGROUNDS)
    for drops, expected in (
        ((0, 0, 0, 0), [f"{world.caption(0)}, front view, {names[2]} background",
                        f"{world.caption(3)}, back view, {names[0]} background"]),
        ((0, 0, 1, 0), [f"{world.caption(0)}, {names[2]} background", f"{world.caption(3)}, {names[0]} background"]),
        ((0, 0, 0, 1), [f"{world.caption(0)}, front view", f"{world.caption(3)}, back view"]),
        ((0, 0, 1, 1), [world.caption(0), world.caption(3)]),
        ((1, 0, 0, 0), ["", ""]),
    ):  # fmt: skip
        tokens, camera = captions.draw(image, background, drops, torch.Generator())
        assert torch.equal(tokens, tokenize(build_tokenizer(), expected))
        assert torch.equal(camera, camera_embedding(torch.tensor([0.0, 180.0]), torch.tensor([10.0, 10.0])))
    assert (captions.draw(image, background, (0, 1, 0, 0), torch.Generator())[1] == 0).all()


def test_parts_are_left_out_as_often_as_asked_and_independently(captions):
    n = 8000
    image, background = torch.zeros(n, dtype=torch.long), torch.ones(n, dtype=torch.long)
    tokens, camera = captions.draw(image, background, (0.1, 0.2, 0.5, 0.3), torch.Generator().manual_seed(0))
    empty, no_camera = (tokens == captions.tokens[0]).all(dim=1), (camera == 0).all(dim=1)
    assert empty.float().mean() == pytest.approx(0.1, abs=0.015)
    assert no_camera.float().mean() == pytest.approx(0.2, abs=0.02)
    assert (empty & no_camera).float().mean() == pytest.approx(0.02, abs=0.007)
    whole = (tokens == captions.tokens[captions.rows[0, 1, 2]]).all(dim=1)
    assert whole.float().mean() == pytest.approx(0.9 * 0.5 * 0.7, abs=0.02)


def test_latents_are_those_of_the_autoencoder_whenever_they_are_asked_for(world):
    torch.manual_seed(0)
    vae = build((8, 8, 8)).eval()
    latents = Latents(vae, torch.from_numpy(world.rgba))
    image, background = torch.tensor([5, 1, 5]), torch.tensor([0, 2, 1])
    first, again = latents[image, background], latents[image, background]
    pixels = composite(torch.from_numpy(world.rgba)[image], torch.tensor(list(BACKGROUNDS.values()))[background])
    with torch.no_grad():
        expected = vae.encode(pixels * 2 - 1).latent_dist.mean
    assert torch.equal(first, again) and torch.allclose(first, expected, atol=2e-3 * expected.abs().max())
    assert latents.known.sum() == 3
    everything = Latents(vae, torch.from_numpy(world.rgba))
    everything.encode_all()
    assert everything.known.all() and torch.equal(everything[image, background], first)


def test_an_image_has_the_same_bits_whatever_it_is_asked_for_with(world):
    torch.manual_seed(0)
    vae = build((16, 32, 64)).eval()
    n = len(world)
    image, background = torch.arange(n), torch.arange(n) % len(BACKGROUNDS)
    straight, stopped = (Latents(vae, torch.from_numpy(world.rgba), at_once=8) for _ in range(2))
    for few in image.split(3):
        stopped[few, background[few]]
    assert torch.equal(straight[image, background], stopped[image, background])


def test_batches_repeat_with_their_seed_and_hold_the_asked_share_of_patterns(world, captions):
    torch.manual_seed(0)
    latents, params = Latents(build((8, 8, 8)), torch.from_numpy(world.rgba)), Params(workers=1, patterned_share=0.25)
    captions.patterned = torch.tensor([7])  # no object of this small world has a pattern
    batches = [draw_batch(latents, captions, params, 2000, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*batches, strict=True))
    share = (batches[0][0] == latents.store[7].float()[:, None]).flatten(2).all(-1).any(0).float().mean()
    assert share == pytest.approx(0.25 + 0.75 / len(world), abs=0.03)


def test_everything_in_a_batch_is_of_the_same_image(world, captions):
    torch.manual_seed(0)
    latents = Latents(build((8, 8, 8)), torch.from_numpy(world.rgba))
    params = Params(workers=1, drop_caption=0, drop_camera=0, drop_view_word=0, drop_background=0)
    batch, tokens, camera = draw_batch(latents, captions, params, 12, torch.Generator().manual_seed(2))
    for one, text, view in zip(batch, tokens, camera, strict=True):
        image, background = (latents.store.float() == one).flatten(2).all(-1).nonzero()[0].tolist()
        assert torch.equal(text, captions.tokens[captions.rows[image, 1, background + 1]])
        assert torch.equal(view, captions.cameras[image])


def test_lower_precision_is_used_where_it_is_asked_for_alone():
    layer, x = torch.nn.Linear(4, 4), torch.ones(2, 4)
    with lower_precision("cpu", "bfloat16"):
        assert layer(x).dtype == torch.bfloat16
    with lower_precision("cpu", "float32"):
        assert layer(x).dtype == torch.float32


def test_workers_share_neither_a_clock_nor_a_gpu(tmp_path, monkeypatch):
    job = training_job(tmp_path, "text_to_image")
    with pytest.raises(Prior3dError, match="2 workers on cpu; minutes and a GPU need text_to_image.workers: 1"):
        stage.run(job, Params(workers=2, minutes=1.0))
    monkeypatch.setattr(stage, "choose_device", lambda name: name)
    with pytest.raises(Prior3dError, match="2 workers on cuda"):
        stage.run(job, Params(workers=2, device="cuda"))
