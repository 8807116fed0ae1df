"""Training the views prior on a small world of turning boxes, and the scores that it gets."""

import json

import numpy as np
import pytest
import torch

from prior3d import checkpoints
from prior3d.cameras import orbit_cameras
from prior3d.diffusion.views import load_views
from prior3d.errors import Prior3dError
from prior3d.metrics import ssim
from prior3d.toyworld.renders import toy_orbit
from stages.contract.entry import execute
from stages.contract.job import Stopped
from stages.contract.parameters import check_params
from stages.training.datasets.co3d import co3d_views
from stages.training.datasets.posed import PosedDataset, draw_scenes, toy_views
from stages.training.diffusion_loss import v_schedule
from stages.training.scores.views import mean_scores, novel_view_scores, sheet, trials
from stages.training.trainer import Trainer
from stages.training.views import FOLDER, Params, losses, stage
from stages.training.views.stage import step_sizes
from tests.tiny_co3d import write_category
from tests.tiny_views import write_tiny_vae
from tests.toy_training import training_job

TINY = Params(
    steps=3, scenes=2, queries=2, noises=1, channels=(8, 8, 16), width=8, depth_samples=2, threads=1, preview_steps=3
)


def views_job(root, **more):
    return training_job(root, "views", views="data/views", vae="data/priors/toy/vae", **more)


def write_views(folder, n_objects=3, n_views=8, size=32):
    """Both splits in the layout of `data/views`: squares of one colour an object, larger from above."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split in ("train", "held-out"):
        rgba = np.zeros((n_objects * n_views, size, size, 4), np.uint8)
        views_deg = np.stack([rng.uniform(0, 360, len(rgba)), rng.uniform(0, 60, len(rgba))], 1).astype(np.float32)
        for i, (_, elevation_deg) in enumerate(views_deg):
            half = size // 8 + int(elevation_deg / 10)
            middle = slice(size // 2 - half, size // 2 + half)
            rgba[i, middle, middle] = (*[(0, 0, 200), (0, 150, 0), (220, 0, 0)][i // n_views % 3], 255)
        np.save(folder / f"{split}.rgba.npy", rgba)
        np.save(folder / f"{split}.views.npy", views_deg)
        (folder / f"{split}.captions.json").write_text(json.dumps(["a box"] * n_objects))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a small world and a views prior that was trained on it for three steps."""
    folder = tmp_path_factory.mktemp("views")
    write_views(folder / "data/views")
    write_tiny_vae(folder / "data/priors/toy/vae")
    stage.run(views_job(folder), TINY)
    torch.set_flush_denormal(False)
    return folder


@pytest.fixture
def world(workplace):
    return toy_views(workplace / "data/views", "train")


def test_shares_say_how_often_a_step_has_so_many_contexts():
    always_two = TINY.model_copy(update={"context_shares": (1e-9, 1.0)})
    assert {step_sizes(always_two, step, most=8)[0] for step in range(20)} == {2}
    assert {step_sizes(always_two, step, most=2)[0] for step in range(20)} == {1}  # all that two images leave
    with pytest.raises(Prior3dError, match="context_shares starts with 0"):
        check_params(Params, {"context_shares": (0.0, 1.0)}, "views")


