"""Training the autoencoder: crops, whitening, sittings, and the door that all trainings go through."""

import json

import pytest
import torch
from safetensors.torch import load_file

from prior3d.errors import Prior3dError
from stages.contract.entry import execute, main
from stages.training.datasets.compositing import composite
from stages.training.vae import FOLDER, Params, stage
from stages.training.vae.stage import build, random_crop
from stages.training.vae.whitening import whiten
from tests.toy_training import training_job, write_world


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
    with pytest.raises(ValueError, match="set warm_start too"):
        Params(decoder_only=True)
    write_world(tmp_path / "data/world")
    torch.manual_seed(0)
    build((8, 8, 8)).half().save_pretrained(tmp_path / FOLDER)
    weights = tmp_path / FOLDER / "diffusion_pytorch_model.safetensors"
    before = load_file(weights)
    settings = {"channels": [8, 8, 8], "steps": 2, "batch": 2, "crop": 16, "warm_start": True, "decoder_only": True}
    (tmp_path / "params.yaml").write_text(json.dumps({"vae": settings | {"threads": 1}}))
    monkeypatch.setattr(stage, "psnr", lambda vae, dataset: 0.0)
    assert execute("stages.training.vae", ["--world", "data/world"], tmp_path) == 0
    after = load_file(weights)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}


def test_a_training_runs_through_the_one_door_in_the_projects_root(tmp_path, monkeypatch, capsys):
    """Progress, checkpoint and lock as every stage's; what it makes goes into the project's data."""
    write_world(tmp_path / "data/world")
    (tmp_path / "params.yaml").write_text("vae: {channels: [8, 8, 8], steps: 2, batch: 2, crop: 16, threads: 1}")
    (tmp_path / "code.yaml").write_text("vae: abc")
    monkeypatch.setattr(stage, "psnr", lambda vae, dataset: 12.0)
    assert main(["training.vae", "--world", "data/world"], tmp_path) == 0
    assert '"text": "held-out PSNR 12.00 dB"' in capsys.readouterr().out
    assert (tmp_path / FOLDER / "config.json").is_file()
    (checkpoint,) = tmp_path.glob(".work/training/vae/*/checkpoint.safetensors")
    (tmp_path / "code.yaml").write_text("vae: abd")
    assert main(["training.vae", "--world", "data/world"], tmp_path) == 0
    checkpoints = list(tmp_path.glob(".work/training/vae/*/checkpoint.safetensors"))
    assert len(checkpoints) == 2 and checkpoint in checkpoints, "other code begins again"
    (tmp_path / "params.yaml").write_text(
        "vae: {channels: [8, 8, 8], steps: 2, batch: 2, crop: 16, threads: 2, minutes: 9}"
    )
    assert main(["training.vae", "--world", "data/world"], tmp_path) == 0
    assert len(list(tmp_path.glob(".work/training/vae/*"))) == 3, "threads and minutes go on at the same checkpoint"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["training.vea"], "there is no stage 'training.vea'; did you mean training.vae?"),
        (["training.vae", "--world", "nowhere"], "its input --world is not there"),
        (["training.vae", "--world", "data"], "train.rgba.npy: there is no such file; run the stage that renders it"),
    ],
)
def test_what_a_training_refuses(tmp_path, capsys, argv, said):
    (tmp_path / "data").mkdir()
    (tmp_path / "params.yaml").write_text("vae: {}")
    assert main(argv, tmp_path) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_device_is_named(tmp_path):
    with pytest.raises(Prior3dError, match="'abacus' is not a device"):
        stage.run(training_job(tmp_path, "vae"), Params(device="abacus"))
