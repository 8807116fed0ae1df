"""Latents to colours, masks and backgrounds, against known numbers."""

import pytest
import torch

from prior3d.diffusion.text_to_image import load_text_to_image
from prior3d.distillation.backgrounds import LearnedBackground, encoded_backgrounds, flat_images
from prior3d.errors import Prior3dError
from prior3d.fields import DenseGrids, FieldConfig, ObjectField, TiledGrid
from prior3d.images.colours import (
    clean_mask,
    difference_mask,
    estimate_alpha,
    fit_latent_to_rgb,
    most_distinct_background,
    paper_latent_to_rgb,
    paper_red_latent,
    rgb_field,
)
from tests.tiny_prior import write_tiny_prior


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_least_squares_finds_a_known_map():
    matrix, offset = torch.randn(4, 3, generator=generator()), torch.tensor([0.2, 0.5, 0.7])
    latents = torch.randn(3, 4, 8, 8, generator=generator(1))
    images = (latents.movedim(1, -1) @ matrix + offset).movedim(-1, 1)
    images = images.repeat_interleave(4, -1).repeat_interleave(4, -2)
    found_matrix, found_offset = fit_latent_to_rgb(latents, images, ridge=0)
    torch.testing.assert_close(found_matrix, matrix)
    torch.testing.assert_close(found_offset, offset)


def test_a_latent_channel_that_never_changes_gets_no_weight():
    latents = torch.randn(2, 4, 8, 8, generator=generator())
    latents[:, 3] = 1.5
    matrix, offset = fit_latent_to_rgb(latents, latents[:, :3] * 0.1 + 0.5)
    assert matrix.isfinite().all() and matrix[3].abs().max() < 1e-6


def test_the_papers_map_sends_zero_to_grey():
    matrix, offset = paper_latent_to_rgb()
    torch.testing.assert_close(torch.tensor([1.0, 0, 0, 0]) @ matrix + offset, torch.tensor([0.649, 0.6035, 0.604]))
    assert offset.tolist() == [0.5] * 3


