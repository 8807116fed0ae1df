"""Mirror planes: what a reflection does to cameras, and planes found again in outlines of known things."""

import pytest
import torch

from prior3d.cameras import Cameras, Orbit, orbit_cameras
from prior3d.errors import Prior3dError
from prior3d.meshes.mesh import Mesh
from prior3d.meshes.raster import render_mesh
from prior3d.reconstruction.symmetry import MirrorPlane, find_planes
from prior3d.toyworld.objects import sample_object
from prior3d.toyworld.renders import render_toy, toy_orbit


def cameras_at(azimuths_deg, elevations_deg, size=48):
    return orbit_cameras(toy_orbit(torch.tensor(azimuths_deg), torch.tensor(elevations_deg)), size, size)


def test_points_come_back_and_points_on_the_plane_stay():
    plane = MirrorPlane(30.0, 0.2)
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(plane.reflect(plane.reflect(points)), points, atol=1e-6)
    on_it = points - ((points @ plane.normal()) - 0.2)[:, None] * plane.normal()
    assert torch.allclose(plane.reflect(on_it), on_it, atol=1e-6)


def test_a_mirrored_camera_sees_the_flipped_picture_of_a_mirrored_mesh():
    generator = torch.Generator().manual_seed(1)
    vertices = torch.rand(4, 3, generator=generator) - 0.5
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    plane, cameras = MirrorPlane(70.0, 0.1), cameras_at([20.0, 140.0], [10.0, 40.0])
    mesh = Mesh(vertices.numpy(), faces.numpy())
    mirrored = Mesh(plane.reflect(vertices).numpy(), faces[:, [0, 2, 1]].numpy())
    before = torch.as_tensor(render_mesh(mesh, cameras).mask)
    after = torch.as_tensor(render_mesh(mirrored, plane.mirrored(cameras)).mask)
    assert before.any() and (before.flip(-1).float() - after.float()).abs().mean() < 0.002
    turns = plane.mirrored(cameras).c2w[:, :3, :3]
    assert torch.allclose(torch.linalg.det(turns), torch.ones(2), atol=1e-5)


def first_of(word):
    return next(toy for toy in (sample_object(0, i, "held-out") for i in range(400)) if word in toy.caption)


@pytest.mark.parametrize(("turn_deg", "shift"), [(0.0, 0.0), (25.0, 0.0), (110.0, 0.08)])
def test_the_plane_of_a_car_is_found_wherever_it_stands(turn_deg, shift):
    toy, cameras = first_of("car"), cameras_at([10.0, 75.0, 200.0], [15.0, 35.0, 50.0], 64)
    masks = torch.as_tensor(render_toy(toy, cameras).mask).float()
    angle = torch.deg2rad(torch.tensor(turn_deg))
    turn = torch.eye(4)
    turn[:2, :2] = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    normal = MirrorPlane(90.0 + turn_deg, 0.0).normal()
    turn[:3, 3] = shift * normal
    moved = Cameras(turn @ cameras.c2w, cameras.fov_deg, 64, 64)
    best = find_planes(masks, moved, 1, 0.003, 1.0)[0]
    apart = abs(best.angle_deg - 90 - turn_deg) % 180
    assert min(apart, 180 - apart) <= 4
    assert abs(abs(best.offset) - shift) <= 0.05
    assert best.coverage > 0.97


def test_a_lopsided_thing_has_no_good_plane():
    """A long arm to the left and a tall pole to the front: no vertical plane suits both."""
    corners = torch.tensor([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = torch.tensor([[q[0], q[i], q[i + 1]] for q in quads for i in (1, 2)])
    boxes = (
        ((-0.1, -0.1, -0.6), (0.2, 0.9, 0.2)),
        ((0.5, -0.5, -0.6), (0.15, 0.15, 1.3)),
        ((-0.7, 0.2, -0.6), (0.7, 0.12, 0.12)),
    )
    vertices = torch.cat([corners * torch.tensor(size) + torch.tensor(low) for low, size in boxes])
    mesh = Mesh(vertices.numpy(), torch.cat([faces + 8 * i for i in range(3)]).numpy())
    cameras = cameras_at([10.0, 75.0, 140.0, 200.0, 280.0], [15.0, 35.0, 50.0, 5.0, 25.0], 64)
    masks = torch.as_tensor(render_mesh(mesh, cameras).mask).float()
    assert find_planes(masks, cameras, 1, 0.003, 1.0)[0].coverage < 0.9


def test_a_round_thing_has_as_many_planes_as_asked_for_and_apart():
    origins = cameras_at([0.0, 50.0, 170.0], [0.0, 20.0, 40.0], 48)
    from tests.posed_ball import ball_pictures

    masks = torch.as_tensor(ball_pictures(origins)[..., 3])
    planes = find_planes(masks, origins, 3, 0.01, 1.0)
    assert len(planes) == 3
    for i, one in enumerate(planes):
        for other in planes[:i]:
            apart = abs(one.angle_deg - other.angle_deg)
            assert min(apart, 180 - apart) >= 15


def test_one_view_is_refused():
    orbit = Orbit(*(torch.tensor([value]) for value in (0.0, 10.0, 3.2, 40.0)))
    with pytest.raises(Prior3dError, match="two or more"):
        find_planes(torch.ones(1, 8, 8), orbit_cameras(orbit, 8, 8), 1, 0.01, 1.0)
