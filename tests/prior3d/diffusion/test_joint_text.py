"""A joint-view prior in the place of a text-to-image prior: the same outputs, one set a call, one noise level."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from prior3d.cameras import Orbit
from prior3d.diffusion.autoencoders import same_autoencoder
from prior3d.diffusion.embedded import embedded_prior
from prior3d.diffusion.joint_text import JointTextPrior
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.distillation.losses import Distillation
from prior3d.distillation.view_sampler import ViewSampler
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds
from prior3d.settings.distillation import PromptSettings, SdsSettings, ViewSettings, VsdLoss, X0Loss
from tests.tiny_prior import write_tiny_prior

PROMPT = "a red mushroom with white dots"


@pytest.fixture(scope="module")
def joint():
    return JointTextPrior(load_joint_views(embedded_prior("toy-mv"), torch.device("cpu")))


def sampler(joint, guidance=2.5, **views):
    settings = SdsSettings(guidance_scale=guidance)
    return ViewSampler(joint, PROMPT, ViewSettings(**views), PromptSettings(), settings, named_backgrounds=True)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_it_says_what_the_joint_view_prior_says_of_the_set(joint, scale):
    generator = torch.Generator().manual_seed(0)
    orbit = Orbit(torch.arange(4) * 90.0, torch.full((4,), 15.0), torch.full((4,), 9.0), torch.full((4,), 20.0))
    own = joint.views.orbit(orbit.azimuth_deg, orbit.elevation_deg)
    texts, null = joint.embed([f"{PROMPT}, {side} view" for side in "abcd"]), joint.embed([""])
    noisy, at = torch.randn((4, 4, 16, 16), generator=generator), torch.full((4,), 500)
    asked = joint.views.ask(texts, own, null_text=null, guidance_scale=scale)
    wanted = joint.views.predict(noisy, at, asked)
    views = sampler(joint, scale)
    given = views.conditioning(orbit, [0] * 4)
    given = type(given)(texts, null, scale, orbit=orbit)  # its distance and field of view are not the prior's
    assert torch.allclose(joint.predict(noisy, at, given), wanted, atol=1e-5)
    one_by_one = torch.cat(
        [joint.predict(noisy[i : i + 1], at[:1], given.of_views(torch.arange(4) == i)) for i in range(4)]
    )
    assert (one_by_one - wanted).abs().max() > 1e-2  # together they are another thing


def test_a_step_draws_a_ring_and_one_noise_level(joint):
    seeds = Seeds(0)
    batch = sampler(joint).sample(seeds)
    assert len(batch.orbit.elevation_deg.unique()) == 1 and len(batch.orbit.azimuth_deg.unique()) == 4
    for loss in (SdsSettings().loss, X0Loss()):
        distil = Distillation(sampler(joint), seeds, SdsSettings(loss=loss), "latent")
        step = distil(lambda cameras, batch: torch.zeros((4, 4, 16, 16), requires_grad=True), 0.0)
        assert len(step.timesteps.unique()) == 1 and torch.isfinite(step.loss)


def test_what_is_refused(joint, tmp_path):
    with pytest.raises(Prior3dError, match="per_step is 1"):
        sampler(joint, per_step=1)
    with pytest.raises(Prior3dError, match="single views"):
        Distillation(sampler(joint), Seeds(0), SdsSettings(loss=VsdLoss()), "latent")
    far = ViewSampler(
        joint, PROMPT, ViewSettings(), PromptSettings(perp_neg_view_weight=1.0), SdsSettings(), named_backgrounds=True
    )
    with pytest.raises(Prior3dError, match="Perp-Neg is not there for joint views"):
        far.predict(far.sample(Seeds(0)), torch.zeros(4, 4, 16, 16), torch.full((4,), 500))


def test_the_embedded_family_shares_an_autoencoder(tmp_path):
    assert same_autoencoder(embedded_prior("toy"), embedded_prior("toy-mv"))
    assert not same_autoencoder(embedded_prior("toy"), write_tiny_prior(tmp_path / "p"))


def test_an_autoencoder_in_an_older_spelling_is_the_same(tmp_path):
    new, old = write_tiny_prior(tmp_path / "new"), write_tiny_prior(tmp_path / "old")
    file, settings = old / "vae" / "diffusion_pytorch_model.safetensors", old / "vae" / "config.json"
    tensors = load_file(file)
    attention = "encoder.mid_block.attentions.0."
    tensors |= {f"{attention}to_q.weight": torch.ones(4, 4)}
    save_file(tensors, new / "vae" / file.name)
    tensors[f"{attention}query.weight"] = tensors.pop(f"{attention}to_q.weight").view(4, 4, 1, 1)
    save_file(tensors, file)
    for place in (settings, new / "vae" / "config.json"):
        settings_now = json.loads(place.read_text()) | {"scaling_factor": 0.18215}
        place.write_text(
            json.dumps(
                settings_now if place != settings else {k: v for k, v in settings_now.items() if k != "scaling_factor"}
            )
        )
    assert same_autoencoder(new, old)
    tensors[f"{attention}query.weight"] *= 2
    save_file(tensors, file)
    assert not same_autoencoder(new, old)
