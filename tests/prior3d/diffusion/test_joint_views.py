"""The joint-view prior: what frames of a set know of each other, given views, and every way to ask it wrongly."""

import pytest
import torch

from prior3d.cameras import Orbit
from prior3d.diffusion.joint_sets import pluecker_rays
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.errors import Prior3dError
from tests.tiny_joint_views import write_tiny_joint_views

CPU = torch.device("cpu")
RING = torch.tensor([0.0, 90.0, 180.0, 270.0, 45.0])


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return load_joint_views(write_tiny_joint_views(tmp_path_factory.mktemp("priors") / "mv"), CPU)


def cameras(prior, n):
    return prior.orbit(RING[:n], torch.full((n,), 15.0))


def noise(seed=3):
    return torch.Generator().manual_seed(seed)


def images(n, seed=1):
    return torch.rand(n, 3, 32, 32, generator=noise(seed))


def draw(prior, n, **asked):
    text = prior.embed(["a red ball"])
    return prior.sample(text, cameras(prior, n), num_inference_steps=2, generator=noise(), **asked)


def test_samples_repeat_and_have_the_wanted_views_alone(prior):
    one, again = draw(prior, 4), draw(prior, 4)
    assert one.shape == (4, 3, 32, 32) and torch.equal(one, again) and one.min() >= 0 and one.max() <= 1
    assert draw(prior, 5, given=images(2), sets=3).shape == (9, 3, 32, 32)
    assert not one.requires_grad


def test_sets_are_drawn_apart_and_frames_together(prior):
    """The first of two sets is what it is alone; another given image changes every frame of a set."""
    first = images(1)
    two = draw(prior, 4, given=first, sets=2)
    asked = prior.ask(prior.embed(["a red ball"]), cameras(prior, 4), given=first)
    z, at = torch.randn(6, 4, 8, 8, generator=noise()), torch.full((6,), 500)
    torch.testing.assert_close(
        prior.predict(z, at, asked)[:3], prior.predict(z[:3], at[:3], asked), atol=1e-5, rtol=1e-4
    )
    assert not torch.allclose(two[:3], two[3:], atol=1e-3)
    other = prior.ask(prior.embed(["a red ball"]), cameras(prior, 4), given=images(1, 9))
    changed = (prior.predict(z, at, other) - prior.predict(z, at, asked)).abs().amax(dim=(1, 2, 3))
    assert (changed > 1e-4).all()


def test_frames_know_each_other_at_every_distance(prior):
    """One frame's latents reach the noise that is predicted for the others, whichever of them it is."""
    asked = prior.ask(prior.embed(["a red ball"]), cameras(prior, 5))
    z, at = torch.randn(5, 4, 8, 8, generator=noise()), torch.full((5,), 500)
    told = prior.predict(z, at, asked)
    for frame in range(5):
        moved = z.clone()
        moved[frame] += 1
        assert ((prior.predict(moved, at, asked) - told).abs().amax(dim=(1, 2, 3)) > 1e-5).all()


def test_given_cameras_can_be_unknown(prior):
    text, first = prior.embed(["a red ball"]), images(1)
    turned = prior.orbit(RING[1:4], torch.full((3,), 15.0)), prior.orbit(RING[[4, 2, 3]], torch.full((3,), 15.0))
    hidden = [prior.ask(text, orbit, given=first, given_cameras_known=False) for orbit in turned]
    known = prior.ask(text, turned[0], given=first)
    assert hidden[0].camera[0].abs().sum() == 0 and hidden[0].condition[0, 1:].abs().sum() == 0
    assert torch.equal(hidden[0].condition[0], hidden[1].condition[0]) and hidden[0].condition[0, 0].min() == 1
    assert torch.equal(hidden[0].camera[1:], known.camera[1:]) and known.camera[0].abs().sum() > 0


def test_guidance_moves_away_from_the_null_text_and_keeps_given_views(prior):
    text, null = prior.embed(["a red ball"]), prior.embed([""])
    z, at = torch.randn(3, 4, 8, 8, generator=noise()), torch.full((3,), 300)
    ask = {"given": images(1)}
    with_text, without = (prior.predict(z, at, prior.ask(t, cameras(prior, 4), **ask)) for t in (text, null))
    guided = prior.predict(z, at, prior.ask(text, cameras(prior, 4), null_text=null, guidance_scale=3.0, **ask))
    torch.testing.assert_close(guided, without + 3 * (with_text - without), atol=1e-4, rtol=1e-4)
    assert (with_text - without).abs().max() > 1e-4


def test_texts_are_one_a_frame(prior):
    words = prior.embed(["a red ball", "a red cube", "a red ball", "a red ball"])
    mixed = prior.sample(words, cameras(prior, 4), num_inference_steps=1, generator=noise())
    assert not torch.equal(mixed, prior.sample(words[:1], cameras(prior, 4), num_inference_steps=1, generator=noise()))


