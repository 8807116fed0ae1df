"""MVDream's folders, with random weights at tiny width: names, cameras, what is refused."""

import json

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors.torch import load_file, save_file

from prior3d.diffusion.folders import role_of
from prior3d.diffusion.joint_text import JointTextPrior
from prior3d.diffusion.joint_unet import SetUNet
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.diffusion.mvdream import PREFIX, mvdream_camera, mvdream_config
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings, X0Loss
from tests.tiny_mvdream import CONFIG, PUBLIC, ldm_names, tiny_set_unet, write_tiny_mvdream

CPU = torch.device("cpu")
SD21_WEIGHTS, CAMERA_WEIGHTS = 865_910_724, (16 + 1) * 1280 + (1280 + 1) * 1280


@pytest.fixture(scope="module")
def unet():
    return tiny_set_unet()


@pytest.fixture
def folder(unet, tmp_path):
    return write_tiny_mvdream(tmp_path / "mvdream", unet)


def test_its_network_is_read_under_other_names(folder, unet):
    prior = load_joint_views(folder, CPU)
    read, written = prior.diffusion.unet.state_dict(), unet.state_dict()
    assert read.keys() == written.keys() and all(torch.equal(read[name], written[name]) for name in written)
    assert role_of(folder) == "joint_views" and not prior.takes_given and prior.latent_size == 8
    assert not any(parameter.requires_grad for parameter in prior.diffusion.unet.parameters())


def test_it_draws_sets_and_takes_no_given_views(folder):
    prior = load_joint_views(folder, CPU)
    orbit = prior.orbit(torch.tensor([0.0, 90.0, 180.0, 270.0]), torch.full((4,), 15.0))
    asked = {"null_text": prior.embed([""]), "guidance_scale": 5.0, "num_inference_steps": 2}
    drawn = prior.sample(prior.embed(["a red ball"]), orbit, generator=torch.Generator().manual_seed(0), **asked)
    assert drawn.shape == (4, 3, 32, 32) and torch.isfinite(drawn).all()
    with pytest.raises(Prior3dError, match="1 given images, but its UNet has no channels for a mask and rays"):
        prior.ask(prior.embed(["a red ball"]), orbit, given=drawn[:1])


def test_given_views_are_seen_as_noisy_as_those_that_are_drawn(folder, monkeypatch):
    """Whatever the network says of them, the next step sees the given image with the same noise, at its level."""
    prior = load_joint_views(folder, CPU)
    orbit = prior.orbit(torch.tensor([0.0, 90.0, 180.0]), torch.full((3,), 15.0))
    given = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    asked = {"null_text": prior.embed([""]), "guidance_scale": 5.0, "num_inference_steps": 4, "sets": 2}
    seen, ask = [], prior.network

    def network(noisy, timesteps, *others):
        seen.append((noisy, timesteps))
        return ask(noisy, timesteps, *others)

    monkeypatch.setattr(prior, "network", network)
    noise = torch.Generator().manual_seed(0)
    drawn = prior.sample(prior.embed(["a red ball"]), orbit, given=given, generator=noise, **asked)
    assert drawn.shape == (4, 3, 32, 32) and len(seen) == 4
    clean, eps = prior.encode(given), torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for noisy, timesteps in seen:
        assert len(timesteps.unique()) == 1 and len(noisy) == 12  # two sets of three, with the text and without
        expected = prior.add_noise(clean, eps, timesteps[:1])
        assert all(torch.equal(noisy[first : first + 1], expected) for first in (0, 3, 6, 9))
    noise = torch.Generator().manual_seed(0)
    other = prior.sample(prior.embed(["a red ball"]), orbit, given=1 - given, generator=noise, **asked)
    assert (other - drawn).abs().amax(dim=(1, 2, 3)).min() > 1e-5  # every frame of both sets knows the given one