@pytest.mark.parametrize(
    ("config", "finer"),
    [
        (FieldConfig(encoding=DenseGrids((5, 9))), (17,)),
        (FieldConfig(encoding=DenseGrids((5, 9), features=6), hidden=16), ()),
        (FieldConfig(encoding=TiledGrid(levels=3, finest=32, log2_entries=10), hidden=16), ()),
    ],
)
def test_rgb_twin_has_the_same_density_and_linear_colours(config, finer):
    latent = ObjectField(config, generator())
    with torch.no_grad():
        for parameter in latent.encoding.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator(2)) * 0.3)
    matrix, offset = torch.randn(4, 3, generator=generator(3)) * 0.1, torch.tensor([0.4, 0.5, 0.6])
    twin = rgb_field(latent, matrix, offset, finer)
    points = torch.rand(200, 3, generator=generator(4)) * 2 - 1
    (density, latents), (twin_density, colours) = latent(points), twin(points)
    torch.testing.assert_close(twin_density, density, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(colours, torch.sigmoid(4 * (latents @ matrix + offset - 0.5)), rtol=1e-4, atol=1e-5)
    assert twin.config.head == "rgb" and twin.config.channels == 3


def test_finer_grids_need_dense_grids():
    field = ObjectField(FieldConfig(encoding=TiledGrid(levels=2, log2_entries=8), hidden=16), generator())
    with pytest.raises(Prior3dError, match="finer grids can only be added to dense grids"):
        rgb_field(field, torch.zeros(4, 3), torch.zeros(3), (65,))


def test_difference_mask_ramps_from_one_to_two_tolerances():
    images = torch.full((1, 3, 1, 3), 0.5)
    images[0, 1, 0] = torch.tensor([0.57, 0.62, 0.7])
    torch.testing.assert_close(difference_mask(images, 0.5)[0, 0], torch.tensor([0.0, 0.5, 1.0]), atol=1e-5, rtol=0)


def test_solid_fills_holes_and_drops_specks():
    mask = torch.zeros(1, 32, 32)
    mask[0, 4:20, 4:20] = 1
    mask[0, 10:12, 10:12] = 0
    mask[0, 28, 28] = 1
    found = clean_mask(mask, torch.ones(1, 32, 32))
    assert found[0, 10:12, 10:12].min() == 1 and found[0, 28, 28] == 0
    assert found.sum() == 16 * 16


def test_solid_leaves_holes_that_light_passes_through():
    mask = torch.ones(1, 16, 16)
    mask[0, 6:9, 6:9] = 0
    opacity = torch.ones(1, 16, 16)
    opacity[0, 5:10, 5:10] = 0.2
    torch.testing.assert_close(clean_mask(mask, opacity), mask)


def test_solid_of_nothing_is_nothing():
    assert clean_mask(torch.zeros(2, 8, 8), torch.zeros(2, 8, 8)).sum() == 0


def coverage_of_a_disc(size: int = 48, radius: float = 14.0, fine: int = 8) -> torch.Tensor:
    """[1, size, size], each pixel the mean of fine^2 samples."""
    place = (torch.arange(size * fine) + 0.5) / fine - size / 2
    inside = (place[:, None] ** 2 + place**2 < radius**2).float()[None, None]
    return torch.nn.functional.avg_pool2d(inside, fine)[0]


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_matted_rim_holds_the_share_that_is_covered(level):
    covered = coverage_of_a_disc()
    colour = torch.tensor([0.8, 0.15, 0.2])
    images = covered[:, None] * colour.view(1, 3, 1, 1) + (1 - covered[:, None]) * level
    wide = difference_mask(images, level)
    assert wide.sum() > 1.01 * covered.sum()
    found = estimate_alpha(images, wide, level)
    assert found.sum().item() == pytest.approx(covered.sum().item(), rel=0.005)
    cut_to_nothing = 0.08 / (colour - level).abs().max()  # shares whose difference is below the mask's tolerance
    assert (found - covered).abs().max() < cut_to_nothing + 0.01
    assert (found <= wide).all()


def test_matting_leaves_parts_that_have_no_inside():
    images, masks = torch.ones(1, 3, 16, 16), torch.zeros(1, 16, 16)
    masks[0, 8, 2:14] = 1
    images[0, :, 8, 2:14] = 0.5
    torch.testing.assert_close(estimate_alpha(images, masks, 1.0), masks)


def test_background_is_chosen_against_the_object():
    levels = [1.0, 0.5, 0.0]
    assert most_distinct_background(torch.full((10, 3), 0.95), levels) == 2
    assert most_distinct_background(torch.full((10, 3), 0.1), levels) == 0
    snowman = torch.cat([torch.full((80, 3), 0.95), torch.full((20, 3), 0.05)])
    assert most_distinct_background(snowman, levels) == 1
    assert most_distinct_background(torch.zeros(0, 3), levels) == 0


def test_flat_images_and_their_latents(tmp_path):
    assert flat_images([0.0, 0.5], 4, torch.device("cpu")).mean((1, 2, 3)).tolist() == [0, 0.5]
    prior = load_text_to_image(write_tiny_prior(tmp_path / "p"), torch.device("cpu"))
    latents = encoded_backgrounds(prior)
    assert latents.shape == (3, 8, 8, 4)
    torch.testing.assert_close(latents[0].movedim(-1, 0), prior.encode(torch.ones(1, 3, 32, 32))[0])


def test_learned_background_depends_on_direction_only_and_can_learn():
    network = LearnedBackground(4, generator())
    directions = torch.nn.functional.normalize(torch.randn(2, 5, 3, generator=generator(1)), dim=-1)
    values = network(directions)
    assert values.shape == (2, 5, 4) and not torch.allclose(values[0], values[1])
    values.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_the_papers_red_has_four_channels():
    with pytest.raises(Prior3dError, match="has 4 latent channels, this prior has 16; start from grey"):
        paper_red_latent(16)