def test_weak_noise_keeps_the_starting_images(prior):
    """What a strength of almost nothing gives back is what the autoencoder makes of the start."""
    start = images(3)
    text = prior.embed(["a red ball"])

    def drawn(strength, steps=1, start=start):
        return prior.sample(
            text,
            cameras(prior, 3),
            start=start,
            strength=strength,
            sets=2,
            num_inference_steps=steps,
            generator=noise(),
        )

    decoded = prior.decode(prior.encode(start)).repeat(2, 1, 1, 1)
    assert (drawn(0.001) - decoded).abs().mean() < (drawn(0.9, 3) - decoded).abs().mean()
    assert torch.equal(drawn(0.5, 2), drawn(0.5, 2, start.repeat(2, 1, 1, 1)))


def test_errors_are_those_of_single_frames_with_the_same_noise(prior):
    words = ["a red ball", "a red cube", "front view"]
    text, orbit, picture = prior.embed(words), cameras(prior, 3), images(1)
    errors = prior.denoising_errors(picture, orbit, text, timesteps=[200, 700], noises=2, generator=noise())
    z, latents = torch.randn(2, 4, 8, 8, generator=noise()), prior.encode(picture)
    expected = torch.zeros(3)
    for i in range(3):
        asked = prior.ask(text[i : i + 1], prior.orbit(RING[i : i + 1], torch.tensor([15.0])))
        for level in (200, 700):
            for one in z:
                at, alpha = torch.tensor([level]), prior.schedule.signal[level]
                noisy = prior.add_noise(latents, one[None], at)
                eps = prior.predict(noisy, at, asked)
                v = (eps - (1 - alpha).sqrt() * noisy) / alpha.sqrt()
                wanted = alpha.sqrt() * one - (1 - alpha).sqrt() * latents
                expected[i] += (v - wanted).square().mean() / 4
    torch.testing.assert_close(errors, expected, atol=1e-4, rtol=1e-3)
    one = prior.denoising_errors(images(1), orbit, text[:1], timesteps=[200], generator=noise())
    assert one.shape == (3,) and one.std() > 0


def test_rays_are_directions_and_moments(prior):
    """A ray's moment is perpendicular to it, and that of the middle of an image, which meets the origin, is zero."""
    found = pluecker_rays(prior.cameras(cameras(prior, 2)).resized(9, 9))
    direction, moment = found[:, :3], found[:, 3:]
    torch.testing.assert_close(direction.norm(dim=1), torch.ones(2, 9, 9))
    assert (direction * moment).sum(1).abs().max() < 1e-5 and moment[:, :, 4, 4].abs().max() < 1e-5
    assert 0.1 < moment.norm(dim=1).max() < 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"given": images(4)}, "4 given images and 4 cameras; give a camera for each given image, then"),
        ({"given": torch.rand(1, 3, 40, 40)}, r"given images \(1, 3, 40, 40\), expected \[n, 3, 32, 32\]; crop"),
        ({"given": torch.full((1, 3, 32, 32), float("nan"))}, "a given image holds values that are not finite"),
        ({"guidance_scale": 2.0}, "guidance 2 needs null_text"),
        ({"sets": 0}, "0 sets; draw at least 1"),
        ({"strength": 0.5}, "strength 0.5 needs start"),
        ({"strength": 1.5}, "strength 1.5; use above 0 and up to 1"),
        ({"start": images(3)}, "3 starting images for 1 sets of 4 wanted views; give 4"),
        ({"start": torch.rand(4, 3, 8, 8)}, r"starting images \(4, 3, 8, 8\)"),
    ],
)
def test_what_it_cannot_draw(prior, wrong, message):
    with pytest.raises(Prior3dError, match=message):
        draw(prior, 4, **wrong)


def test_cameras_and_texts_that_it_cannot_use(prior):
    text, orbit = prior.embed(["a red ball"]), cameras(prior, 4)
    with pytest.raises(Prior3dError, match="3 texts for 4 frames; give one, or one a frame"):
        prior.ask(text.repeat(3, 1, 1), orbit)
    near = Orbit(orbit.azimuth_deg, orbit.elevation_deg, orbit.radius - 1, orbit.fov_deg)
    with pytest.raises(Prior3dError, match="camera 0 has radius 2.2 and 40 degrees .* knows only 3.2 and 40"):
        prior.ask(text, near)
    with pytest.raises(Prior3dError, match="elevation is not finite"):
        prior.ask(text, prior.orbit(RING[:1], torch.tensor([float("inf")])))
    with pytest.raises(Prior3dError, match="2 images, 1 cameras, 3 texts; give the same number of each, or one"):
        prior.denoising_errors(images(2), orbit[:1], text.repeat(3, 1, 1), timesteps=[5], generator=noise())
    with pytest.raises(Prior3dError, match=r"timesteps \[1000\]; give some of 0 to 999"):
        prior.denoising_errors(images(1), orbit, text, timesteps=[1000], generator=noise())
