"""gsplat is asked for what we mean. Without a GPU a stand-in of its signature answers, and its own torch code projects.

`pip install gsplat` brings its Python part also where there is no CUDA: with it two more tests run on a CPU.
"""

import inspect
import sys
import types

import pytest
import torch

from prior3d.cameras import opengl_to_opencv, orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.splats import gpu
from prior3d.splats.model import NAMES
from prior3d.splats.pairs import composite_pairs
from prior3d.splats.projection import project
from prior3d.splats.render import render_splats
from tests.gaussian_splats import some_splats

HEIGHT, WIDTH = 40, 56
# What gsplat 1.5.3 takes beside what has no default, and its defaults.
OPTIONS = {
    "near_plane": 0.01, "far_plane": 1e10, "radius_clip": 0.0, "eps2d": 0.3, "sh_degree": None, "packed": True,
    "tile_size": 16, "backgrounds": None, "render_mode": "RGB", "sparse_grad": False, "absgrad": False,
    "rasterize_mode": "classic", "channel_chunk": 32, "distributed": False, "camera_model": "pinhole",
    "segmented": False, "covars": None, "with_ut": False, "with_eval3d": False,
}  # fmt: skip
GIVEN = ("means", "quats", "scales", "opacities", "colors", "viewmats", "Ks", "width", "height")


def camera():
    return orbit_cameras(ring(1, elevation_deg=20.0), HEIGHT, WIDTH)


def asked(monkeypatch, splats, view):
    """What `rasterization` is given, by its names, and what is made of its answer."""
    told = {}

    def rasterization(*given, **options):
        assert set(options) <= set(OPTIONS) and len(given) == len(GIVEN)
        told.update(OPTIONS | dict(zip(GIVEN, given, strict=True)) | options)
        colours, opacity = composite_pairs(project(splats, view), view.height, view.width)
        return colours[None], opacity[None, ..., None], {}

    monkeypatch.setitem(sys.modules, "gsplat", types.SimpleNamespace(rasterization=rasterization))
    return told, gpu.render_by_gsplat(splats, view)


def test_gsplat_is_asked_in_its_own_terms(monkeypatch):
    splats, view = some_splats(degree=1), camera()
    told, (colours, opacity) = asked(monkeypatch, splats, view)
    expected = render_splats(splats, view, composite=composite_pairs)
    assert torch.equal(colours, expected.colours) and torch.equal(opacity, expected.opacity)
    shapes = [tuple(told[name].shape) for name in GIVEN[:7]]
    assert shapes == [(60, 3), (60, 4), (60, 3), (60,), (60, 4, 3), (1, 4, 4), (1, 3, 3)]
    assert (told["width"], told["height"], told["sh_degree"]) == (WIDTH, HEIGHT, 1)
    corner = torch.linalg.inv(told["viewmats"][0]) @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    assert torch.allclose(corner, view.c2w[0], atol=1e-5)
    focal = float(view.focal_pixels[0])
    lens = torch.tensor([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]])
    assert torch.allclose(told["Ks"][0], lens)
    assert torch.equal(told["scales"], splats.scales.exp())
    assert torch.equal(told["opacities"], splats.opacities.sigmoid())
    # what ours does: nothing is dropped for its size or distance, nothing is behind, opacities stay as they are
    kept = {name: told[name] for name in ("near_plane", "far_plane", "radius_clip", "eps2d", "backgrounds")}
    assert kept == {"near_plane": 0.01, "far_plane": 1e10, "radius_clip": 0.0, "eps2d": 0.3, "backgrounds": None}
    assert (told["rasterize_mode"], told["camera_model"], told["render_mode"]) == ("classic", "pinhole", "RGB")


def test_gsplat_without_its_kernels_is_told_in_one_line(monkeypatch):
    def rasterization(*_, **__):
        return None.projection_ewa_3dgs_fused_fwd  # what gsplat 1.5.3 does where nothing could be compiled

    monkeypatch.setitem(sys.modules, "gsplat", types.SimpleNamespace(rasterization=rasterization))
    with pytest.raises(Prior3dError, match="its CUDA kernels are not there .* install CUDA's toolkit") as told:
        gpu.render_by_gsplat(some_splats(), camera())
    assert "\n" not in str(told.value)


def test_a_cpu_is_not_for_gsplat():
    assert not gpu.available(torch.device("cpu"))


def test_the_installed_gsplat_takes_what_it_is_given(monkeypatch):
    gsplat = pytest.importorskip("gsplat", reason="gsplat is not installed")
    parameters = inspect.signature(gsplat.rasterization).parameters
    assert tuple(parameters)[: len(GIVEN)] == GIVEN
    defaults = {name: parameters[name].default for name in OPTIONS}
    assert defaults == OPTIONS
    needed = [name for name, each in parameters.items() if each.default is inspect.Parameter.empty]
    assert set(needed) <= set(GIVEN)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_the_installed_gsplat_projects_as_we_do(monkeypatch, degree):
    """By the torch code that gsplat's own tests compare its kernels with."""
    pytest.importorskip("gsplat", reason="gsplat is not installed")
    theirs = pytest.importorskip("gsplat.cuda._torch_impl", reason="gsplat keeps its torch code elsewhere")
    splats, view = some_splats(n=400, degree=degree), camera()
    with torch.no_grad():
        splats.means[:60] *= 3
        splats.means[60:80] += view.positions[0]
    told, _ = asked(monkeypatch, splats, view)
    with torch.no_grad():
        seen, quats = project(splats, view), torch.nn.functional.normalize(told["quats"], dim=-1)
        covariances, _ = theirs._quat_scale_to_covar_preci(quats, told["scales"])
        _, centres, depths, conics, _ = theirs._fully_fused_projection(
            told["means"], covariances, told["viewmats"], told["Ks"], WIDTH, HEIGHT, told["eps2d"], told["near_plane"]
        )
        along = told["means"] - opengl_to_opencv(view.c2w)[0, :3, 3]
        colours = (theirs._spherical_harmonics(degree, along, told["colors"]) + 0.5).clamp_min(0)
    shown = seen.opacities > 0
    assert torch.equal(shown, depths[0] > told["near_plane"]) and 0 < int((~shown).sum()) < 30
    assert torch.allclose(depths[0], seen.depths, atol=1e-5) and torch.allclose(colours, seen.colours, atol=1e-5)
    assert torch.allclose(centres[0][shown], seen.centres[shown], rtol=1e-4, atol=1e-3)
    assert torch.allclose(conics[0][shown], seen.conics[shown], rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_gsplat_draws_what_pairs_draw():
    pytest.importorskip("gsplat", reason="gsplat is not installed")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    splats, view = some_splats(n=400).cuda(), camera().to("cuda")
    found = {}
    for name, composite in (("gsplat", None), ("pairs", composite_pairs)):
        splats.zero_grad()
        rendered = render_splats(splats, view, composite=composite)
        rendered.colours.square().sum().backward()
        found[name] = rendered.colours.detach(), {n: getattr(splats, n).grad.clone() for n in NAMES}
    assert (found["gsplat"][0] - found["pairs"][0]).abs().max() < 1e-4
    for name in NAMES:
        expected = found["pairs"][1][name]
        assert (found["gsplat"][1][name] - expected).abs().max() < 1e-4 * expected.abs().max(), name
