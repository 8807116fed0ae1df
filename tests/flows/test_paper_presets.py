"""Presets that fit together: what a method puts in the world is seen by the cameras that it draws.

The `paper` preset has the papers' numbers, which come from worlds of several sizes. These tests hold for every method,
so also for one that is added later.
"""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
import yaml

from flows.engine.parameters import resolve
from flows.methods import METHODS
from prior3d.cameras import Cameras, OrbitRange, orbit_cameras, ring, sample_orbit
from prior3d.fields import ObjectField
from prior3d.fields.start import field_config
from prior3d.images.files import write_png
from prior3d.meshes.mesh import Mesh
from prior3d.meshes.placement import place_mesh
from prior3d.meshes.raster import render_mesh
from prior3d.rendering import rays, render_without_gradient
from prior3d.seeds import Seeds
from prior3d.settings.distillation import ViewSettings
from prior3d.settings.optimisation import FieldSettings
from prior3d.settings.refresh import ObjectCheckSettings
from prior3d.settings.single_image import ImageFieldSettings
from prior3d.toyworld.objects import sample_object
from stages import coarse_nerf, image_nerf, rgb_refinement
from stages.artifacts.base import load_metrics
from stages.contract import presets
from stages.contract.entry import execute
from stages.contract.job import Job
from stages.contract.object_check import ObjectCheck

PRESETS = ("toy", "paper")
LEAST, MOST = 0.1, 0.6  # of the pixels of drawn views, on average
TAKES_MESH = {"sketch-shape": "shape_guide", "latent-paint": "mesh_preparation", "retexture": "mesh_preparation"}
DRAWING = [
    (name, preset, stage.name)
    for name, method in METHODS.items()
    for preset in PRESETS
    for stage in method.stages
    if "views" in stage.load().Params.model_fields and isinstance(stage.load().Params().views, ViewSettings)
]


def settings_of(method: str, preset: str) -> dict:
    return resolve(METHODS[method], preset, None, [])


def drawn_cameras(views: dict, size: int = 24, n: int = 100) -> Cameras:
    ranges = OrbitRange(*(tuple(views[name]) for name in ("azimuth_deg", "elevation_deg", "radius", "fov_deg")))
    return orbit_cameras(sample_orbit(ranges, n, torch.Generator().manual_seed(0), spread=False), size, size)


class Ball(torch.nn.Module):
    """An opaque ball, as a field."""

    def __init__(self, radius: float):
        super().__init__()
        self.radius, self.config = radius, field_config(FieldSettings(ball_radius=2), "rgb", 3)
        self.device = torch.nn.Parameter(torch.zeros(()))

    def forward(self, points):
        return self.density(points), torch.full((len(points), 3), 0.5)

    def density(self, points):
        return 1e3 * (points.norm(dim=-1) < self.radius)


def covered(cameras: Cameras, radius: float) -> float:
    """Fraction of the pixels that show a ball about the origin."""
    origins, directions = rays(cameras)
    along = -(origins * directions).sum(-1)
    return ((origins.square().sum(-1) - along**2) < radius**2).float().mean().item()


def radius_of_start(values: dict) -> float:
    """Of the ball that covers as much of evaluation's views as the start of a field with these settings."""
    kind = ImageFieldSettings if "fine_from" in values else FieldSettings
    settings = kind(**values | {"occupancy_resolution": min(values["occupancy_resolution"], 48)})
    field = ObjectField(field_config(settings, "latent", 4), torch.Generator().manual_seed(0))
    field.update_occupancy(0, Seeds(0).generator)
    _, opacity, _ = render_without_gradient(field, orbit_cameras(ring(4), 32, 32), 64)
    seen = (opacity > 0.5).float().mean().item()
    return 3.2 * math.sin(math.atan(2 * math.tan(math.radians(20)) * math.sqrt(seen / math.pi)))


def radius_of_image(values: dict) -> float:
    """Of a ball that fills as much of the prepared image's side as an object does."""
    half = math.tan(math.radians(values["fov_deg"] / 2))
    return values["frame_width"] / 2 / half * math.sin(math.atan(values["fill_fraction"] * half))


def toy_mesh(index: int) -> Mesh:
    parts = sample_object(7, index, "held-out").parts
    starts = np.cumsum([0, *(len(part.solid.vertices) for part in parts)])
    faces = [part.solid.faces + start for part, start in zip(parts, starts, strict=False)]
    return Mesh(np.concatenate([part.solid.vertices for part in parts]), np.concatenate(faces))


def share_covered(method: str, settings: dict, cameras: Cameras) -> float:
    """Share of the pixels that the object of a method covers, where its stages put it."""
    if method in TAKES_MESH:  # a mesh's farthest point is where the method puts it: balls would be the largest of all
        placed = settings[TAKES_MESH[method]]
        found = []
        for index in range(4):
            mesh = toy_mesh(index)
            place = place_mesh(mesh.vertices, "z", "x", placed["radius"], placed["centre"], placed.get("lift", 0))
            world = Mesh(place.to_world(mesh.vertices), mesh.faces)
            found.append(float(render_mesh(world, cameras[:40]).mask.mean()))
        return float(np.mean(found))
    if "image_preparation" in settings:
        return covered(cameras, radius_of_image(settings["image_preparation"]))
    return covered(cameras, radius_of_start(settings["coarse_nerf"]["field"]))