def test_a_query_is_never_among_its_contexts(world):
    for seed in range(200):
        drawn = draw_scenes(world, 3, 1 + seed % 6, 2, torch.Generator().manual_seed(seed))
        for contexts, queries in zip(drawn.contexts.tolist(), drawn.queries.tolist(), strict=True):
            assert len({*contexts, *queries}) == len(contexts) + 2, "a picture was drawn twice"
            assert len({picture // 8 for picture in (*contexts, *queries)}) == 1, "two objects in one scene"


def test_all_pictures_of_a_scene_have_one_background(world):
    drawn = draw_scenes(world, 8, 3, 2, torch.Generator().manual_seed(1))
    images = drawn.context_images(world)
    truth = world.images(drawn.queries.flatten(), drawn.query_background).view(8, 2, 3, 32, 32)
    corners = torch.cat([images, truth], dim=1)[:, :, :, 0, 0]
    assert (corners == corners[:, :1]).all() and len(corners[:, 0, 0].unique()) == 3


def test_too_few_pictures(world):
    with pytest.raises(Prior3dError, match="7 contexts and 2 queries .* the largest has 8 pictures"):
        draw_scenes(world, 1, 7, 2, torch.Generator())


def test_sizes_of_steps_leave_room_for_a_query():
    sizes = [step_sizes(Params(), step, 8) for step in range(200)]
    assert {contexts for contexts, _ in sizes} == {1, 2, 3, 4, 5, 6}
    assert all(queries == min(4, 8 - contexts) for contexts, queries in sizes)
    assert step_sizes(Params(), 0, 2) == (1, 1)


def test_the_robust_loss_by_hand():
    values = losses.charbonnier(torch.tensor([0.0, 0.1, -10.0]))
    assert values.tolist() == pytest.approx([0.0, 0.1 * (2**0.5 - 1), 9.9], rel=1e-3)


def test_no_diffusion_loss_reaches_the_regressed_picture(world):
    """The colours learn from the truth alone; the features from the diffusion model."""
    models, latents = networks(world)
    drawn = draw_scenes(world, 2, 2, 2, torch.Generator().manual_seed(0))
    v, _ = losses.both_losses(models, world, latents, drawn, TINY, v_schedule("cpu"), torch.Generator().manual_seed(0))
    v.backward()
    assert models["epipolar"].colours.weight.grad is None
    assert models["epipolar"].features.weight.grad.abs().sum() > 0


def networks(world):
    class FlatLatents:
        vae = PatchMeans()

        def __getitem__(self, index):
            return torch.zeros(len(index[0]), 4, 8, 8)

    return stage.build(TINY, 32), FlatLatents()


class PatchMeans:
    """Means of patches, in four channels."""

    def encode(self, images):
        means = torch.nn.functional.avg_pool2d(images, 4)
        self.latent_dist = self
        self.mean = torch.cat([means, means[:, :1]], dim=1)
        return self


def test_what_training_leaves_can_be_loaded_and_sampled(workplace):
    prior = load_views(workplace / "data/priors/toy-views", torch.device("cpu"))
    cameras = orbit_cameras(toy_orbit(torch.tensor([0.0, 90.0]), torch.tensor([10.0, 30.0])), 32, 32)
    made = prior.sample(
        torch.rand(2, 3, 32, 32), cameras, cameras, num_inference_steps=2, generator=torch.Generator().manual_seed(0)
    )
    assert made.shape == (2, 3, 32, 32) and torch.isfinite(made).all()
    facts = json.loads((workplace / "data/priors/toy-views/training.json").read_text())
    sizes = [step_sizes(TINY, step, 8)[1] for step in range(3)]
    assert facts["samples"] == 2 * sum(sizes) and facts["samples_before"] == 0
    assert (workplace / ".work/training/views/key/preview.png").stat().st_size > 0
    same = [(workplace / p / "vae/diffusion_pytorch_model.safetensors").read_bytes() for p in PRIORS]
    assert same[0] == same[1]


PRIORS = ("data/priors/toy", "data/priors/toy-views")


def test_a_stopped_training_ends_in_the_same_bits(workplace, tmp_path, monkeypatch):
    (tmp_path / "data/priors").mkdir(parents=True)
    for name in ("data/views", "data/priors/toy"):
        (tmp_path / name).symlink_to(workplace / name)
    update, job = Trainer.update, views_job(tmp_path)

    def stopped(trainer, loss):
        update(trainer, loss)
        job.stopping = True

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Trainer, "update", stopped)
        stage.run(job, TINY)
    _, state = checkpoints.load(job.work / "checkpoint.safetensors")
    assert state["step"] == 1 and not (tmp_path / FOLDER).exists()
    stage.run(views_job(tmp_path), TINY)
    for name in ("unet/diffusion_pytorch_model.safetensors", "epipolar/model.safetensors"):
        straight, resumed = (folder / FOLDER / name for folder in (workplace, tmp_path))
        assert straight.read_bytes() == resumed.read_bytes()


def test_a_category_of_ones_own(workplace, tmp_path):
    category = write_category(tmp_path / "ball")
    with pytest.raises(ValueError, match="would overwrite the embedded prior data/priors/toy-views; set out"):
        Params(data="ball")
    own = TINY.model_dump(exclude={"seed"}) | {"steps": 1, "data": str(category), "out": "data/priors/balls"}
    settings = tmp_path / ".work/training/views-balls/params.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"views-balls": own}))
    words = ["--vae", str(workplace / "data/priors/toy/vae"), "--name", "views-balls", "--params", str(settings)]
    assert execute("stages.training.views", words, tmp_path) == 0
    prior = load_views(tmp_path / "data/priors/balls", torch.device("cpu"))
    world = co3d_views(category, 32)
    assert [len(scene) for scene in world.scenes] == [5]
    images = world.images(torch.arange(3), torch.zeros(3, dtype=torch.long))
    made = prior.regression(images, world.cameras[slice(0, 3)], world.cameras[4])
    assert made.shape == (1, 3, 32, 32)
    assert len(list(tmp_path.glob(".work/training/views-balls/*/checkpoint.safetensors"))) == 1
    assert not (tmp_path / FOLDER).exists()


def test_something_must_be_there_to_train_on(workplace, tmp_path):
    job = training_job(tmp_path, "views")
    job.inputs["vae"] = workplace / "data/priors/toy/vae"
    with pytest.raises(Prior3dError, match="nothing to train on; give --views FOLDER, or set views.data"):
        stage.run(job, TINY)


def test_scores_and_card(workplace):
    settings = {"views_card": {"objects": 2, "views": 2, "steps": 1, "threads": 1}}
    (workplace / "params.yaml").write_text(json.dumps(settings))
    assert execute("stages.training.views_card", ["--views", "data/views"], workplace) == 0
    scores = json.loads((workplace / FOLDER / "scores.json").read_text())
    card = (workplace / FOLDER / "README.md").read_text()
    for what in ("regression", "sample", "nearest"):
        for n_inputs in (2, 3, 6):
            assert f"{scores[f'{what}_psnr_db_{n_inputs}']:.2f} dB" in card
            assert -1 <= scores[f"{what}_ssim_{n_inputs}"] <= 1
    assert scores["nearest_psnr_db_6"] > scores["sample_psnr_db_6"], "three steps of training beat nothing"


def test_scores_of_a_perfect_prior(world):
    """Inputs are not among the wanted views, these are the same for any number of inputs, and truth scores best."""
    chosen = trials(world, 3, 2, seed=4)
    assert [trial.background for trial in chosen] == [0, 1, 2]
    for trial in chosen:
        assert not set(trial.inputs.tolist()) & set(trial.wanted.tolist()) and len(trial.inputs) == 6

    class Perfect:
        def features_and_regression(self, images, cameras, wanted):
            assert len(images) == cameras.views == 2
            self.truth = images[:1].expand(wanted.views, -1, -1, -1)
            return torch.zeros(wanted.views, 1, 8, 8), self.truth

        def draw(self, features, *, num_inference_steps, generator):
            return self.truth

    flat = PosedDataset(np.full_like(world.rgba, 255), world.cameras, world.scenes)
    scores = novel_view_scores(Perfect(), flat, chosen, 2, n_steps=1, seed=0)
    assert [round(value, 6) for value in scores.values()] == [100, 1] * 3
    assert sheet(Perfect(), flat, chosen, 2, n_steps=1, seed=0).shape == (3 * 4 * 32, 2 * 32, 3)


def test_scores_by_hand():
    truth = torch.zeros(2, 3, 16, 16)
    images = truth.clone()
    images[1] += 0.1
    found = mean_scores(images, truth)
    assert found["psnr_db"] == pytest.approx((100 + 20) / 2, abs=1e-3)
    # of constant images only the brightness term is left: C1 / (mean^2 + C1)
    assert found["ssim"] == pytest.approx((1 + 1e-4 / (0.01 + 1e-4)) / 2, abs=1e-3)
    assert ssim(np.eye(16)[..., None].repeat(3, -1), np.eye(16)[..., None].repeat(3, -1)) == pytest.approx(1)
