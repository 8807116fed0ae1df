"""The epipolar feature transformer: its geometry by hand, and the laws that it must keep."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.diffusion.epipolar import EpipolarConfig
from prior3d.diffusion.epipolar_geometry import RayBundle, gather, look_up, plucker, waves
from prior3d.errors import Prior3dError
from tests.tiny_views import TINY, tiny_transformer


def cameras_at(azimuths_deg, elevations_deg=20.0, turn_deg=0.0):
    azimuths = torch.tensor(azimuths_deg) + turn_deg
    elevations = torch.as_tensor(elevations_deg).expand(len(azimuths))
    fill = torch.ones(len(azimuths))
    return orbit_cameras(Orbit(azimuths, elevations, 3.2 * fill, 40 * fill), 32, 32)


def pictures(*shape):
    return torch.rand(*shape, 3, 32, 32, generator=torch.Generator().manual_seed(5))


CONTEXTS, QUERIES = [0.0, 80.0, 200.0], [30.0, 130.0]


def test_shapes_ranges_and_gradients():
    model, images = tiny_transformer(), pictures(2, 3).requires_grad_()
    features, regressed = model(images, cameras_at(CONTEXTS * 2), cameras_at([*QUERIES, 250.0] * 2))
    assert features.shape == (6, 4, 8, 8) and regressed.shape == (6, 3, 32, 32)
    assert regressed.min() > 0 and regressed.max() < 1
    (features.square().mean() + regressed.square().mean()).backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    dead = [name for name, p in model.named_parameters() if p.grad.abs().sum() == 0 and "score.bias" not in name]
    assert not dead  # a score's bias cancels in its softmax


@torch.no_grad()
def test_the_order_of_pictures_does_not_matter():
    model, images, order = tiny_transformer(), pictures(1, 3), torch.tensor([2, 0, 1])
    straight = model(images, cameras_at(CONTEXTS), cameras_at(QUERIES))
    shuffled = model(images[:, order], cameras_at(CONTEXTS)[order], cameras_at(QUERIES))
    for a, b in zip(straight, shuffled, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("n_pictures", [1, 4, 10])
def test_any_number_of_pictures_and_padding_changes_nothing(n_pictures):
    model, azimuths = tiny_transformer(), [36.0 * i for i in range(n_pictures)]
    images = pictures(1, n_pictures)
    alone = model(images, cameras_at(azimuths), cameras_at(QUERIES))
    padded = torch.cat([images, torch.full((1, 2, 3, 32, 32), 0.7)], dim=1)
    present = torch.tensor([[True] * n_pictures + [False] * 2])
    with_padding = model(padded, cameras_at([*azimuths, 11.0, 99.0]), cameras_at(QUERIES), present)
    for a, b in zip(alone, with_padding, strict=True):
        assert torch.isfinite(a).all()
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_common_turn_of_all_cameras_changes_nothing():
    model, images = tiny_transformer(), pictures(1, 3)
    one, other = (model(images, cameras_at(CONTEXTS, 20.0, t), cameras_at(QUERIES, 20.0, t)) for t in (0.0, 77.0))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
    moved = model(images, cameras_at(CONTEXTS, 20.0, 77.0), cameras_at(QUERIES))
    assert (moved[0] - one[0]).abs().max() > 1e-2  # turning only the images' cameras is something else


@torch.no_grad()
def test_scale_is_relative_to_the_ball():
    small, large = tiny_transformer(), tiny_transformer()
    large.config = replace(TINY, radius=3.0)

    def grown(cameras):
        c2w = cameras.c2w.clone()
        c2w[:, :3, 3] *= 3
        return Cameras(c2w, cameras.fov_deg, 32, 32)

    one = small(pictures(1, 3), cameras_at(CONTEXTS), cameras_at(QUERIES))
    other = large(pictures(1, 3), grown(cameras_at(CONTEXTS)), grown(cameras_at(QUERIES)))
    torch.testing.assert_close(one[0], other[0], atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_training_and_evaluation_mode_agree_and_a_scene_does_not_depend_on_its_neighbours():
    model = tiny_transformer()
    assert not any(isinstance(m, nn.Dropout | nn.modules.batchnorm._BatchNorm) for m in model.modules())
    images = pictures(2, 3)
    both = model.train()(images, cameras_at(CONTEXTS * 2), cameras_at(QUERIES * 2))
    alone = model.eval()(images[1:], cameras_at(CONTEXTS), cameras_at(QUERIES))
    torch.testing.assert_close(both[0][2:], alone[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both[1][2:], alone[1], atol=1e-5, rtol=1e-4)


def test_a_point_is_looked_up_where_it_appears():
    """The origin is in the middle of every image; a point to the right of one camera is right in its image."""
    cameras = cameras_at([0.0, 90.0], 0.0)
    origins = torch.tensor([[3.2, 0.0, 0.0]]).expand(2, 3)
    directions = torch.tensor([[-1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    axes = cameras.c2w[:1, :3, :3].expand(2, 3, 3)
    bundle = RayBundle(origins, directions, torch.tensor([[3.2], [2.7]]), axes, torch.zeros(2, dtype=torch.long))
    look = look_up(bundle, cameras, 2, radius=1.0)
    centre = torch.tensor([0.5, 0.5])
    torch.testing.assert_close(look.places[0, 0], torch.stack([centre, centre]))
    torch.testing.assert_close(look.places[1, 0, 0], centre)  # nearer on the same axis
    # at (0.5, 0, 0), seen from +y, +x is to the left: 0.5 of 2 * 3.2 tan 20 degrees
    x = 0.5 - 0.5 / (2 * 3.2 * math.tan(math.radians(20)))
    torch.testing.assert_close(look.places[1, 0, 1], torch.tensor([x, 0.5]))
    assert look.inside.all() and look.picture.tolist() == [0, 1, 0, 1]
    assert look.cosine[1, 0, 0] == pytest.approx(1) and look.cosine[0, 0, 1] == pytest.approx(0, abs=1e-6)
    assert look.distance[1, 0, 0] == pytest.approx(-0.5) and bundle.depths(1.0).flatten().tolist() == [
        pytest.approx(0),
        pytest.approx(-0.5),
    ]


def test_points_behind_or_beside_a_camera_are_not_inside():
    cameras = cameras_at([180.0], 0.0)
    axes = torch.eye(3)[None].expand(2, 3, 3)
    origins = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    directions = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    bundle = RayBundle(origins, directions, torch.tensor([[5.0], [2.0]]), axes, torch.zeros(2, dtype=torch.long))
    look = look_up(bundle, cameras, 1, radius=1.0)
    assert not look.inside.any() and torch.isfinite(look.places).all()


def test_plucker_coordinates_are_the_same_for_every_point_of_a_line():
    point, direction = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 0.6, 0.8])
    here, there = (plucker(point + t * direction, direction, 2.0) for t in (0.0, 4.0))
    torch.testing.assert_close(here, there)
    torch.testing.assert_close(here, torch.tensor([0.0, 0.6, 0.8, -0.1, -0.4, 0.3]))


def test_waves_by_hand():
    torch.testing.assert_close(waves(torch.tensor([1.0]), 2), torch.tensor([1.0, 1.0, 0.0, 0.0, -1.0]))


def test_looking_up_agrees_with_grid_sample_with_gradients():
    generator = torch.Generator().manual_seed(2)
    maps = torch.rand(2, 3, 5, 7, generator=generator, requires_grad=True)
    places = torch.rand(40, 2, generator=generator) * 1.4 - 0.2  # some of them beyond the border
    number = torch.arange(40) % 2
    found = gather(maps, places, number)
    found.square().sum().backward()
    ours, maps.grad = maps.grad, None
    grid = (places * 2 - 1).view(1, 40, 1, 2).expand(2, 40, 1, 2)
    theirs = nn.functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)[..., 0]
    theirs = theirs[number, :, torch.arange(40)]
    theirs.square().sum().backward()
    torch.testing.assert_close(found, theirs)
    torch.testing.assert_close(ours, maps.grad)


def test_wrong_input():
    model = tiny_transformer()
    with pytest.raises(Prior3dError, match=r"images \(1, 2, 3, 16, 16\), expected .*32, 32\]; resize them"):
        model(torch.zeros(1, 2, 3, 16, 16), cameras_at(QUERIES), cameras_at(QUERIES))
    with pytest.raises(Prior3dError, match="3 context and 2 query cameras .* 2 contexts"):
        model(pictures(1, 2), cameras_at(CONTEXTS), cameras_at(QUERIES))
    with pytest.raises(Prior3dError, match="a scene has no picture"):
        model(pictures(1, 2), cameras_at(QUERIES), cameras_at(QUERIES), torch.zeros(1, 2, dtype=torch.bool))
    with pytest.raises(Prior3dError, match="image_size 30 must be a multiple of patch 4"):
        EpipolarConfig(image_size=30)