@pytest.mark.parametrize(("method", "preset", "stage"), DRAWING)
def test_drawn_views_show_the_object_and_some_of_what_is_around_it(method, preset, stage):
    settings = settings_of(method, preset)
    share = share_covered(method, settings, drawn_cameras(settings[stage]["views"]))
    assert LEAST <= share <= MOST, f"{share:.1%}"


@pytest.mark.parametrize(("method", "preset", "stage"), [each for each in DRAWING if each[1] == "paper"])
def test_evaluation_shows_the_object_as_large_as_distillation_sees_it(method, preset, stage):
    settings = settings_of(method, preset)
    seen = settings["evaluation"]
    turntable = orbit_cameras(ring(8, seen["elevation_deg"], seen["radius"], seen["fov_deg"]), 24, 24)
    share, trained = (
        share_covered(method, settings, cameras) for cameras in (turntable, drawn_cameras(settings[stage]["views"]))
    )
    assert 0.5 <= share / trained <= 1.6, f"evaluation {share:.1%}, distillation {trained:.1%}"


def test_stages_that_draw_views_were_found():
    assert {method for method, _, _ in DRAWING} == set(METHODS) - {
        "quick",
        "sparsefusion",
        "instruct-nerf2nerf",
        "scene",
        "splats",
    }


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", ["realfusion", "make-it-3d"])
def test_a_perfect_reconstruction_passes_the_check(tmp_path, method, preset):
    radius = radius_of_image(settings_of(method, preset)["image_preparation"])
    job = Job("image_nerf", tmp_path, {}, tmp_path)
    check = ObjectCheck(job, Ball(radius), 128, ObjectCheckSettings(), "", "")
    for step in range(0, 100, 25):
        check.before(step, 100)
    check.at_end()
    assert 0.05 < job.metrics["coverage"]["value"] < 0.6


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("method", "stage"), [("latent-nerf", "coarse_nerf"), ("realfusion", "image_nerf"), ("make-it-3d", "image_nerf")]
)
def test_a_field_begins_as_an_object_and_not_as_fog(method, preset, stage):
    values = settings_of(method, preset)[stage]["field"]
    from_outside = covered(orbit_cameras(ring(8), 48, 48), radius_of_start(values))
    assert 0.02 < from_outside < 0.5, f"{from_outside:.1%}"


def test_latent_nerfs_start_covers_about_as_much_as_in_the_released_code():
    """35.5 % of the pixels of eight views at the middle of its cameras' ranges, measured there."""
    settings = settings_of("latent-nerf", "paper")["coarse_nerf"]
    field = ObjectField(field_config(FieldSettings(**settings["field"]), "latent", 4), torch.Generator().manual_seed(0))
    cameras = orbit_cameras(ring(8, 15.0, 1.25, 55.0), 24, 24)

    def share() -> float:
        return (render_without_gradient(field, cameras, 128)[1] > 0.5).float().mean().item()

    assert share() == 1  # without the occupancy grid
    field.update_occupancy(0, Seeds(0).generator)
    assert share() == pytest.approx(0.355, abs=0.05)


@pytest.mark.parametrize("preset", PRESETS)
def test_retexture_leaves_the_mesh_where_the_image_shows_it(tmp_path, preset):
    mesh = toy_mesh(0)
    place = place_mesh(mesh.vertices, "z", "x", 0.95, "box")
    world = Mesh(place.to_world(mesh.vertices).astype(np.float32), mesh.faces)
    azimuth_deg, elevation_deg = 30.0, 15.0
    seen = render_mesh(world, orbit_cameras(ring(1, elevation_deg, start_deg=azimuth_deg), 96, 96))
    mask = seen.mask[0][..., None]
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    write_png(inputs / "image.png", np.concatenate([0.5 * mask.repeat(3, -1), mask], -1).astype(np.float32))
    (inputs / "camera.txt").write_text(f"{azimuth_deg},{elevation_deg},40\n")
    lines = [f"v {x} {y} {z}" for x, y, z in mesh.vertices] + [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
    (inputs / "mesh.obj").write_text("\n".join(lines))
    settings = settings_of("retexture", preset)
    small = settings | {"texture_projection": settings["texture_projection"] | {"resolution": 64}}
    small["mesh_preparation"] |= {"up": "z", "front": "x", "chart_resolution": 64}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(small))))
    (tmp_path / "local.yaml").write_text("device: cpu\n")
    image = ["--image", "inputs/image.png", "--camera", "inputs/camera.txt"]
    assert execute("stages.mesh_preparation", ["--mesh", "inputs/mesh.obj"], tmp_path) == 0
    assert execute("stages.image_preparation", image, tmp_path) == 0
    given = ["--mesh", "mesh_preparation", "--image", "image_preparation"]
    assert execute("stages.texture_projection", given, tmp_path) == 0
    assert load_metrics(tmp_path / "texture_projection")["mask_iou"]["value"] >= 0.95


