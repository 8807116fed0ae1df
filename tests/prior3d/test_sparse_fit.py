"""Rays of views that may be masked or not, their losses by hand, and a fit that recovers a coloured ball."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.errors import Prior3dError
from prior3d.losses.robust import charbonnier, charbonnier_loss, huber_loss
from prior3d.reconstruction.input_views import InputViews
from prior3d.reconstruction.sparse_fit import start_fit
from prior3d.reconstruction.view_targets import RayBatch, ViewTargets, view_losses
from prior3d.rendering import Rendering
from prior3d.rendering.background import Background, load_background, save_background
from prior3d.seeds import Seeds
from prior3d.settings.reconstruction import FitSettings

SMALL = FitSettings(resolutions=(9,), n_samples=12, rays_per_step=128)


def rig(n=3, size=8):
    return orbit_cameras(ring(n, 15.0), size, size)


def disc(cameras):
    """Colours and masks of a red disc in the middle of every view."""
    row, column = torch.meshgrid(*(torch.arange(cameras.height) + 0.5 - cameras.height / 2,) * 2, indexing="ij")
    masks = ((row**2 + column**2).sqrt() < cameras.height / 4).float().expand(cameras.views, -1, -1)
    return masks[:, None] * torch.tensor([0.9, 0.1, 0.1]).view(1, 3, 1, 1), masks


def test_charbonniers_loss_is_quadratic_below_the_knee_and_linear_above():
    assert torch.allclose(charbonnier(torch.tensor([0.0, 1e-3])), torch.tensor([0.0, 5e-6]), atol=1e-8)
    far = charbonnier(torch.tensor([5.0, 6.0]))
    assert abs(far[1] - far[0] - 1.0) < 1e-3


def test_rays_of_no_weight_count_for_nothing():
    rendered, target, weights = torch.rand(2, 3), torch.zeros(2, 3), torch.tensor([0.0, 1.0])
    for loss in (charbonnier_loss, huber_loss):
        alone = loss(rendered[1:], target[1:], weights[1:])
        assert torch.isclose(loss(rendered, target, weights), alone / 2)


def test_losses_by_hand():
    n = 2
    rendering = Rendering(
        features=torch.zeros(n, 3), opacity=torch.tensor([0.0, 0.5]), depth=torch.zeros(n),
        weights=torch.zeros(n, 1), starts=torch.zeros(n, 1), ends=torch.ones(n, 1), density=torch.zeros(n, 1),
    )  # fmt: skip
    rays = torch.zeros(n, 3)
    batch = RayBatch(rays, rays, torch.zeros(n, 3), torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    behind = torch.full((n, 3), 0.4)
    colour, mask = view_losses(rendering, batch, behind, charbonnier_loss, masked=True)
    # first ray: empty and to be empty; second: half of the background where black should hide it, weight 2
    assert torch.isclose(colour, 2 * charbonnier(torch.tensor(0.2)) / 2) and torch.isclose(mask, torch.tensor(0.5))
    colour, mask = view_losses(rendering, batch, behind, charbonnier_loss, masked=False)
    expected = (charbonnier(torch.tensor(0.4)) + 2 * charbonnier(torch.tensor(0.2))) / 2
    assert torch.isclose(colour, expected) and mask == 0


def test_pixels_of_no_weight_are_never_drawn():
    views = ViewTargets(rig(), masked=False)
    weights = torch.zeros(1, 8, 8)
    weights[0, 2, 3] = 0.5
    views.put(torch.tensor([1]), torch.full((1, 3, 8, 8), 0.25), None, weights)
    drawn = views.draw(50, torch.Generator().manual_seed(0))
    assert (drawn.weights == 0.5).all() and (drawn.colours == 0.25).all()
    assert torch.equal(drawn.directions[0], views.directions.view(3, 8, 8, 3)[1, 2, 3])


def test_rays_are_drawn_by_weight_or_weighed():
    views = ViewTargets(rig(2), masked=True)
    views.put(
        torch.arange(2), torch.full((2, 3, 8, 8), 0.5), torch.ones(2, 8, 8), torch.tensor([1.0, 0.25])[:, None, None]
    )
    first = views.origins[:64].mean(0)
    by_weight, alike = (
        views.draw(4000, torch.Generator().manual_seed(0), by_weight=chosen) for chosen in (True, False)
    )
    shares = [((b.origins - first).norm(dim=-1) < 1e-4).double().mean().item() for b in (by_weight, alike)]
    assert shares == pytest.approx([0.8, 0.5], abs=0.03)
    assert by_weight.weights.unique().tolist() == [1.0]
    assert alike.weights.unique().tolist() == [0.25, 1.0]


def test_replaced_views_are_what_is_drawn_and_what_a_checkpoint_holds():
    views = ViewTargets(rig(2), masked=True)
    colours, masks = disc(rig(2))
    views.put(torch.arange(2), colours, masks, 1.0)
    views.put(torch.tensor([0]), colours[:1] * 0, masks[:1] * 0, 0.3)
    assert views.weights[0].max() == views.weights[0].min() == torch.tensor(0.3) and views.masks[0].max() == 0
    again = ViewTargets(rig(2), masked=True)
    again.load_state_dict(views.state_dict())
    one, two = (v.draw(20, torch.Generator().manual_seed(1)) for v in (views, again))
    assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in vars(one))


def test_a_background_is_smooth_and_differs_by_direction():
    sky = Background()
    directions = torch.nn.functional.normalize(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert torch.allclose(sky(directions), torch.full((5, 3), 0.5))
    with torch.no_grad():
        sky.coefficients[3, 0] = 2.0  # of z
    assert torch.allclose(sky(directions)[:, 0], (2 * directions[:, 2]).sigmoid(), atol=1e-6)


class Watched:
    """A monitor that asks to stop after some steps."""

    def __init__(self, stop_after=10**6):
        self.stop_after, self.steps = stop_after, 0

    @property
    def stopping(self):
        return self.steps >= self.stop_after

    def checkpoint_due(self):
        return False

    def progress(self, step, total, *, loss=None):
        self.steps = step


def views_of(colours, masks, cameras):
    return InputViews(colours, masks, torch.ones(len(colours), cameras.height, cameras.width), cameras)


def test_a_fit_shows_its_inputs(tmp_path):
    cameras = rig(4, 16)
    colours, masks = disc(cameras)
    fit = start_fit(views_of(colours, masks, cameras), SMALL, Seeds(0))
    assert fit.run(60, tmp_path / "checkpoint.safetensors", Watched())
    images, opacity = fit.images(cameras)
    assert (opacity - masks).abs().mean() < 0.12 and (images - colours).abs().mean() < 0.08


def test_a_fit_that_was_stopped_goes_on_to_the_same_bits(tmp_path):
    cameras = rig(2)
    whole, first, second = (start_fit(views_of(*disc(cameras), cameras), SMALL, Seeds(0)) for _ in range(3))
    assert whole.run(6, tmp_path / "whole.safetensors", Watched())
    assert not first.run(6, tmp_path / "broken.safetensors", Watched(stop_after=3))
    assert second.run(6, tmp_path / "broken.safetensors", Watched())
    pairs = zip(whole.field.state_dict().values(), second.field.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_priors_views_count_by_their_weight_and_not_at_all_at_zero():
    cameras = rig(2)
    colours, masks = disc(cameras)
    targets = ViewTargets(cameras)
    targets.put(slice(None), colours, masks)
    fit = start_fit(views_of(colours, masks, cameras), SMALL, Seeds(0), targets)
    assert "prior_colour" not in fit.losses(0.0, 0.0)
    assert fit.losses(0.0, 0.5)["prior_colour"] > 0


def test_without_masks_the_background_is_learned(tmp_path):
    cameras = rig(2)
    fit = start_fit(views_of(torch.full((2, 3, 8, 8), 0.8), None, cameras), SMALL, Seeds(0))
    assert fit.run(2, tmp_path / "checkpoint.safetensors", Watched()) and "background" in fit.modules
    assert fit.background is not None and fit.background.coefficients.abs().max() > 0
    assert fit.losses(0.0)["input_mask"] == 0


def test_a_background_on_disk(tmp_path):
    assert load_background(tmp_path) is None
    background = Background()
    torch.nn.init.normal_(background.coefficients, generator=torch.Generator().manual_seed(0))
    save_background(tmp_path, background)
    again = load_background(tmp_path)
    assert again is not None and torch.equal(again.coefficients, background.coefficients)
    for damaged in ("[[1, 2", "[1, 2, 3]", "{}"):
        (tmp_path / "background.json").write_text(damaged)
        with pytest.raises(Prior3dError, match="background.json: damaged"):
            load_background(tmp_path)
