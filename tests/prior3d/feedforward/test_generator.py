"""The feed-forward generator: its grid, the field on it, what it learns from, its files."""

import json

import numpy as np
import pytest
import torch

from prior3d.cameras import orbit_cameras
from prior3d.diffusion.joint_text import JointTextPrior
from prior3d.diffusion.joint_views import load_joint_views
from prior3d.diffusion.own_networks import save_own
from prior3d.errors import Prior3dError
from prior3d.feedforward.files import NETWORK, generate, load_generator
from prior3d.feedforward.generated_field import GeneratedField, kept_field
from prior3d.feedforward.generator import FieldGenerator, GeneratorConfig
from prior3d.feedforward.supervision import asked_of, clean_views, image_loss, pixel_rays
from prior3d.rendering import render_without_gradient
from prior3d.toyworld.renders import toy_orbit
from tests.tiny_joint_views import write_tiny_joint_views

SMALL = GeneratorConfig(text_width=16, width=24, layers=1, heads=2, parts=3, nodes=16, code=5, smoothing=4)


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    folder = write_tiny_joint_views(tmp_path_factory.mktemp("prior") / "toy-mv")
    return load_joint_views(folder, torch.device("cpu"))


def network(seed=0):
    torch.manual_seed(seed)
    return FieldGenerator(SMALL)


def text(seed=1, texts=1):
    return torch.randn(texts, 5, 16, generator=torch.Generator().manual_seed(seed))


def test_a_text_has_its_own_grid_whatever_it_is_batched_with():
    made, texts = network(), text(texts=3)
    together = made(texts)
    assert together.shape == (3, 16, 16, 16, 4)
    torch.testing.assert_close(together[1:2], made(texts[1:2]))
    assert not torch.allclose(together[0], together[1])


def test_cells_lie_where_their_tokens_stand():
    made = network()
    made.layers = torch.nn.ModuleList()  # attention would spread a change
    with torch.no_grad():
        code, _ = made.code_and_palette(text())
        before = made.content(text(), code)
        made.places[0, 5 + 8 * 2 + 64 * 7] += torch.randn(24)  # x 5, y 2, z 7
        changed = (made.content(text(), code) - before).abs().sum(dim=1)[0]
    z, y, x = np.unravel_index(int(changed.argmax()), changed.shape)
    assert (x // 2, y // 2, z // 2) == (5, 2, 7)
    assert int((changed > 0).sum()) == 8  # the nodes of a cell


def test_colours_are_mixed_from_as_many_as_there_are_parts():
    made = network()
    with torch.no_grad():
        colours = made.code_and_palette(text())[1][0]
        grid = made(text())[0, ..., 1:].sigmoid().reshape(-1, 3)
    assert colours.shape == (3, 3)
    assert (grid >= colours.amin(0) - 1e-4).all() and (grid <= colours.amax(0) + 1e-4).all()


def test_the_field_on_a_grid_is_the_field_that_is_kept():
    grid = network()(text())[0]
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(3)) * 2 - 1
    density, colours = GeneratedField(grid)(points)
    kept_density, kept_colours = kept_field(grid)(points)
    torch.testing.assert_close(density, kept_density)
    torch.testing.assert_close(colours, kept_colours)
    assert (density > 0).any()


def test_the_gradient_of_a_render_reaches_the_network(prior):
    made = network()
    rays = pixel_rays(prior, prior.orbit(torch.tensor([0.0]), torch.tensor([10.0])))
    generator = torch.Generator().manual_seed(0)
    wanted, white = torch.zeros(len(rays[0]), 3), torch.ones(1, 3)
    loss = image_loss(GeneratedField(made(text())[0]), rays, wanted, white, 8, 1e-3, generator)
    loss.backward()
    without = [name for name, p in made.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == ["spread.weight", "spread.bias"]  # behind weights that begin at 0


def test_a_few_steps_bring_a_render_nearer(prior):
    made, generator = network(), torch.Generator().manual_seed(0)
    rays = pixel_rays(prior, prior.orbit(torch.tensor([0.0, 90.0]), torch.full((2,), 10.0)))
    wanted, white = torch.tensor([0.9, 0.1, 0.1]).expand(len(rays[0]), 3), torch.ones(1, 3)
    optimiser, losses = torch.optim.Adam(made.parameters(), 3e-3), []
    for _ in range(30):
        loss = image_loss(GeneratedField(made(text())[0]), rays, wanted, white, 8, 0.0, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_clean_views_are_what_the_prior_says_of_the_noisy_ones(prior):
    judge, orbit = JointTextPrior(prior), prior.orbit(torch.tensor([0.0, 90.0]), torch.full((2,), 10.0))
    images = torch.rand(2, 3, prior.image_size, prior.image_size, generator=torch.Generator().manual_seed(1))
    asked = asked_of(judge, "a red ball", orbit, 2.0)
    found = clean_views(judge, images, asked, 300, 0.0, torch.Generator().manual_seed(5))

    noise = prior.diffusion.draw_noise(2, torch.Generator().manual_seed(5))
    at = torch.full((2,), 300)
    noisy = prior.add_noise(prior.encode(images), noise, at)
    question = prior.ask(prior.embed(["a red ball"]), orbit, null_text=prior.embed([""]), guidance_scale=2.0)
    clean = prior.schedule.clean_of(noisy, prior.predict(noisy, at, question), at)
    torch.testing.assert_close(found, prior.decode(clean).clamp(0, 1), atol=1e-4, rtol=1e-3)


def test_it_comes_back_from_its_files(tmp_path):
    made = network()
    save_own(made, tmp_path / NETWORK)
    again = load_generator(tmp_path)
    torch.testing.assert_close(again(text()), made.half().float()(text()), atol=1e-4, rtol=1e-3)
    cameras = orbit_cameras(toy_orbit(torch.tensor([0.0]), torch.tensor([0.0])), 8, 8)
    assert render_without_gradient(generate(again, text()), cameras, 8)[0].isfinite().all()


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 40), "not a whole"),
        (lambda folder: (folder / "config.json").write_text(json.dumps({"width": 24})), "lacks"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
    ],
    ids=["no weights", "torn", "a size too few", "no sizes"],
)
def test_a_damaged_student_is_refused(break_it, said, tmp_path):
    save_own(network(), tmp_path / NETWORK)
    break_it(tmp_path / NETWORK)
    with pytest.raises(Prior3dError) as refused:
        load_generator(tmp_path)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(Prior3dError, match="nodes 30 must be a multiple of 8"):
        GeneratorConfig(nodes=30)
