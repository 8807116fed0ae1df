"""Edits of single images of a capture: noise levels, cameras, what is taken of an edit, and whose turn it is."""

import pytest
import torch

from prior3d.cameras import orbit_cameras, ring
from prior3d.captures.posed import PosedViews
from prior3d.dataset_update.captured_views import CapturedViews, edit_distillation
from prior3d.dataset_update.edit_scene import SceneEdit
from prior3d.dataset_update.edit_views import ViewEditor, conditioning_cameras, edit_strength
from prior3d.dataset_update.edited_grid import EditedGrid
from prior3d.dataset_update.edited_images import EditedViews
from prior3d.dataset_update.schedule import views_due
from prior3d.dataset_update.surfaces import surfaces_now
from prior3d.diffusion.instruct import InstructPrior
from prior3d.diffusion.scheduling import Schedule
from prior3d.distillation.sds import ScoreDistillation
from prior3d.fields.scene_field import SceneField, SceneFieldConfig
from prior3d.images.files import write_png
from prior3d.seeds import Seeds
from prior3d.settings.scene_edits import ConsensusSettings, RelevanceSettings, ViewEditSettings

HEIGHT, WIDTH = 24, 48


class Reddener(InstructPrior):
    """Turns the red channel up by 0.2, with noise of a hundredth; its autoencoder takes 0.1 of every colour away.

    Its latents are images of half the size, and it predicts that all noise is half of what it sees.
    """

    device, image_size, latent_size, n_timesteps = torch.device("cpu"), 16, 8, 1000
    schedule = Schedule(torch.linspace(0.99, 0.01, 1000), 1 - torch.linspace(0.99, 0.01, 1000), "epsilon")
    camera_conditioned = True

    def __init__(self):
        self.edits, self.predictions = [], []

    def encode(self, images, generator=None):
        return torch.nn.functional.avg_pool2d(images - 0.1, 2)

    def decode(self, latents):
        return torch.nn.functional.interpolate(latents, scale_factor=2)

    def add_noise(self, latents, noise, timesteps):
        return latents + noise

    def unknown_words(self, prompt):
        return []

    def embed(self, prompts):
        return torch.tensor([float(len(prompt)) for prompt in prompts]).view(-1, 1, 1)

    def condition(self, images):
        return self.encode(images)

    def predict(self, noisy, timesteps, asked, condition, image_guidance_scale):
        self.predictions.append(
            (timesteps, asked.text, condition, asked.guidance_scale, image_guidance_scale, asked.camera)
        )
        return noisy / 2

    def edit(self, start, originals, instructions, settings, camera=None, *, timesteps=None, generator):
        self.edits.append((start, settings, camera, timesteps))
        red = torch.tensor([0.2, 0.0, 0.0])[:, None, None]
        return self.decode(self.encode(originals)) + red + 0.01 * torch.randn(originals.shape, generator=generator)


class CameralessReddener(Reddener):
    camera_conditioned = False


@pytest.fixture
def dataset(tmp_path):
    """Three grey photos."""
    files = tuple(tmp_path / f"{view}.png" for view in range(3))
    for view, file in enumerate(files):
        write_png(file, torch.full((HEIGHT, WIDTH, 3), 0.3 + 0.1 * view).numpy())
    return EditedViews(PosedViews(orbit_cameras(ring(3, 20.0), HEIGHT, WIDTH), files, (), "none"), [0, 1, 2], 1.0)


def editor_of(dataset, prior=None, **settings):
    return ViewEditor(prior or Reddener(), "make it red", dataset.cameras, ViewEditSettings(**settings), 16)


def test_whose_turn_it_is():
    def due(n_steps, **how):
        return [views_due(step, 3, 2, **how) for step in range(n_steps)]

    assert due(7, repeatedly=True, together=False) == [[0], [], [1], [], [2], [], [0]]
    assert due(7, repeatedly=True, together=True) == [[0, 1, 2], [], [], [], [], [], [0, 1, 2]]
    assert due(7, repeatedly=False, together=False) == [[0, 1, 2]] + [[]] * 6


