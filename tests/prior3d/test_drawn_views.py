"""Views that a joint-view prior draws: what it is asked, from where, over which background, how they are cut out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prior3d.cameras import Orbit, orbit_cameras
from prior3d.diffusion.joint_views import JointViewsPrior
from prior3d.errors import Prior3dError
from prior3d.fields import DenseGrids, FieldConfig, ObjectField
from prior3d.images.object_image import ObjectImage, Viewpoint
from prior3d.reconstruction.drawn_views import (
    Background,
    background_for_images,
    background_for_text,
    cut_out,
    image_views,
    mirrored,
    text_views,
)
from prior3d.reconstruction.given_views import given_image, given_posed_images, with_agreeing_mirror_images
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.redrawn_outlines import redrawn_outlines
from prior3d.rendering import rays
from prior3d.settings.joint_views import DrawingSettings, GivenSettings, OutlineSettings

SIZE = 16


class Recorder(JointViewsPrior):
    """A joint-view prior without networks: it draws a red square over a background, and notes what it was asked."""

    image_size, takes_given, text_suffix = SIZE, True, None

    def __init__(self):
        self.calls = []

    def orbit(self, azimuth_deg, elevation_deg):
        fill = torch.ones_like(azimuth_deg)
        return Orbit(azimuth_deg, elevation_deg, 3.2 * fill, 40 * fill)

    def cameras(self, orbit):
        return orbit_cameras(orbit, SIZE, SIZE)

    def embed(self, prompts):
        self.prompts = prompts
        return torch.zeros(len(prompts), 1, 1)

    def sample(self, text, cameras, *, given, sets, null_text, guidance_scale, num_inference_steps, **_):
        n_given = 0 if given is None else len(given)
        self.calls.append(
            {
                "n": len(text), "azimuths": cameras.azimuth_deg.tolist(), "given": n_given, "sets": sets,
                "scale": guidance_scale, "steps": num_inference_steps, "null": null_text is not None,
            }
        )  # fmt: skip
        level = {"white": 1.0, "grey": 0.5, "black": 0.0}[self.name]
        images = torch.full((sets * (cameras.views - n_given), 3, SIZE, SIZE), level)
        images[:, :, 4:12, 4:12] = torch.tensor([0.85, 0.07, 0.09])[:, None, None]
        return images


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a red mushroom with white dots", "black"),  # its stem is white too
        ("a black car", "white"),
        ("a snowman with a black hat", "grey"),
        ("a zeppelin", "white"),
        ("a white table, with black legs", "grey"),
    ],
)
def test_the_background_is_far_from_named_and_usual_colours(text, name):
    assert background_for_text(text).name == name


def test_text_gives_a_ring_and_then_views_given_the_ring():
    prior = Recorder()
    prior.name = background_for_text("a red apple").name
    found = text_views(prior, "a red apple", DrawingSettings(views_at_once=4), torch.Generator())
    ring, *further = prior.calls
    assert ring | {"azimuths": 0} == {
        "n": 4, "azimuths": 0, "given": 0, "sets": 1, "scale": 2.5, "steps": 10, "null": True,
    }  # fmt: skip
    assert ring["azimuths"] == [0, 90, 180, 270]
    assert [(call["n"], call["given"], call["scale"], call["null"]) for call in further] == [(8, 4, 1.0, False)] * 2
    assert found.n_given == 0 and found.views.colours.shape == (12, 3, SIZE, SIZE)
    assert found.views.masks[0, 8, 8] == 1 and found.views.masks[0, 0, 0] == 0
    assert f"{prior.name} background" in prior.prompts[0]


def test_a_prior_that_takes_no_given_views_draws_the_ring_alone():
    prior = Recorder()
    prior.takes_given, prior.name = False, "white"
    assert len(text_views(prior, "a black car", DrawingSettings(), torch.Generator()).views.colours) == 4


def red_image(azimuth_deg):
    rgba = np.zeros((SIZE, SIZE, 4), np.float32)
    rgba[4:12, 2:8] = (0.85, 0.07, 0.09, 1.0)
    return ObjectImage(rgba, Viewpoint(azimuth_deg, 10.0, 40.0, 3.2))


def test_an_image_is_given_with_its_mirror_image():
    prior, counted = Recorder(), GivenSettings()
    given = given_image(prior, red_image(50.0), counted)
    assert given.orbit.azimuth_deg.tolist() == [50, 310] and given.weights.tolist() == [4, 2]
    assert torch.equal(given.masks[1], given.masks[0].flip(-1))
    other = given_image(prior, red_image(310.0), counted)
    assert torch.allclose(given.cameras.c2w[1], other.cameras.c2w[0], atol=1e-5)
    prior.name = background_for_images(given).name
    found = image_views(prior, "a red apple", given, DrawingSettings(), counted, torch.Generator())
    (call,) = prior.calls
    assert (call["n"], call["given"], call["sets"], call["scale"]) == (14, 2, 3, 1.0)
    assert call["azimuths"][2] == 72.5
    assert found.n_given == 2 and len(found.views.colours) == 2 + 3 * 12 == found.views.cameras.views
    assert found.views.weights[:, 0, 0].tolist() == [12, 6] + [1] * 36
    assert torch.equal(found.views.colours[0], given.colours[0])


@pytest.mark.parametrize("azimuth_deg", [0.0, 175.0])
def test_no_mirror_image_of_a_view_along_the_mirror_plane(azimuth_deg):
    assert len(given_image(Recorder(), red_image(azimuth_deg), GivenSettings()).colours) == 1
    assert len(given_image(Recorder(), red_image(90.0), GivenSettings(mirror_weight=0)).colours) == 1


def test_without_words_fewer_views_are_drawn_and_nothing_is_said():
    prior = Recorder()
    given = given_image(prior, red_image(90.0), GivenSettings())
    prior.name = background_for_images(given).name
    image_views(prior, "", given, DrawingSettings(), GivenSettings(n_sets=1), torch.Generator())
    assert prior.calls[0]["n"] == 2 + 8 and set(prior.prompts) == {""}


def test_posed_images_are_given_from_the_directions_of_their_cameras():
    prior, n = Recorder(), 3
    orbit = Orbit(
        torch.tensor([20.0, 170, 300]), torch.tensor([0.0, 30, -10]), torch.full((n,), 2.5), torch.full((n,), 50.0)
    )
    masks = torch.zeros(n, 2 * SIZE, 2 * SIZE)
    masks[:, 8:24, 8:24] = 1
    views = InputViews(
        masks[:, None].expand(-1, 3, -1, -1), masks, torch.ones_like(masks), orbit_cameras(orbit, 32, 32)
    )
    given = given_posed_images(prior, views, GivenSettings())
    assert torch.allclose(given.orbit.azimuth_deg, orbit.azimuth_deg, atol=1e-3)
    assert torch.allclose(given.orbit.elevation_deg, orbit.elevation_deg, atol=1e-3)
    assert given.colours.shape == (n, 3, SIZE, SIZE) and given.cameras.fov_deg.tolist() == [50] * n


def ball_views(azimuths_deg, centre=(0.0, 0.0, 0.0)):
    """Views of a ball, of which a small one beside the middle is not alike on both sides."""
    n = len(azimuths_deg)
    cameras = orbit_cameras(
        Orbit(torch.tensor(azimuths_deg), torch.full((n,), 20.0), torch.full((n,), 3.2), torch.full((n,), 40.0)), 32, 32
    )
    origins, directions = rays(cameras)
    offset = torch.tensor(centre) - origins
    missed = (offset - (offset * directions).sum(-1, keepdim=True) * directions).norm(dim=-1)
    masks = (missed < 0.4).float()
    return InputViews(masks[:, None].expand(-1, 3, -1, -1), masks, torch.ones_like(masks), cameras)


def test_mirror_images_of_posed_images_are_for_the_fit_alone():
    prior, counted = Recorder(), GivenSettings(n_sets=1)
    given, agree = with_agreeing_mirror_images(
        given_posed_images(prior, ball_views([30.0, 100.0, 200.0]), counted), counted
    )
    assert agree > 0.96 and given.weights.tolist() == [8, 8, 8, 4, 4, 4] and given.n_shown == 3
    assert torch.equal(given.masks[3], given.masks[0].flip(-1))
    prior.name = background_for_images(given).name
    found = image_views(prior, "a white ball", given, DrawingSettings(), counted, torch.Generator())
    (call,) = prior.calls
    assert (call["n"], call["given"]) == (3 + 12, 3)
    assert found.n_given == 6 and len(found.views.colours) == 6 + 12


def test_posed_images_of_one_side_have_no_mirror_images():
    prior, counted = Recorder(), GivenSettings()
    beside = given_posed_images(prior, ball_views([30.0, 100.0, 200.0], centre=(0.0, 0.5, 0.0)), counted)
    given, agree = with_agreeing_mirror_images(beside, counted)
    assert agree < 0.9 and given is beside
    alike = given_posed_images(prior, ball_views([30.0, 100.0, 200.0]), counted)
    assert with_agreeing_mirror_images(alike, GivenSettings(posed_mirror_weight=0))[0] is alike
    assert with_agreeing_mirror_images(given_posed_images(prior, ball_views([30.0]), counted), counted)[1] == 0


def test_outlines_of_a_body_are_redrawn_from_its_renders():
    prior = Recorder()
    prior.name = "black"
    image = red_image(90.0)
    given = given_image(prior, image, GivenSettings(mirror_weight=0))
    field = ObjectField(FieldConfig(encoding=DenseGrids((5,)), head="rgb", channels=3), torch.Generator())
    settings = OutlineSettings(n_sets=2, strength=0.5)
    prior.name = background_for_images(given).name
    found = redrawn_outlines(prior, "a red apple", given, field, settings, 8, torch.Generator())
    (call,) = prior.calls
    assert (call["n"], call["given"], call["sets"], call["steps"]) == (1 + 7, 1, 2, 20)
    assert call["azimuths"][1] == 135.0
    assert found.masks.shape == (7, SIZE, SIZE) and found.cameras.views == 7
    assert found.masks[0, 3, 8] == 1 and found.masks[0, 2, 8] == 0  # the square, widened by a pixel


def test_mirrored_cameras_mirror_back():
    orbit = Orbit(*(torch.tensor([30.0, 0.0]) for _ in range(4)))
    assert mirrored(orbit).azimuth_deg.tolist() == [330, 0]
    assert torch.equal(mirrored(mirrored(orbit)).azimuth_deg, orbit.azimuth_deg)


def test_cutting_out_undoes_the_background():
    images = torch.full((1, 3, SIZE, SIZE), 0.5)
    images[:, :, 4:12, 4:12] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    camera = orbit_cameras(Orbit(*(torch.tensor([v]) for v in (0.0, 0.0, 3.2, 40.0))), SIZE, SIZE)
    found = cut_out(images, camera, Background("grey", 0.5))
    assert torch.equal(found.masks[0] > 0.5, images[0, 0] != 0.5)
    assert torch.allclose(found.over(0.5), images) and replace(found).weights.eq(1).all()


class Chooser(Recorder):
    """A prior like MVDream: it draws over backgrounds of its own, a shaded blue here, and takes no given views."""

    takes_given, text_suffix, lost = False, ", 3d asset", ()

    def embed(self, prompts):
        self.prompts = [*getattr(self, "prompts", []), *prompts]
        return torch.zeros(len(prompts), 1, 1)

    def sample(self, text, cameras, *, given, sets, **_):
        n = sets * (cameras.views - (0 if given is None else len(given)))
        self.calls.append(n)
        images = torch.tensor([0.3, 0.35, 0.6])[:, None, None].repeat(n, 1, SIZE, SIZE)
        images += torch.linspace(-0.02, 0.02, SIZE)
        images[:, :, 4:12, 4:12] = torch.tensor([0.85, 0.07, 0.09])[:, None, None]
        for view in self.lost:
            images[view] = 0.4
        return images


def test_masks_are_told_from_the_border_where_the_prior_chooses_the_background():
    prior = Chooser()
    found = text_views(prior, "a red apple", DrawingSettings(), torch.Generator())
    assert prior.calls == [4] and prior.prompts == ["a red apple, 3d asset"] * 4 + [""]
    masks, colours = found.views.masks, found.views.colours
    inside, outside = masks[:, 5:11, 5:11], [masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]]
    assert (inside == 1).all() and all((part == 0).all() for part in outside)
    assert torch.allclose(colours[:, :, 8, 8], torch.tensor([0.85, 0.07, 0.09])) and (colours[:, :, 0, 0] == 0).all()
    assert found.n_lost == 0


def test_a_ring_may_have_more_views():
    prior = Recorder()
    prior.takes_given, prior.name = False, "white"
    found = text_views(prior, "a black car", DrawingSettings(ring_views=6), torch.Generator())
    assert prior.calls[0]["azimuths"] == [0, 60, 120, 180, 240, 300] and found.views.cameras.views == 6


def test_drawings_without_an_object_are_left_out_and_most_of_them_are_an_error():
    prior = Chooser()
    prior.lost = (2,)
    found = text_views(prior, "a red apple", DrawingSettings(), torch.Generator())
    whole = text_views(Chooser(), "a red apple", DrawingSettings(), torch.Generator()).views
    assert found.n_lost == 1 and len(found.views.colours) == 3
    assert torch.equal(found.views.cameras.c2w, whole.cameras.c2w[[0, 1, 3]])
    prior.lost = (0, 1, 3)
    with pytest.raises(Prior3dError, match=r"^in 3 of 4 drawn views no object can be told .* another --seed"):
        text_views(prior, "a red apple", DrawingSettings(), torch.Generator())


def test_images_stand_beside_drawings_over_other_backgrounds():
    prior, counted = Chooser(), GivenSettings(n_sets=1)
    prior.lost = (5,)
    found = image_views(prior, "a red apple", given_image(prior, red_image(50.0), counted), DrawingSettings(), counted,
                        torch.Generator())  # fmt: skip
    assert found.n_given == 2 and found.n_lost == 1 and len(found.views.masks) == 2 + 11 == found.views.cameras.views
    assert found.views.masks[2:, 8, 8].eq(1).all()