def test_a_step_of_distillation_asks_it_for_a_ring(folder):
    prior = JointTextPrior(load_joint_views(folder, CPU))
    settings = SdsSettings(guidance_scale=50.0, loss=X0Loss())
    views = ViewSettings(per_step=4, radius=(1.0, 1.5), fov_deg=(40.0, 70.0))  # not its own cameras: directions count
    sampler = ViewSampler(prior, "a corgi", views, PromptSettings(view_words=False), settings, named_backgrounds=False)
    step = Distillation(sampler, Seeds(0), settings, "latent")(
        lambda cameras, batch: torch.zeros((4, 4, prior.latent_size, prior.latent_size), requires_grad=True), 0.0
    )
    step.loss.backward()
    assert len(step.timesteps.unique()) == 1 and torch.isfinite(step.loss) and step.target.std() > 0


def test_cameras_are_matrices_at_distance_one(folder):
    prior = load_joint_views(folder, CPU)
    matrices = mvdream_camera(prior.orbit(torch.tensor([0.0, 90.0]), torch.tensor([0.0, 30.0]))).view(2, 4, 4)
    torch.testing.assert_close(matrices[0, :3, 3], torch.tensor([1.0, 0, 0]), atol=1e-6, rtol=0)
    half, high = 0.5, 0.75**0.5
    torch.testing.assert_close(matrices[1, :3, 3], torch.tensor([0.0, high, half]), atol=1e-6, rtol=0)
    torch.testing.assert_close(matrices[:, :3, :3] @ matrices[:, :3, :3].mT, torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close(matrices[0, :3, 1], torch.tensor([0.0, 0, 1]), atol=1e-6, rtol=0)  # up
    assert matrices[:, 3].tolist() == [[0, 0, 0, 1]] * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"camera_dim": None}, "unet/config.json has no whole numbers for camera_dim; an MVDream folder's has"),
        ({"channel_mult": [1, "x"]}, "no whole numbers for channel_mult"),
        ({"channel_mult": 2, "num_res_blocks": -1}, "no whole numbers for num_res_blocks, channel_mult"),
        ({"model_channels": 33}, r"its weights are not those of its config.json \("),
        ({"camera_dim": 12}, "its cameras have 12 numbers, not 16"),
        ({"ip_dim": 16}, "it is ImageDream, which sees an image's features"),
        ({"num_res_blocks": 1}, r"its weights are not those of its config.json \("),
        ({"context_dim": 24}, r"its weights are not those of its config.json \("),
    ],
)
def test_folders_that_do_not_fit(folder, settings, message):
    file = folder / "unet" / "config.json"
    file.write_text(json.dumps(CONFIG | settings))
    with pytest.raises(Prior3dError, match=message) as raised:
        load_joint_views(folder, CPU)
    assert "\n" not in str(raised.value)


def test_the_public_widths_fit_their_names(tmp_path):
    """866 million weights, none of them in memory: every name and shape of four levels."""
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text(json.dumps(PUBLIC))
    config = mvdream_config(tmp_path)
    with torch.device("meta"):
        unet = SetUNet.from_config(config)
    named = {f"{PREFIX}{name}".replace("camera_embed.", "label_emb.0."): w for name, w in ldm_names(unet).items()}
    read = convert_ldm_unet_checkpoint(named, config)
    assert {name: w.shape for name, w in read.items()} == {name: w.shape for name, w in unet.state_dict().items()}
    assert sum(weight.numel() for weight in read.values()) == SD21_WEIGHTS + CAMERA_WEIGHTS
    heads = [block.attentions[0].transformer_blocks[0].attn1.heads for block in unet.down_blocks[:3]]
    assert heads == [5, 10, 20] and not hasattr(unet.down_blocks[3], "attentions")


def test_broken_weights(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({name: tensor for name, tensor in weights.items() if "camera_embed" not in name}, file)
    with pytest.raises(Prior3dError, match="its weights are not those of its config.json"):
        load_joint_views(folder, CPU)
    weights["out.2.bias"][0] = float("nan")
    save_file(weights, file)
    with pytest.raises(Prior3dError, match="conv_out.bias holds values that are not finite"):
        load_joint_views(folder, CPU)