WEIGHTS = {
    "latent-nerf entropy": [
        ("latent-nerf", stage, "surface.entropy_weight") for stage in ("coarse_nerf", "rgb_refinement")
    ],
    "sketch-shape shape": [("sketch-shape", stage, "shape.weight") for stage in ("coarse_nerf", "rgb_refinement")],
    "realfusion colour": [("realfusion", "image_nerf", "reference.weight")],
    "realfusion mask": [("realfusion", "image_nerf", "reference.mask_weight")],
    "realfusion entropy": [("realfusion", "image_nerf", "surface.entropy_weight")],
    "realfusion orientation": [("realfusion", "image_nerf", "normals.orientation_weight")],
    "realfusion normals": [("realfusion", "image_nerf", "normals.smoothness_weight")],
    "make-it-3d colour": [("make-it-3d", "image_nerf", "reference.weight")],
    "make-it-3d depth": [("make-it-3d", "image_nerf", "reference.depth_weight")],
    "make-it-3d clip": [("make-it-3d", "image_nerf", "clip.weight")],
    "make-it-3d clip-d": [("make-it-3d", "image_nerf", "clip.denoised_weight")],
    "make-it-3d entropy": [("make-it-3d", "image_nerf", "surface.entropy_weight")],
    "make-it-3d orientation": [("make-it-3d", "image_nerf", "normals.orientation_weight")],
    "make-it-3d gradient": [("make-it-3d", "image_nerf", "optimiser.max_gradient_norm")],
}


@pytest.mark.parametrize("name", presets.PAPER_WEIGHTS)
def test_every_weight_of_the_papers_is_converted_and_used(name):
    for method, stage, parameter in WEIGHTS[name]:
        group, _, key = parameter.partition(".")
        assert settings_of(method, "paper")[stage][group][key] == pytest.approx(presets.paper_weight(name))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("latent-nerf entropy", 0.002),
        ("sketch-shape shape", 41.943),
        ("realfusion colour", 20.0),
        ("make-it-3d colour", 0.06104),
        ("make-it-3d clip", 6.104e-5),
        ("make-it-3d orientation", 6.714e-6),
    ],
)
def test_a_converted_weight_stands_beside_the_mean_as_the_papers_beside_the_sum(name, found):
    """Gradients of released and converted losses of one latent point the same way."""
    weight = presets.PAPER_WEIGHTS[name]
    assert weight.here == pytest.approx(found, rel=1e-3)
    latents = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    residual = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    other = latents.sin().mean()
    released = (latents * residual).sum() + weight.released * weight.loss_scale * weight.n_summed * other
    ours = (latents * residual).mean() + weight.here * other
    first, second = (torch.autograd.grad(loss, latents, retain_graph=True)[0] for loss in (released, ours))
    torch.testing.assert_close(first, second * presets.SDS_ELEMENTS, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("method", "preset", "stage"), DRAWING)
def test_distillation_weighs_as_the_papers_sum_whatever_the_size_of_latents(method, preset, stage):
    """But where the loss beside it is a sum over as many rays as there are latents, and by the means of `toy`."""
    by_rays = (method, stage) == ("sketch-shape", "coarse_nerf")
    expected = 0 if preset == "toy" or by_rays else presets.SDS_ELEMENTS
    assert settings_of(method, preset)[stage]["sds"]["elements"] == expected


def test_what_the_papers_do_not_have_can_be_switched_off():
    inversion = settings_of("realfusion", "paper")["textual_inversion"]
    assert inversion["averaged_fraction"] == 0 and inversion["optimiser"]["decay_to"] == 1
    fit = settings_of("sparsefusion", "paper")["view_distillation"]["fit"]
    assert fit["optimiser"]["decay_to"] == 1
    assert [fit["surface"][f"{name}_weight"] for name in ("entropy", "distortion", "smoothness")] == [0, 0, 0]


@pytest.mark.parametrize("method", METHODS)
def test_turbo_is_paper_without_guidance(method):
    paper, turbo = settings_of(method, "paper"), settings_of(method, "turbo")
    guided = 0
    for stage, values in paper.items():
        for group, inner in values.items():
            if isinstance(inner, dict) and "guidance_scale" in inner:
                assert turbo[stage][group] == inner | {"guidance_scale": 1.0}
                guided += 1
            else:
                assert turbo[stage][group] == inner
    assert guided or method in ("scene", "sparsefusion", "splats")


def test_toy_presets_have_no_part_of_it():
    for module in (coarse_nerf, rgb_refinement, image_nerf):
        params = module.Params()
        assert not params.check.accept and params.sds.starts_at == 0 and params.sds.views_at_once == 0
        if hasattr(params, "field"):
            assert dataclasses.asdict(params.field)["occupancy_resolution"] == 0 and params.field.near_plane == 0
