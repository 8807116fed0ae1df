"""The image's mirror image: what the other side of a symmetric thing looks like, and whether a field agrees."""

import numpy as np
import pytest
import torch

from prior3d.images.object_image import ObjectImage, Viewpoint
from prior3d.reconstruction.mirrored_image import MirroredImage
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.renders import CAMERA_RADIUS, FOV_DEG, render_toy


def pictured(toy, azimuth_deg, elevation_deg=20.0, size=48):
    view = Viewpoint(azimuth_deg, elevation_deg, FOV_DEG, CAMERA_RADIUS)
    seen = render_toy(toy, view.cameras(size))
    mask = seen.mask[0][..., None]
    return ObjectImage(np.concatenate([seen.rgb[0] / np.maximum(mask, 1e-3), mask], -1).astype(np.float32), view)


def test_it_is_what_the_other_side_of_a_car_looks_like():
    car = next(toy for toy in (sample_object(0, i, "held-out") for i in range(400)) if "car" in toy.caption.split())
    mirrored = MirroredImage(pictured(car, 60.0), 48)
    assert mirrored.elsewhere
    truth = render_toy(car, mirrored.cameras)
    assert np.abs(mirrored.masks.numpy() - truth.mask).mean() < 0.01
    assert np.abs(mirrored.colours.numpy() - truth.rgb).mean() < 0.01


@pytest.mark.parametrize(("azimuth_deg", "elsewhere"), [(0.0, False), (5.0, False), (30.0, True), (90.0, True), (178.0, False)])  # fmt: skip # noqa: E501
def test_from_the_front_and_from_behind_it_is_the_same_side(azimuth_deg, elsewhere):
    ball = pictured(sample_object(0, 0, "held-out"), azimuth_deg)
    assert MirroredImage(ball, 16).elsewhere == elsewhere


@pytest.mark.parametrize(("radius", "agrees"), [(0.55, True), (0.2, False)])
def test_the_agreement_is_the_overlap_of_outlines(radius, agrees):
    class Ball:
        class config:  # noqa: N801
            bound, ball_radius, near_plane = 1.0, 1.2, 0.0

        def __call__(self, points):
            return self.density(points), torch.full((*points.shape[:-1], 3), 0.5)

        def density(self, points):
            return 60 * torch.sigmoid((radius - points.norm(dim=-1)) * 400)

        def parameters(self):
            return iter(())

    view = Viewpoint(60.0, 20.0, FOV_DEG, CAMERA_RADIUS)
    height, width = torch.meshgrid(*(torch.arange(48) + 0.5 - 24,) * 2, indexing="ij")
    in_pixels = 24 * 0.55 / CAMERA_RADIUS / np.tan(np.radians(FOV_DEG / 2))
    disc = ((height**2 + width**2).sqrt() < in_pixels).float().numpy()
    picture = ObjectImage(np.stack([disc * 0.5, disc * 0.5, disc * 0.5, disc], -1).astype(np.float32), view)
    mirrored = MirroredImage(picture, 48)
    assert mirrored.agreement == -1
    mirrored.compare(Ball(), 32)
    assert (float(mirrored.agreement) > 0.9) == agrees and float(mirrored.agreement) > 0.05
