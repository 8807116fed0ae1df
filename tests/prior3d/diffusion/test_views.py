"""The views prior: its arithmetic by hand, its folder, and every way in which that can be broken."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.diffusion.epipolar_files import load_epipolar
from prior3d.diffusion.folders import check_channels, role_of
from prior3d.diffusion.own_networks import save_own
from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.diffusion.views import load_views
from prior3d.errors import Prior3dError
from tests.tiny_prior import write_tiny_prior
from tests.tiny_views import TINY, tiny_transformer, write_tiny_views

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return write_tiny_views(tmp_path_factory.mktemp("priors") / "views")


@pytest.fixture(scope="module")
def prior(intact):
    return load_views(intact, CPU)


@pytest.fixture
def folder(intact, tmp_path):
    return shutil.copytree(intact, tmp_path / "views")


def scene(n, start_deg=0.0):
    azimuths = start_deg + torch.arange(n) * 50.0
    fill = torch.ones(n)
    images = torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(n))
    return images, orbit_cameras(Orbit(azimuths, 15 * fill, 3.2 * fill, 40 * fill), 32, 32)


def generator():
    return torch.Generator().manual_seed(3)


def test_sizes_come_from_the_folder(prior):
    assert (prior.latent_channels, prior.latent_size, prior.image_size, prior.radius) == (4, 8, 32, 1.0)
    assert prior.n_timesteps == 1000
    networks = (prior.diffusion.unet, prior.diffusion.vae, prior.epipolar)
    assert not any(p.requires_grad for network in networks for p in network.parameters())
    assert not any(network.training for network in networks)


def test_samples_repeat_and_depend_on_the_pictures(prior):
    images, cameras = scene(3)
    _, wanted = scene(10, 20.0)  # more than are computed at once
    one, again = (prior.sample(images, cameras, wanted, num_inference_steps=2, generator=generator()) for _ in range(2))
    assert one.shape == (10, 3, 32, 32) and torch.equal(one, again) and one.min() >= 0 and one.max() <= 1
    assert not torch.equal(prior.sample(1 - images, cameras, wanted, num_inference_steps=2, generator=generator()), one)


def test_features_are_of_each_view_alone(prior):
    images, cameras = scene(2)
    _, wanted = scene(10, 20.0)
    features, regressed = prior.features_and_regression(images, cameras, wanted)
    assert features.shape == (10, TINY.features + 4, 8, 8) and not features.requires_grad
    torch.testing.assert_close(features[:, 4:], prior.encode(regressed), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(prior.features(images, cameras, wanted[9]), features[9:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(prior.regression(images, cameras, wanted[9]), regressed[9:], atol=1e-5, rtol=1e-4)


def test_guidance_moves_away_from_no_condition(prior):
    noisy, features = torch.randn(2, 4, 8, 8, generator=generator()), torch.randn(2, TINY.features + 4, 8, 8)
    at = torch.tensor([500, 20])
    with_features, without = prior.predict(noisy, at, features), prior.predict(noisy, at, torch.zeros_like(features))
    guided = prior.predict(noisy, at, features, 3.0)
    torch.testing.assert_close(guided, without + 3 * (with_features - without), atol=1e-4, rtol=1e-4)
    assert (with_features - without).abs().max() > 1e-3


def test_velocities_become_noise(prior, folder):
    """An epsilon prior of the same weights gives its output itself: the two differ as the definition says."""
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("v_prediction", "epsilon"))
    noisy, features = torch.randn(1, 4, 8, 8, generator=generator()), torch.zeros(1, TINY.features + 4, 8, 8)
    at = torch.tensor([400])
    v = load_views(folder, CPU).predict(noisy, at, features)
    alpha = prior.schedule.signal[400]
    expected = alpha.sqrt() * v + (1 - alpha).sqrt() * noisy
    torch.testing.assert_close(prior.predict(noisy, at, features), expected, atol=1e-5, rtol=1e-4)
    config.write_text(config.read_text().replace('"epsilon"', '"sample"'))
    with pytest.raises(Prior3dError, match="prediction_type 'sample'; only epsilon and v_prediction"):
        load_views(folder, CPU)


def test_noise_and_latents(prior):
    latents, noise = torch.ones(2, 4, 8, 8), torch.full((2, 4, 8, 8), 2.0)
    noisy = prior.add_noise(latents, noise, torch.tensor([0, 999]))
    alphas = prior.schedule.signal[[0, 999]]
    assert noisy[:, 0, 0, 0].tolist() == pytest.approx((alphas.sqrt() + 2 * (1 - alphas).sqrt()).tolist())
    images = scene(2)[0].requires_grad_()
    prior.decode(prior.encode(images)).sum().backward()
    assert images.grad.abs().sum() > 0
    with pytest.raises(Prior3dError, match="the list of timesteps is empty"):
        prior.denoise(latents, [], torch.zeros(2, TINY.features + 4, 8, 8))


def test_pictures_that_it_cannot_use(prior):
    _, wanted = scene(1)
    with pytest.raises(Prior3dError, match="0 pictures; give between 1 and 10"):
        prior.features(torch.zeros(0, 3, 32, 32), wanted[slice(0, 0)], wanted)
    with pytest.raises(Prior3dError, match="11 pictures"):
        prior.features(*scene(11), wanted)
    with pytest.raises(Prior3dError, match="2 pictures but 3 cameras"):
        prior.features(scene(2)[0], scene(3)[1], wanted)
    with pytest.raises(Prior3dError, match=r"\(1, 3, 40, 40\), expected .* crop them to squares"):
        prior.features(torch.zeros(1, 3, 40, 40), wanted, wanted)
    with pytest.raises(Prior3dError, match="not finite; mend the input"):
        prior.features(torch.full((1, 3, 32, 32), float("nan")), wanted, wanted)
    broken = Cameras(torch.full((1, 4, 4), float("inf")), torch.tensor([40.0]), 32, 32)
    with pytest.raises(Prior3dError, match="not finite; mend the input"):
        prior.features(torch.zeros(1, 3, 32, 32), broken, wanted)


def test_weights_survive_saving_in_half_precision(tmp_path):
    written = tiny_transformer()
    save_own(written, tmp_path)
    read = load_epipolar(tmp_path)
    assert read.config == written.config and not read.training
    assert all(torch.equal(a.half().float(), b) for a, b in zip(written.parameters(), read.parameters(), strict=True))


def test_half_precision_networks(intact, prior):
    images, cameras = scene(2)
    sample = load_views(intact, CPU, torch.bfloat16).sample(
        images, cameras, cameras, num_inference_steps=1, generator=generator()
    )
    full = prior.sample(images, cameras, cameras, num_inference_steps=1, generator=generator())
    assert sample.dtype == torch.float32 and (sample - full).abs().mean() < 0.05


def test_folders_of_earlier_versions_load(folder, prior):
    """The index of a trained prior names the transformer's module, which lay elsewhere before."""
    index = {"_class_name": "ViewsPrior", "epipolar": ["prior3d.priors.epipolar", "EpipolarTransformer"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    assert role_of(folder) == "views"
    images, cameras = scene(2)
    assert torch.equal(
        load_views(folder, CPU).regression(images, cameras, cameras), prior.regression(images, cameras, cameras)
    )


def test_views_take_no_text(prior):
    with pytest.raises(Prior3dError, match="takes no text"):
        prior.embed(["a red ball"])


def test_a_prior_of_another_role(tmp_path, intact):
    with pytest.raises(Prior3dError, match="it is a StableDiffusionPipeline, not a views prior"):
        load_views(write_tiny_prior(tmp_path / "text"), CPU)
    with pytest.raises(Prior3dError, match="it lacks text_encoder/, tokenizer/"):
        load_text_to_image(intact, CPU)


def test_incomplete_folders(folder, tmp_path):
    with pytest.raises(Prior3dError, match="nowhere: no such folder"):
        load_views(tmp_path / "nowhere", CPU)
    shutil.rmtree(folder / "scheduler")
    with pytest.raises(Prior3dError, match="it lacks scheduler/; complete the folder"):
        load_views(folder, CPU)
    (folder / "model_index.json").unlink()
    with pytest.raises(Prior3dError, match="no model_index.json"):
        load_views(folder, CPU)


def test_truncated_and_pickled_weights(folder):
    for component, stem in (("epipolar", "model"), ("unet", "diffusion_pytorch_model")):
        file = folder / component / f"{stem}.safetensors"
        whole = file.read_bytes()
        file.write_bytes(whole[:-5])
        with pytest.raises(Prior3dError, match=f"{component}/{stem}.safetensors: .* not a whole safetensors file"):
            load_views(folder, CPU)
        file.rename(file.with_suffix(".bin"))
        with pytest.raises(Prior3dError, match="its weights are pickle files .*never opened"):
            load_views(folder, CPU)
        file.write_bytes(whole)
    (folder / "epipolar" / "model.safetensors").unlink()
    (folder / "epipolar" / "model.bin").unlink()
    with pytest.raises(Prior3dError, match="model.safetensors: the file is missing"):
        load_views(folder, CPU)


def test_weights_that_are_not_finite_or_of_another_model(folder):
    file = folder / "epipolar" / "model.safetensors"
    weights = load_file(file)
    weights["features.bias"][1] = float("nan")
    save_file(weights, file)
    with pytest.raises(Prior3dError, match="features.bias holds values that are not finite"):
        load_views(folder, CPU)
    save_file({name: t for name, t in weights.items() if name != "features.bias"}, file)
    with pytest.raises(Prior3dError, match="features.bias is missing, superfluous or misshapen .1 such"):
        load_views(folder, CPU)
    save_file(weights | {"features.bias": torch.zeros(5)}, file)
    with pytest.raises(Prior3dError, match="features.bias is missing, superfluous or misshapen"):
        load_views(folder, CPU)


def test_parts_that_do_not_belong_together(folder):
    config = folder / "epipolar" / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"features": 5}))
    with pytest.raises(Prior3dError, match="UNet takes 12 channels of side 8, but .* make 13 of side 8"):
        load_views(folder, CPU)
    config.write_text(json.dumps({k: v for k, v in content.items() if k != "width"} | {"breadth": 16}))
    with pytest.raises(Prior3dError, match=r"lacks \['width'\] and has unknown \['breadth'\]"):
        load_views(folder, CPU)
    config.write_text("{")
    with pytest.raises(Prior3dError, match="config.json: not JSON"):
        load_views(folder, CPU)


def test_its_role_is_told_and_it_serves_no_other(folder):
    assert role_of(folder) == "views"
    with pytest.raises(Prior3dError, match="makes views of posed pictures, but text_to_image is needed"):
        check_channels(folder, "text_to_image")