def test_noise_levels_come_from_a_range_whose_upper_end_may_fall():
    stays, falls = (
        ViewEditSettings(noise_range=(0.2, 0.8)),
        ViewEditSettings(noise_range=(0.2, 0.8), noise_range_end=0.4),
    )
    assert [edit_strength(stays, progress) for progress in (0.0, 1.0)] == [0.8, 0.8]
    assert [edit_strength(falls, progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([0.8, 0.6, 0.4])
    never_below = ViewEditSettings(noise_range=(0.5, 0.8), noise_range_end=0.1)
    assert edit_strength(never_below, 1.0) == pytest.approx(0.5)
    generator = torch.Generator().manual_seed(0)
    drawn = [edit_strength(falls, 1.0, generator) for _ in range(200)]
    assert 0.2 <= min(drawn) < 0.21 and 0.39 < max(drawn) <= 0.4


def test_cameras_are_told_where_they_mean_something():
    toy, far = orbit_cameras(ring(3, 20.0), 8, 8), orbit_cameras(ring(3, 20.0, radius=8.0), 8, 8)
    takes, takes_none = Reddener(), CameralessReddener()
    assert conditioning_cameras(toy, takes, "auto").shape[0] == 3
    assert conditioning_cameras(far, takes, "auto") is None and conditioning_cameras(far, takes, "yes") is not None
    assert conditioning_cameras(toy, takes, "no") is None and conditioning_cameras(toy, takes_none, "yes") is None


@pytest.mark.parametrize(("transfer", "expected"), [(True, [0.6, 0.4, 0.4]), (False, [0.5, 0.3, 0.3])])
def test_only_the_change_is_taken_or_all_of_the_priors_image(dataset, transfer, expected):
    """The photo is grey at 0.4: the autoencoder's loss of 0.1 is in the edit only without transfer."""
    editor = editor_of(dataset, transfer=transfer, n_edit_samples=4, min_change=0.0)
    edit = editor.edit(1, dataset.original(1), None, 0.8, torch.Generator().manual_seed(0))
    assert edit.shape == (1, 3, HEIGHT, WIDTH)
    assert edit.mean((0, 2, 3)).tolist() == pytest.approx(expected, abs=0.01)
    start, settings, camera, timesteps = editor.prior.edits[0]
    assert start.shape == (4, 3, 16, 32) and camera.shape[0] == 4, "as many edits as samples, at the prior's size"
    assert timesteps == [721, 641, 561, 481, 401, 321, 241, 161, 81, 1], "k floor(800 / 10) + 1"
    assert (settings.guidance_scale, settings.image_guidance_scale) == (3.0, 1.5)
    editor.edit(1, dataset.original(1), dataset.original(2), 0.8, torch.Generator().manual_seed(0), (1.1, 7.0))
    start, settings, *_ = editor.prior.edits[1]
    assert start.mean().item() == pytest.approx(0.5, abs=0.01), "denoising starts from the render"
    assert (settings.guidance_scale, settings.image_guidance_scale) == (7.0, 1.1)


def test_one_step_predictions_are_means_over_noise_without_guidance(dataset):
    editor = editor_of(dataset)
    mean, square = editor.predict_in_one_step(0, dataset.original(0), 5, 0.8, torch.Generator().manual_seed(0))
    assert mean.mean((1, 2)).tolist() == pytest.approx([0.2, 0.0, 0.0], abs=0.01)
    assert square.mean().item() == pytest.approx(0.2**2 + 3 * 0.01**2, rel=0.1)
    start, settings, _, timesteps = editor.prior.edits[0]
    assert len(start) == 5 and timesteps == [799] and settings.guidance_scale == settings.image_guidance_scale == 1.0


def scene_of(dataset, editor):
    field = SceneField(SceneFieldConfig(resolution=5, sh_degree=0))
    grid = EditedGrid(field, surfaces_now(field, dataset.cameras, n_bins=8), n_bins=8)
    return SceneEdit(grid, dataset, editor, Seeds(0), RelevanceSettings(), ConsensusSettings())


def test_a_preview_takes_no_noise_from_the_loop(dataset):
    scene = scene_of(dataset, editor_of(dataset))
    before = {name: state.clone() for name, state in scene.seeds.state().items()}
    own = [scene.edited(1, from_render=False, generator=Seeds(3).generator("noise")) for _ in range(2)]
    assert torch.equal(*own)
    after = scene.seeds.state()
    assert all(torch.equal(after[name], state) for name, state in before.items()) and after.keys() == before.keys()


def test_part_of_the_previous_edit_stays_and_the_regions_outside_as_photographed(dataset):
    scene = scene_of(dataset, editor_of(dataset, min_change=0.0))
    scene.region.maps[1, :, :, : WIDTH // 2] = 0
    dataset.put(1, torch.ones(1, 3, HEIGHT, WIDTH))
    scene.replace(1, from_render=False, progress=0.0, previous_weight=0.25)
    left, right = dataset.now(1)[..., : WIDTH // 2], dataset.now(1)[..., WIDTH // 2 :]
    assert left.mean((0, 2, 3)).tolist() == pytest.approx([0.25 + 0.75 * 0.4] * 3, abs=0.005)
    assert right.mean((0, 2, 3)).tolist() == pytest.approx([0.25 + 0.75 * level for level in (0.6, 0.4, 0.4)], abs=0.01)


def test_captured_views_are_distilled_at_their_own_shape(dataset):
    """0.5 |z - (z - w (eps_hat - eps))|^2 with eps_hat = (z + eps) / 2, by hand for the drawn view and noise."""
    settings = ViewEditSettings(noise_range=(0.3, 0.3), guidance_scale=5.0, image_guidance_scale=2.0)
    prior = Reddener()
    views = CapturedViews(ViewEditor(prior, "make it red", dataset.cameras, settings, 16), dataset)
    distil = ScoreDistillation(views, Seeds(0), edit_distillation(settings), "image")
    image = torch.full((1, 3, 16, 32), 0.6, requires_grad=True)
    found = distil(lambda cameras, batch: image.expand(1, 3, cameras.height, cameras.width), 0.0)
    timesteps, text, condition, scale, image_scale, camera = prior.predictions[0]
    assert timesteps.tolist() == [300] and (scale, image_scale) == (5.0, 2.0) and text.item() == len("make it red")
    assert condition.mean().item() == pytest.approx(dataset.original(found.batch.view).mean().item() - 0.1, abs=0.01)
    assert camera.shape[0] == 1 and found.latents.shape == (1, 3, 8, 16)
    weight = 1 - prior.schedule.signal[300]
    residual = weight * ((found.latents + found.noise) / 2 - found.noise)
    assert found.loss.item() == pytest.approx(0.5 * residual.square().mean().item(), rel=1e-4)
    found.loss.backward()
    assert image.grad.abs().max() > 0
